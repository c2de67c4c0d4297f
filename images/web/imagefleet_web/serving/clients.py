"""The server's dealings with its clients: none can hold a thread, or the loop, by being slow.

gunicorn's threads wait for a request for as long as its client likes once the first byte is there,
and its loop waits up to two seconds for each client that does not close a connection it was told
to. So each read has a time here, and a connection is closed by the thread that served it.
"""

from __future__ import annotations

import socket
from concurrent.futures import Future
from functools import cached_property
from typing import cast

import structlog
from flask import Flask
from gunicorn import util
from gunicorn.http import Request, RequestParser
from gunicorn.workers.gthread import TConn, ThreadWorker

from imagefleet_web import problems, services
from imagefleet_web.serving import refusals
from imagefleet_web.serving.pace import Pace, PacedReader

log = structlog.get_logger()


class ClientWorker(ThreadWorker):
    """A server process that gives its clients time, and not for ever."""

    @cached_property
    def pace(self) -> Pace:
        """How long clients may take."""
        settings = services.of(cast(Flask, self.wsgi)).settings
        return Pace(settings.headers_s, settings.stall_s, settings.min_upload_bytes_per_s)

    def enqueue_req(self, conn: TConn) -> None:
        """Let a thread serve a connection, which is read at a pace."""
        if conn.parser is None:
            conn.parser = RequestParser(self.cfg, conn.sock, conn.client)
            conn.parser.unreader = PacedReader(conn.sock, self.pace)
        super().enqueue_req(conn)

    def handle(self, conn: TConn) -> bool:
        """Serve one request of a connection; close it here unless there may be another."""
        structlog.contextvars.clear_contextvars()  # of what this thread served before
        _reader(conn).begin_headers()
        kept = super().handle(conn)
        if not kept:
            util.close_graceful(conn.sock)
        return kept

    def handle_request(self, req: Request, conn: TConn) -> bool:
        """Answer a request, whose client must neither stall while sending nor while reading."""
        _reader(conn).begin_body()
        conn.sock.settimeout(self.pace.stall_s)
        try:
            return bool(super().handle_request(req, conn))
        except TimeoutError as error:
            raise StopIteration from error  # closes the connection without a traceback

    def handle_error(
        self, _req: Request | None, client: socket.socket, addr: object, exc: BaseException
    ) -> None:
        """Answer what is no request with a problem document; nothing of it comes into the log."""
        address = addr[0] if isinstance(addr, tuple) else ""
        problem = refusals.refusal(exc, self.pace.headers_s)
        if problem.kind is problems.INTERNAL:
            log.error("request failed", client=address, exc_info=exc)
        else:
            log.info("request refused", client=address, code=problem.kind.code)
        refusals.send(client, problem)

    def finish_request(self, conn: TConn, fs: Future[bool]) -> None:
        """Keep a connection for its next request; one that `handle` has closed is only counted."""
        if fs.cancelled() or fs.exception() or fs.result():
            super().finish_request(conn, fs)
        else:
            self.nr_conns -= 1


def _reader(conn: TConn) -> PacedReader:
    return cast(PacedReader, cast(RequestParser, conn.parser).unreader)
