"""Where a callback may go: nowhere that only this machine, its network or its cloud can reach.

Judged are the addresses that a name stands for at the moment, and one of exactly these is connected
to. So a name that is given another address between the look and the connection gains nothing.
"""

from __future__ import annotations

import re
import socket
from collections.abc import Callable, Sequence
from ipaddress import (
    IPv4Address,
    IPv4Network,
    IPv6Address,
    IPv6Network,
    ip_address,
    ip_network,
)
from typing import Any

from imagefleet_core.errors import ImagefleetError
from imagefleet_web.callbacks.urls import Target

Address = IPv4Address | IPv6Address
Network = IPv4Network | IPv6Network
# As `socket.getaddrinfo` gives them: a family and what `socket.connect` takes.
Place = tuple[int, Any]

# https://www.iana.org/assignments/iana-ipv4-special-registry
_REFUSED_4 = tuple(
    map(
        IPv4Network,
        (
            "0.0.0.0/8",  # this host
            "10.0.0.0/8",
            "100.64.0.0/10",  # shared behind a provider's NAT
            "127.0.0.0/8",
            "168.63.129.16/32",  # Azure's own services, though the registry doesn't say so
            "169.254.0.0/16",  # link-local, and the metadata of nearly every cloud
            "172.16.0.0/12",
            "192.0.0.0/24",
            "192.0.2.0/24",
            "192.88.99.0/24",  # relays of 6to4
            "192.168.0.0/16",
            "198.18.0.0/15",
            "198.51.100.0/24",
            "203.0.113.0/24",
            "224.0.0.0/4",  # multicast
            "240.0.0.0/4",  # reserved, and broadcast
        ),
    )
)
# Of IPv6 only what is given out to the public, less what stands for something else. So loopback,
# link-local, unique local, multicast and mapped IPv4 addresses are outside to begin with.
# https://www.iana.org/assignments/iana-ipv6-special-registry
_PUBLIC_6 = IPv6Network("2000::/3")
_REFUSED_6 = tuple(
    map(
        IPv6Network,
        (
            "2001::/23",  # protocols, among them Teredo, which wraps IPv4
            "2001:db8::/32",
            "2002::/16",  # 6to4, which wraps IPv4
            "3fff::/20",
        ),
    )
)
# Behind it a network's own translator reaches the IPv4 address in the last 32 bits (RFC 6052).
_NAT64 = IPv6Network("64:ff9b::/96")


class Refused(ImagefleetError):
    """Nothing that may be reached has that name."""


class NetworksError(ImagefleetError):
    """The setting that names networks can't be read."""


class Addresses:
    """Says where callbacks may go.

    Args:
        allowed: networks that are reached in spite of all.
        resolve: `socket.getaddrinfo`, or what stands for it.
    """

    def __init__(
        self,
        allowed: Sequence[Network] = (),
        resolve: Callable[..., Sequence[tuple[Any, ...]]] = socket.getaddrinfo,
    ) -> None:
        self._allowed = tuple(allowed)
        self._resolve = resolve

    def permits(self, address: Address) -> bool:
        """Whether a callback may go to an address."""
        if any(address in network for network in self._allowed):
            return True
        if isinstance(address, IPv4Address):
            return not any(address in network for network in _REFUSED_4)
        if address in _NAT64:
            return self.permits(IPv4Address(int(address) & 0xFFFFFFFF))
        return address in _PUBLIC_6 and not any(address in network for network in _REFUSED_6)

    def of(self, target: Target) -> list[Place]:
        """Return where a target may be reached, at least one place.

        The resolver's own time limit counts, some ten seconds usually.

        Raises:
            Refused: its name is unknown, or stands for places only that may not be reached.
        """
        try:
            found = self._resolve(target.host, target.port, type=socket.SOCK_STREAM)
        except (OSError, UnicodeError) as error:
            raise Refused(f"{target.host} is not known: {error}") from error
        places = [(family, place) for family, _, _, _, place in found]
        permitted = [each for each in places if self.permits(_address(each))]
        if not permitted:
            raise Refused(f"{target.host} is at an address that no callback may go to")
        return permitted


def parse_networks(text: str) -> tuple[Network, ...]:
    """Read networks in CIDR notation with commas or spaces between; raises `NetworksError`."""
    try:
        return tuple(ip_network(word) for word in re.split(r"[,\s]+", text) if word)
    except ValueError as error:
        raise NetworksError(
            f"IMAGEFLEET_CALLBACK_NETWORKS: {error}; expected networks such as 10.0.0.0/8"
        ) from error


def _address(place: Place) -> Address:
    host: str = place[1][0]
    return ip_address(host.partition("%")[0])  # a link-local one may tell its interface
