"""How much memory images may take, and what of it is for what."""

from __future__ import annotations

from dataclasses import dataclass

MIB = 1024 * 1024

# The rest is for Python, the network, and whatever shares the machine.
SHARE_OF_MACHINE = 0.5
# More is of no use to one process: decoding takes it all in the rarest of cases.
ENOUGH_MIB = 1024


@dataclass(frozen=True, slots=True)
class Shares:
    """Bytes for images in each form they take.

    Attributes:
        files: downloaded files that wait to be decoded.
        decoding: what decoders use while they decode, of all of them together.
        pixels: decoded images that wait to be processed.
    """

    files: int
    decoding: int
    pixels: int


def share_out(memory_mb: int, usable: int) -> Shares:
    """Return what images may take.

    Args:
        memory_mb: MiB for images in all; 0 for what suits the machine.
        usable: bytes that this process may use.
    """
    mib = memory_mb or min(ENOUGH_MIB, usable * SHARE_OF_MACHINE / MIB)
    quarter = int(mib * MIB / 4)
    return Shares(files=quarter, decoding=2 * quarter, pixels=quarter)
