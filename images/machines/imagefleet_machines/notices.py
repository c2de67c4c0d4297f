"""Notices of spot interruptions, each a file, so that another process can give one."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Collection
from datetime import UTC, datetime, timedelta
from pathlib import Path


class Notices:
    """The notices that were given, in a folder.

    Args:
        folder: is made when the first one is given.
        now: the time of day.
    """

    def __init__(
        self, folder: Path, now: Callable[[], datetime] = lambda: datetime.now(UTC)
    ) -> None:
        self._folder = folder
        self._now = now

    def give(self, instance: str, after_s: float) -> datetime:
        """Announce an interruption and return its time; raises `ValueError` for no such id."""
        if not re.fullmatch(r"i-[0-9a-f]{8,17}", instance):
            raise ValueError(f"{instance!r}: expected an instance's id, as i-0123456789abcdef0")
        at = self._now() + timedelta(seconds=after_s)
        self._folder.mkdir(parents=True, exist_ok=True)
        whole = self._folder / f"{instance}.new"
        whole.write_text(at.isoformat(timespec="milliseconds"))
        whole.rename(self._folder / instance)
        return at

    def of(self, instance: str) -> datetime | None:
        """Return when an instance will be interrupted, if anybody said so."""
        try:
            return datetime.fromisoformat((self._folder / instance).read_text())
        except (OSError, ValueError):
            return None

    def action(self, instance: str) -> str:
        """Return what stands at `spot/instance-action`; empty while nothing is announced."""
        at = self.of(instance)
        return json.dumps({"action": "terminate", "time": f"{at:%Y-%m-%dT%H:%M:%SZ}"}) if at else ""

    def due(self) -> set[str]:
        """Return the instances whose time has come."""
        now = self._now()
        return {each for each in self._ids() if (at := self.of(each)) and at <= now}

    def keep(self, instances: Collection[str]) -> None:
        """Forget the notices of all others."""
        for instance in self._ids() - set(instances):
            self.forget(instance)

    def forget(self, instance: str) -> None:
        """Forget an instance's notice."""
        (self._folder / instance).unlink(missing_ok=True)

    def _ids(self) -> set[str]:
        try:
            return {path.name for path in self._folder.iterdir() if not path.suffix}
        except OSError:
            return set()
