"""A stand-in for EC2's instance metadata service, second version only, over real HTTP.

It needs nothing but the standard library, so that it can also play its part beside a worker in
another process.
"""

from __future__ import annotations

import itertools
import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from email.utils import format_datetime
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

ROOT = "/latest/meta-data/"
TOKEN = "X-aws-ec2-metadata-token"
LONGEST_TOKEN_S = 21600


class MetadataService:
    """Serves what its methods are told has been announced while `running`; nothing at first.

    Attributes:
        entries: the text at each path below `/latest/meta-data/`.
        tokens_given: how many tokens were asked for.
        failing: the status that answers everything, if any.
    """

    def __init__(self, host: str = "127.0.0.1", port: int = 0) -> None:
        self.entries: dict[str, str] = {}
        self.tokens_given = 0
        self.failing: HTTPStatus | None = None
        self._tokens: set[str] = set()
        self._numbers = itertools.count(1)
        self._server = ThreadingHTTPServer((host, port), self._handler())

    @property
    def url(self) -> str:
        """Where it answers."""
        host, port = self._server.server_address[:2]
        return f"http://{host!s}:{port}"

    def interrupt(self, at: datetime, action: str = "terminate") -> None:
        """Announce that the spot instance is about to be interrupted."""
        self._announce("spot/instance-action", {"action": action, "time": _iso(at)})

    def recommend_rebalance(self, at: datetime) -> None:
        """Tell that the spot instance is at a higher risk to be interrupted."""
        self._announce("events/recommendations/rebalance", {"noticeTime": _iso(at)})

    def schedule(self, code: str, not_before: datetime, state: str = "active") -> None:
        """Announce a scheduled event beside those that are announced already."""
        path = "events/maintenance/scheduled"
        events = json.loads(self.entries.get(path, "[]"))
        number = next(self._numbers)
        events.append(
            {
                "NotBefore": _old_style(not_before),
                "Code": code,
                "Description": f"a scheduled {code}",
                "EventId": f"instance-event-{number:017x}",
                "State": state,
            }
        )
        self._announce(path, events)

    def forget_tokens(self) -> None:
        """Know none of the tokens any more, as after hibernation."""
        self._tokens.clear()

    @contextmanager
    def running(self) -> Iterator[MetadataService]:
        """Answer as long as the context lasts."""
        thread = threading.Thread(target=self._server.serve_forever, args=(0.01,))
        thread.start()
        try:
            yield self
        finally:
            self._server.shutdown()
            self._server.server_close()
            thread.join()

    def give_token(self, ttl_s: str | None) -> tuple[HTTPStatus, str]:
        """Answer a request for a token."""
        if not (ttl_s and ttl_s.isdecimal() and 1 <= int(ttl_s) <= LONGEST_TOKEN_S):
            return HTTPStatus.BAD_REQUEST, "the token's time to live is missing or wrong"
        self.tokens_given += 1
        token = f"token-{next(self._numbers)}=="
        self._tokens.add(token)
        return HTTPStatus.OK, token

    def tell(self, path: str, token: str | None) -> tuple[HTTPStatus, str]:
        """Answer a request for an entry."""
        if token not in self._tokens:
            return HTTPStatus.UNAUTHORIZED, "a token is needed"
        entry = self.entries.get(path.removeprefix(ROOT)) if path.startswith(ROOT) else None
        return (HTTPStatus.NOT_FOUND, "nothing here") if entry is None else (HTTPStatus.OK, entry)

    def _announce(self, path: str, value: object) -> None:
        self.entries[path] = json.dumps(value)

    def _handler(self) -> type[BaseHTTPRequestHandler]:
        service = self

        class Handler(BaseHTTPRequestHandler):
            def do_PUT(self) -> None:
                if self.path == "/latest/api/token":
                    self._answer(*service.give_token(self.headers.get(f"{TOKEN}-ttl-seconds")))
                else:
                    self._answer(HTTPStatus.NOT_FOUND, "nothing here")

            def do_GET(self) -> None:
                self._answer(*service.tell(self.path, self.headers.get(TOKEN)))

            def _answer(self, status: HTTPStatus, text: str) -> None:
                if service.failing:
                    status, text = service.failing, ""
                self.send_response(status)
                self.send_header("Content-Length", str(len(text.encode())))
                self.end_headers()
                self.wfile.write(text.encode())

            def log_message(self, *_args: Any) -> None:
                """Say nothing."""

        return Handler


def _iso(moment: datetime) -> str:
    return moment.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def _old_style(moment: datetime) -> str:
    """Write a moment as scheduled events do, `21 Jan 2019 09:00:43 GMT`."""
    return format_datetime(moment.astimezone(UTC), usegmt=True).split(", ")[1]
