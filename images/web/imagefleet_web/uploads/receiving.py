"""Reads the files out of a request: a multipart form, or a body that is itself one image."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from flask import Request
from gunicorn.http.errors import ParseException
from werkzeug.exceptions import ClientDisconnected, RequestEntityTooLarge
from werkzeug.http import parse_options_header
from werkzeug.sansio.multipart import (
    Data,
    Epilogue,
    Event,
    Field,
    File,
    MultipartDecoder,
    NeedData,
)

from imagefleet_core.keys import clean_name
from imagefleet_web import problems
from imagefleet_web.problems import Problem
from imagefleet_web.serving.pace import was_too_slow
from imagefleet_web.uploads.limits import Limits
from imagefleet_web.uploads.spool import Spool, SpooledFile

_CHUNK_BYTES = 256 * 1024
# Of a chunk; it may be made of what looks like delimiters.
_CUTS = 8
# What a form may hold beside its files: the headers of a part, and text fields, which are ignored.
_MAX_HEADER_BYTES = 512 * 1024
_MAX_TEXT_FIELDS = 100

_HOW_TO = "Send a form with files, as `curl -F file=@cat.jpg` does, or one image as the body"


@dataclass(frozen=True, slots=True)
class ReceivedFile:
    """One file of a request.

    Attributes:
        field: the form's field it came in, empty for a raw body.
        name: its file name as a person would read it.
    """

    field: str
    name: str
    body: SpooledFile


@contextmanager
def received_files(
    request: Request, limits: Limits, folder: str = ""
) -> Iterator[list[ReceivedFile]]:
    """Give the files of a request in the order sent, at least one; they vanish at the end.

    No file is judged here, but no more is kept of any than may be accepted.

    Args:
        folder: where large ones are kept, empty for the system's default.

    Raises:
        Problem: the request is no upload, can't be read, or has too many files.
    """
    with Spool(folder=folder) as spool:
        try:
            if request.mimetype == "multipart/form-data":
                files = _form_files(request, limits, spool)
            else:
                files = _raw_file(request, limits, spool)
        except UnicodeError as error:
            raise Problem(
                problems.BROKEN_UPLOAD, "The form's headers, such as names of files, must be UTF-8."
            ) from error
        except (ValueError, OSError, ParseException, ClientDisconnected) as error:
            raise not_received("The upload", error) from error
        if not files:
            raise Problem(problems.NO_FILES, f"The request holds no file. {_HOW_TO}.")
        yield files


def not_received(what: str, error: Exception) -> Problem:
    """Return the problem that a body could not be read."""
    if was_too_slow(error):
        return Problem(problems.TOO_SLOW, f"{what} came too slowly, or stopped on its way.")
    return Problem(problems.BROKEN_UPLOAD, f"{what} is malformed, or was cut off on its way.")


def _form_files(request: Request, limits: Limits, spool: Spool) -> list[ReceivedFile]:
    found: list[tuple[File | Field, SpooledFile]] = []
    body: SpooledFile | None = None
    for event in _form_events(request, limits):
        match event:
            case File() | Field() if _is_file(event):
                if len(found) == limits.max_files:
                    raise Problem(
                        problems.TOO_MANY_FILES,
                        f"At most {limits.max_files} files are accepted in one request.",
                    )
                body = spool.new(limits.max_file_bytes)
                found.append((event, body))
            case Field():
                body = None
            case Data() if body is not None:
                body.write(event.data)
    return [
        ReceivedFile(part.name or "", clean_name(_file_name(part)), body)
        for part, body in found
        if _file_name(part) or body.size  # a browser sends a chooser without a choice like this
    ]


def _is_file(part: File | Field) -> bool:
    """Whether a part is a file; one that says it is an image needs no name (RFC 7578, 4.2)."""
    kind = part.headers.get("Content-Type", "").lower()
    return isinstance(part, File) or kind.startswith("image/")


def _file_name(part: File | Field) -> str:
    return part.filename if isinstance(part, File) else ""


def _form_events(request: Request, limits: Limits) -> Iterator[Event]:
    boundary = request.mimetype_params.get("boundary", "").encode("ascii")
    if not boundary:
        raise Problem(
            problems.BROKEN_UPLOAD,
            "The Content-Type names no boundary. Leave that header to the client's library.",
        )
    decoder = MultipartDecoder(
        boundary,
        max_form_memory_size=_MAX_HEADER_BYTES,
        max_parts=limits.max_files + _MAX_TEXT_FIELDS,
    )
    event: Event = NeedData()
    for piece in _pieces(request, b"\r\n--" + boundary):
        try:
            decoder.receive_data(piece)
            while not isinstance(event := decoder.next_event(), NeedData | Epilogue):
                yield event
        except RequestEntityTooLarge as error:
            raise Problem(
                problems.REQUEST_TOO_LARGE, "The form has too many fields, or headers too long."
            ) from error
        if isinstance(event, Epilogue):
            return


def _pieces(request: Request, delimiter: bytes) -> Iterator[bytes | None]:
    """Read a body in pieces, None after the last, most of which end where a delimiter begins.

    The decoder finds those by itself as well, but by a regular expression that it tries at every
    byte before one: 6 ns each, as much as all the rest of receiving an image.
    """
    while chunk := request.stream.read(_CHUNK_BYTES):
        start = 0
        for _ in range(_CUTS):
            end = chunk.find(delimiter, start + 1)
            if end < 0:
                break
            yield chunk[start:end]
            start = end
        yield chunk[start:]
    yield None


def _raw_file(request: Request, limits: Limits, spool: Spool) -> list[ReceivedFile]:
    kind = request.mimetype
    if kind not in {"", "application/octet-stream"} and not kind.startswith("image/"):
        raise Problem(problems.UNSUPPORTED_BODY, f"A body of type {kind} is no upload. {_HOW_TO}.")
    body = spool.new(limits.max_file_bytes)
    while data := request.stream.read(_CHUNK_BYTES):
        body.write(data)
    if request.content_length not in {None, body.size}:  # half of an image may look like a whole
        raise ClientDisconnected
    if not kind and body.size == 0:
        return []
    _, told = parse_options_header(request.headers.get("Content-Disposition"))
    return [ReceivedFile("", clean_name(told.get("filename", "")), body)]
