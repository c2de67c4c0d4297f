"""The journal of launches, as an object in the results bucket: it outlives the scaler."""

from __future__ import annotations

from imagefleet_core.errors import Unavailable
from imagefleet_core.store import Store

KEY = "scaler/launches"


class Launches:
    """A `Journal` for one scaler; only whoever holds the lease writes.

    A write takes the place of what was read last and of nothing else, so a scaler that lost the
    lease without knowing can't hide what its successor noted.
    """

    def __init__(self, store: Store) -> None:
        self._store = store
        self._version = ""

    def read(self) -> str:
        """Return what was noted last, by whichever scaler; raises `Unavailable`."""
        note = self._store.read_note(KEY)
        self._version = note.version if note else ""
        return note.body.decode() if note else ""

    def write(self, text: str) -> None:
        """Replace it.

        Raises:
            Unavailable: the store does not answer, or another scaler wrote since `read`.
        """
        version = self._store.write_note(KEY, text.encode(), self._version)
        if version is None:
            raise Unavailable("noting a launch: another scaler has noted one meanwhile")
        self._version = version
