"""What is answered to requests that the app never sees: malformed, too long, or too slow."""

from __future__ import annotations

import json
import socket
from contextlib import suppress
from http import HTTPStatus

from gunicorn.http.errors import (
    ExpectationFailed,
    LimitRequestHeaders,
    LimitRequestLine,
    ParseException,
    UnsupportedTransferCoding,
)

from imagefleet_web import problems
from imagefleet_web.problems import Problem
from imagefleet_web.serving.headers import SECURITY
from imagefleet_web.serving.pace import HeadersTooSlow

# Whoever does not take a few hundred bytes at once is not waited for.
_SEND_S = 1.0


def refusal(error: BaseException, headers_s: float) -> Problem:
    """Return what to answer for an error of gunicorn's parser; nothing of the request is quoted."""
    match error:
        case HeadersTooSlow():
            return Problem(
                problems.TOO_SLOW, f"The headers of a request must be there within {headers_s:g} s."
            )
        case LimitRequestLine():
            return Problem(problems.URI_TOO_LONG, "The request line is too long.")
        case LimitRequestHeaders():
            return Problem(problems.HEADERS_TOO_LARGE, "The headers are too many or too long.")
        case ExpectationFailed():
            return Problem(problems.EXPECTATION_FAILED, "Only 100-continue can be expected.")
        case UnsupportedTransferCoding():
            return Problem(problems.UNSUPPORTED_CODING, "Of transfer codings only chunked is read.")
        case ParseException():
            return Problem(problems.MALFORMED_REQUEST, "The request is not HTTP as it should be.")
    return Problem(problems.INTERNAL, "The fault is the server's, and is logged. Try again later.")


def send(client: socket.socket, problem: Problem) -> None:
    """Answer with a problem document, on a connection that is closed afterwards."""
    body = json.dumps(problems.document(problem), ensure_ascii=False).encode()
    status = HTTPStatus(problem.kind.status)
    headers = {
        "Connection": "close",
        "Content-Type": problems.MEDIA_TYPE,
        "Content-Length": len(body),
        "Cache-Control": "no-store",
        **SECURITY,
    }
    head = "".join(f"{name}: {value}\r\n" for name, value in headers.items())
    with suppress(OSError):
        client.settimeout(_SEND_S)
        client.sendall(f"HTTP/1.1 {status.value} {status.phrase}\r\n{head}\r\n".encode() + body)
