"""What an image is made of, file by file, as an engine gives it away."""

from __future__ import annotations

import hashlib
import json
import tarfile
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass

from docker.models.images import Image


@dataclass(frozen=True)
class Entry:
    """One file of a layer, without its time."""

    kind: bytes
    mode: int
    owner: tuple[int, int]
    link: str
    content: str


Layer = dict[str, Entry]


def layers_of(image: Image) -> list[Layer]:
    """Return the files of each layer by their paths, the base's first."""
    return [
        {member.name: _entry(member, content) for member, content in files}
        for files in _layers(image)
    ]


def everything_in(image: Image) -> Iterator[bytes]:
    """Return the names and contents of all files, and what the image says of itself."""
    yield json.dumps([image.attrs, image.history()]).encode()
    for files in _layers(image):
        for member, content in files:
            yield member.name.encode()
            yield content


def _layers(image: Image) -> Iterator[Iterator[tuple[tarfile.TarInfo, bytes]]]:
    with tempfile.TemporaryFile() as file:
        for chunk in image.save(chunk_size=1 << 20):
            file.write(chunk)
        file.seek(0)
        with tarfile.open(fileobj=file) as archive:
            (manifest,) = json.load(_open(archive, "manifest.json"))
            for name in manifest["Layers"]:
                # Newer engines give compressed layers away.
                with tarfile.open(fileobj=_open(archive, name), mode="r:*") as layer:
                    yield _files(layer)


def _files(layer: tarfile.TarFile) -> Iterator[tuple[tarfile.TarInfo, bytes]]:
    for member in layer:
        file = layer.extractfile(member) if member.isfile() else None
        yield member, file.read() if file else b""


def _open(archive: tarfile.TarFile, name: str) -> tarfile.ExFileObject:
    file = archive.extractfile(name)
    assert isinstance(file, tarfile.ExFileObject)
    return file


def _entry(member: tarfile.TarInfo, content: bytes) -> Entry:
    return Entry(
        member.type,
        member.mode,
        (member.uid, member.gid),
        member.linkname,
        hashlib.sha256(content).hexdigest(),
    )
