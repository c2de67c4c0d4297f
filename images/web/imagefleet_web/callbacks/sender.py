"""Sends one request to a place that somebody else chose, and takes nothing from it but a status.

Proxies that the environment names are not used: which address is reached would be for them to say.
Redirects are not followed, nor is the answer's body read.
"""

from __future__ import annotations

import http.client
import socket
import ssl
import time
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from functools import cached_property

from imagefleet_core.errors import ImagefleetError
from imagefleet_web.callbacks.addresses import Addresses, Place, Refused
from imagefleet_web.callbacks.timed import TimedSocket, seconds_until
from imagefleet_web.callbacks.urls import Target

CONNECT_S = 5.0
# From the first connection to the answer's headers, as receivers need it at most.
WHOLE_S = 15.0
# Of the answer; its head is all that is looked at.
MOST_BYTES = 16 * 1024
# Of the addresses of one name, which may be many.
_TRIED = 4


class Undelivered(ImagefleetError):
    """No answer came, and why."""


@dataclass(frozen=True, slots=True)
class Answer:
    """What a receiver said.

    Attributes:
        retry_after_s: for how long it wants to be left alone, as far as it says so.
    """

    status: int
    retry_after_s: float = 0.0


class Sender:
    """Sends requests, each over a connection of its own; safe to share between threads.

    Args:
        trust: who vouches for receivers; the system's list unless given, or what the variables
            SSL_CERT_FILE and SSL_CERT_DIR name.
    """

    def __init__(
        self,
        addresses: Addresses,
        *,
        trust: ssl.SSLContext | None = None,
        connect_s: float = CONNECT_S,
        whole_s: float = WHOLE_S,
    ) -> None:
        self._addresses = addresses
        self._given_trust = trust
        self._connect_s = connect_s
        self._whole_s = whole_s

    def post(self, target: Target, headers: Mapping[str, str], body: bytes) -> Answer:
        """Send `body` and return the answer, whatever its status; raises `Undelivered`."""
        try:
            places = self._addresses.of(target)
            deadline = time.monotonic() + self._whole_s
            with self._secured(self._connected(places), target, deadline) as link:
                return _exchange(TimedSocket(link, deadline, MOST_BYTES), target, headers, body)
        except Refused as error:
            raise Undelivered(str(error)) from error
        except TimeoutError as error:
            raise Undelivered(f"{target.host} takes too long") from error
        except ssl.SSLCertVerificationError as error:
            raise Undelivered(f"{target.host}: {error.verify_message}") from error
        except (OSError, http.client.HTTPException) as error:
            said = str(error) or type(error).__name__
            raise Undelivered(f"{target.host}: {said[:200]}") from error

    @cached_property
    def _trust(self) -> ssl.SSLContext:
        """Made when it is needed first: reading the list takes some ten milliseconds."""
        return self._given_trust or ssl.create_default_context()

    def _connected(self, places: list[Place]) -> socket.socket:
        """Return a connection to the first place that takes one."""
        deadline = time.monotonic() + self._connect_s
        failure: OSError = TimeoutError()
        for family, place in places[:_TRIED]:
            link = socket.socket(family, socket.SOCK_STREAM)
            try:
                link.settimeout(seconds_until(deadline))
                link.connect(place)
                return link
            except OSError as error:
                link.close()
                failure = error
        raise failure

    def _secured(self, link: socket.socket, target: Target, deadline: float) -> socket.socket:
        if not target.secure:
            return link
        with link:  # which is another's once it is wrapped
            link.settimeout(seconds_until(deadline))
            return self._trust.wrap_socket(link, server_hostname=target.host)


def _exchange(link: TimedSocket, target: Target, headers: Mapping[str, str], body: bytes) -> Answer:
    # With the port, as else the last group of an IPv6 address is taken for one.
    connection = http.client.HTTPConnection(target.host, target.port)
    connection.sock = link
    told = {"Host": target.authority, **headers, "Connection": "close"}
    try:
        connection.request("POST", target.path, body, told)
        answer = connection.getresponse()
        return Answer(answer.status, _seconds(answer.headers.get("Retry-After", "")))
    finally:
        connection.close()


def _seconds(retry_after: str) -> float:
    """Read the header Retry-After (RFC 9110, section 10.2.3); 0 for what is none."""
    if retry_after.isascii() and retry_after.isdecimal():
        return float(retry_after[:9])
    try:
        at = parsedate_to_datetime(retry_after)
    except ValueError:
        return 0.0
    at = at if at.tzinfo else at.replace(tzinfo=UTC)
    return max(0.0, (at - datetime.now(UTC)).total_seconds())
