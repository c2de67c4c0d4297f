"""How the processes of one server tell each other of results at once.

A reply goes to the process that took the upload in; who waits for the result may have asked any
other. So each passes on what it hears, over sockets that the parent made before it forked them.
Like a reply this is a hint: what gets lost is found in the store a while later.
"""

from __future__ import annotations

import socket
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass

# What a process may be behind with, some hundred results; Linux gives twice as much of it as
# net.core.wmem_max allows. Beyond that results are not passed on.
BUFFER_BYTES = 1024 * 1024
# Ten replies of the largest size, which is what one call to SQS brings.
MESSAGE_BYTES = 512 * 1024
# JSON has line ends between its parts only, and as good as a space there.
_END = "\n"


@dataclass(frozen=True, slots=True)
class Ears:
    """A process's own end of the sockets, and those that lead to its siblings."""

    own: socket.socket
    others: Sequence[socket.socket]


class Sockets:
    """The sockets of all places that processes take in a server; made before they are forked.

    A process that follows one that ended takes its place, and hears what that one had not read.
    """

    def __init__(self, places: int) -> None:
        pairs = [_pair() for _ in range(places)] if places > 1 else []
        self._all = [end for pair in pairs for end in pair]
        self._ears = [
            Ears(own, [into for other, (_, into) in enumerate(pairs) if other != place])
            for place, (own, _) in enumerate(pairs)
        ]

    def of(self, place: int) -> Ears | None:
        """Return the sockets of a place; None for one that was not planned, or the only one."""
        return self._ears[place] if place < len(self._ears) else None

    def close(self) -> None:
        """Close this process's copies of all of them."""
        for end in self._all:
            end.close()


class Siblings:
    """What one process tells the others and hears of them; there are none until it joins them."""

    def __init__(self) -> None:
        self._ears: Ears | None = None
        self._buffer = bytearray(0)

    def join(self, ears: Ears) -> None:
        """Begin to tell and to hear."""
        self._ears = ears
        self._buffer = bytearray(MESSAGE_BYTES)

    def tell(self, replies: Sequence[str]) -> None:
        """Pass replies on to all others; never waits for them."""
        if self._ears is None or not replies:
            return
        message = _END.join(reply.replace(_END, " ") for reply in replies).encode()
        for other in self._ears.others:
            with suppress(OSError):  # it is behind, or the message too large for the system
                other.send(message, socket.MSG_DONTWAIT)

    def hear(self) -> list[str] | None:
        """Return what another passes on, waiting for it; None if there are no others.

        For one thread.
        """
        if self._ears is None:
            return None
        length = self._ears.own.recv_into(self._buffer)
        return self._buffer[:length].decode().split(_END)


def _pair() -> tuple[socket.socket, socket.socket]:
    out, into = socket.socketpair(socket.AF_UNIX, socket.SOCK_DGRAM)
    into.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, BUFFER_BYTES)
    return out, into
