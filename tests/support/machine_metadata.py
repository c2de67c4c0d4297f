"""A stand-in for all that cloud-init asks EC2's instance metadata service for.

It runs beside a machine, in a container of its own, as `machine_metadata.py INSTANCE USER_DATA`.
Only the second version is spoken: without a token there is no answer.
"""

from __future__ import annotations

import json
import sys
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

TOKEN = "X-aws-ec2-metadata-token"


def entries(instance: str, user_data: str) -> dict[str, str]:
    """Return what is told, by paths below the version."""
    return {
        "meta-data/instance-id": instance,
        "meta-data/ami-id": "ami-0123456789abcdef0",
        "meta-data/hostname": "ip-10-78-0-10.ec2.internal",
        "meta-data/local-ipv4": "10.78.0.10",
        "meta-data/instance-type": "c7i.large",
        "meta-data/placement/availability-zone": "us-east-1a",
        "meta-data/placement/region": "us-east-1",
        "dynamic/instance-identity/document": json.dumps(
            {"instanceId": instance, "region": "us-east-1"}
        ),
        "user-data": user_data,
    }


def told(known: dict[str, str], path: str) -> str | None:
    """Return an entry, or the list of a folder."""
    _version, _, below = path.strip("/").partition("/")
    if below in known:
        return known[below]
    inner = [each[len(below) :].lstrip("/") for each in known if each.startswith(f"{below}/")]
    names = dict.fromkeys(each.split("/")[0] + "/" * ("/" in each) for each in inner)
    return "\n".join(names) if names else None


def serve(known: dict[str, str]) -> None:
    """Answer for ever."""

    class Handler(BaseHTTPRequestHandler):
        def do_PUT(self) -> None:
            self._answer(HTTPStatus.OK, "token==")

        def do_GET(self) -> None:
            if self.headers.get(TOKEN) != "token==":
                self._answer(HTTPStatus.UNAUTHORIZED, "")
                return
            text = told(known, self.path)
            self._answer(HTTPStatus.NOT_FOUND if text is None else HTTPStatus.OK, text or "")

        def _answer(self, status: HTTPStatus, text: str) -> None:
            self.send_response(status)
            self.send_header("Content-Length", str(len(text.encode())))
            self.end_headers()
            self.wfile.write(text.encode())

        def log_message(self, *_args: Any) -> None:
            """Say nothing."""

    ThreadingHTTPServer(("", 80), Handler).serve_forever()


if __name__ == "__main__":
    serve(entries(sys.argv[1], Path(sys.argv[2]).read_text(encoding="utf-8")))
