"""Which jobs of a batch a client was told of, in a text that it keeps for us.

It is the `id` of every event of a batch, so a client that reconnects brings it along, to whatever
process, and nobody has to remember what was sent to whom.
"""

from __future__ import annotations

import re
from typing import Self

# What `IMAGEFLEET_MAX_FILES` allows; any beyond it are told again.
MOST = 9999
_ALL = (1 << MOST + 1) - 1
# At most 2.5 kB, which servers and proxies take as a header.
_TEXT = re.compile(r"(\d{1,4})\.([0-9a-f]{1,2500})", re.ASCII)


class Told:
    """A set of job numbers, written `<n>.<bits>`: those from 1 to n, and the bits of the others.

    Results come almost in order, so there are few bits; the lowest is that of job n + 1.
    """

    def __init__(self) -> None:
        self._bits = 1  # bit 0 is of no job, so that the others count from 1

    @classmethod
    def parse(cls, text: str) -> Self:
        """Read what `str` wrote; any other text is the empty set."""
        told = cls()
        if match := _TEXT.fullmatch(text):
            first = int(match[1]) + 1
            told._bits = ((1 << first) - 1 | int(match[2], 16) << first) & _ALL
        return told

    def add(self, number: int) -> None:
        """Take in a job."""
        if number <= MOST:
            self._bits |= 1 << number

    def __contains__(self, number: int) -> bool:
        return number <= MOST and bool(self._bits >> number & 1)

    def __str__(self) -> str:
        first = (~self._bits & (self._bits + 1)).bit_length() - 1  # the lowest that is not there
        return f"{first - 1}.{self._bits >> first:x}"
