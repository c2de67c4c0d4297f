"""What a callback's URL may be."""

from __future__ import annotations

import re
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv6Address, ip_address
from urllib.parse import urlsplit

from imagefleet_core.errors import ImagefleetError

MAX_CHARACTERS = 2000

_PORTS = {"http": 80, "https": 443}
# Below it other protocols have theirs, such as mail, whose servers would read a request as orders.
_FIRST_FREE_PORT = 1024
# Of RFC 3986; so it is no attempt to end the request's line, nor read differently by two parsers.
_CHARACTERS = re.compile(r"[A-Za-z0-9._~:/?\[\]@!$&'()*+,;=%-]+")
_NAME = re.compile(r"(?=.{1,253}\Z)[a-z0-9_]([a-z0-9_.-]*[a-z0-9_])?")


class BadUrl(ImagefleetError):
    """The URL can't be one that is called back; the message says what would be right."""


@dataclass(frozen=True, slots=True)
class Target:
    """Where to send a callback.

    Attributes:
        secure: whether over TLS.
        host: a name or an address, without brackets.
        path: with the query.
    """

    secure: bool
    host: str
    port: int
    path: str

    @property
    def authority(self) -> str:
        """What the header Host says."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        usual = _PORTS["https" if self.secure else "http"]
        return host if self.port == usual else f"{host}:{self.port}"

    @property
    def address(self) -> IPv4Address | IPv6Address | None:
        """The address that stands in place of a name."""
        try:
            return ip_address(self.host)
        except ValueError:
            return None


def parse(url: str) -> Target:
    """Return where a URL leads; raises `BadUrl`."""
    if not 0 < len(url) <= MAX_CHARACTERS:
        raise BadUrl(f"it must have 1 to {MAX_CHARACTERS} characters")
    if not _CHARACTERS.fullmatch(url):
        raise BadUrl("it may hold the characters of a URL only, without a fragment (#)")
    try:
        parts = urlsplit(url)
        port = parts.port
    except ValueError as error:
        raise BadUrl("it can't be read as a URL") from error
    if parts.scheme not in _PORTS:
        raise BadUrl("it must begin with https:// or http://")
    if "@" in parts.netloc:
        raise BadUrl("it must not hold a user's name or password; what is sent is signed")
    port = _PORTS[parts.scheme] if port is None else port
    if port not in _PORTS.values() and port < _FIRST_FREE_PORT:
        raise BadUrl(f"its port must be 80, 443, or {_FIRST_FREE_PORT} and above")
    path = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
    return Target(parts.scheme == "https", _host(parts.hostname or "", parts.netloc), port, path)


def _host(host: str, authority: str) -> str:
    if authority.startswith("["):
        try:
            return str(_without_interface(IPv6Address(host)))
        except ValueError as error:
            raise BadUrl("its host is no IPv6 address") from error
    host = host.removesuffix(".")
    if not _NAME.fullmatch(host):
        raise BadUrl("it names no host; write one of other letters as xn--…")
    return host


def _without_interface(address: IPv6Address) -> IPv6Address:
    if address.scope_id is not None:
        raise ValueError("it names one of this machine's interfaces")
    return address
