"""The journal of launches, as an object in the results bucket: it outlives the scaler."""

from __future__ import annotations

from imagefleet_core.errors import Unavailable
from imagefleet_core.store import Store
from imagefleet_scaler.providers.journal import Conflict

KEY = "scaler/launches"


class Launches:
    """A `Journal` for one scaler; only whoever holds the lease writes.

    A write takes the place of what was read last and of nothing else, so a scaler that lost the
    lease without knowing can't hide what its successor noted.
    """

    def __init__(self, store: Store) -> None:
        self._store = store
        self._version = ""
        # What was written last, while nobody knows whether it is there.
        self._unsure: bytes | None = None

    def read(self) -> str:
        """Return what was noted last, by whichever scaler; raises `Unavailable`."""
        note = self._store.read_note(KEY)
        self._version, self._unsure = (note.version if note else ""), None
        return note.body.decode() if note else ""

    def write(self, text: str) -> None:
        """Replace it.

        Raises:
            Conflict: another scaler wrote since `read`.
            Unavailable: the store does not answer.
        """
        body = text.encode()
        if self._unsure is not None:
            self._find_out(self._unsure)
        try:
            version = self._store.write_note(KEY, body, self._version)
        except Unavailable:
            self._unsure = body
            raise
        if version is None:
            raise Conflict("another scaler has noted a launch meanwhile")
        self._version = version

    def _find_out(self, unsure: bytes) -> None:
        """Take over the version of what was written last, if it is there after all."""
        note = self._store.read_note(KEY)
        if note and note.body == unsure:
            self._version = note.version
        self._unsure = None
