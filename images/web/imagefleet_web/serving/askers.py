"""Requests that ask AWS for something never hold all threads, however silent AWS is.

Each of them has a seat for as long as it has its thread, which includes waiting for results and
sending an answer piece by piece. There are fewer seats than threads (see `threads`), so a thread
is left for those that ask nobody, such as `/healthz`. What is over that is refused at once.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING

from flask import Flask, request

from imagefleet_web import problems, services
from imagefleet_web.problems import Problem

if TYPE_CHECKING:
    from _typeshed.wsgi import StartResponse, WSGIApplication, WSGIEnvironment

# Everything else takes a seat, so that no later route goes without by mistake. `/readyz` does ask,
# and sees to its seat itself, as having none is something to tell there.
ASK_NOBODY = {
    "docs.openapi",
    "docs.readable",
    "health.healthz",
    "health.readyz",
    "metrics.metrics",
    "page.index",
    "static",
}
_SEATS = "imagefleet.seats"


def install(app: Flask) -> None:
    """Have the requests of `app` take seats, and leave them when their answers are sent."""
    app.before_request(_take)
    app.wsgi_app = _Leaving(app.wsgi_app)  # type: ignore[method-assign]


def _take() -> None:
    endpoint = request.endpoint
    if endpoint is None or endpoint in ASK_NOBODY or request.method == "OPTIONS":
        return
    seats = services.current().askers
    if not seats.take():
        raise Problem(problems.BUSY, "Too many requests are being served. Try again soon.")
    request.environ[_SEATS] = seats


class _Leaving:
    """Sees the end of every answer, whichever way it comes about."""

    def __init__(self, app: WSGIApplication) -> None:
        self._app = app

    def __call__(self, environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        try:
            pieces = self._app(environ, start_response)
        except BaseException:
            _leave(environ)
            raise
        # Left as it is otherwise: files of the page are sent by the system.
        return _Pieces(pieces, environ) if _SEATS in environ else pieces


class _Pieces:
    """An answer that leaves its seat once it is closed, even if that fails."""

    def __init__(self, pieces: Iterable[bytes], environ: WSGIEnvironment) -> None:
        self._pieces = pieces
        self._environ = environ

    def __iter__(self) -> Iterator[bytes]:
        return iter(self._pieces)

    def close(self) -> None:
        try:
            if close := getattr(self._pieces, "close", None):
                close()
        finally:
            _leave(self._environ)


def _leave(environ: WSGIEnvironment) -> None:
    if seats := environ.pop(_SEATS, None):
        seats.leave()
