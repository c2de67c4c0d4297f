"""The cgroups around this process, where its container's limits are read.

https://docs.kernel.org/admin-guide/cgroup-v2.html and
https://docs.kernel.org/admin-guide/cgroup-v1/cgroups.html
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path, PurePosixPath


def v2_folders(root: Path) -> Iterator[Path]:
    """Yield the folder of each version 2 group around this process, its own first.

    Args:
        root: where the file systems `/proc` and `/sys` are found.
    """
    for controllers, group in _groups(root):
        if not controllers:
            yield root / "sys/fs/cgroup" / group


def v1_folders(root: Path, controller: str) -> Iterator[Path]:
    """Yield the folder of each version 1 group of a controller, at every name of its mount."""
    for controllers, group in _groups(root):
        if controller in controllers.split(","):
            for mount in dict.fromkeys((controllers, controller)):
                yield root / "sys/fs/cgroup" / mount / group


def read(file: Path) -> str:
    """Return a file's text without the space around it, empty where there is no such file."""
    try:
        return file.read_text().strip()
    except OSError:
        return ""


def _groups(root: Path) -> Iterator[tuple[str, PurePosixPath]]:
    """Yield the controllers and the path of each group; version 2 names no controllers.

    Inside a container the path may be the host's; the walk to the top meets its limits anyway.
    """
    lines = (line.split(":", 2) for line in read(root / "proc/self/cgroup").splitlines())
    for _, controllers, path in (parts for parts in lines if len(parts) == 3):
        own = PurePosixPath(path)
        for group in (own, *own.parents):
            yield controllers, PurePosixPath(*group.parts[1:])
