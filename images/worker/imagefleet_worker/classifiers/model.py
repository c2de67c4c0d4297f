"""A folder that holds an exported network, and the check that it is the one that was exported.

`manifest.json` names the network, how it wants its pictures, and every file's SHA-256.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Container
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from imagefleet_worker.classifiers.base import ModelError
from imagefleet_worker.recipe import Recipe

MANIFEST = "manifest.json"
LABELS = "labels.txt"

# The files that each runtime can run a network from; the first that the manifest lists are taken.
RUNS = {
    "openvino": (("model.xml", "model.bin"),),
    "torch": (("model.pt2",), ("model.ts",)),
}


@dataclass(frozen=True, slots=True)
class Model:
    """An exported network on disk, its files checked.

    Attributes:
        name: name and version, `efficientnet-lite0@1`.
        labels: what each of the network's outputs stands for, in order.
        files: those that the runtime is to run.
    """

    directory: Path
    name: str
    recipe: Recipe
    labels: tuple[str, ...]
    files: tuple[str, ...]

    @property
    def calls_to_warm(self) -> int:
        """How many calls it takes until the network is as fast as it gets."""
        return 2 if self.files == ("model.ts",) else 1  # TorchScript compiles itself in two


def read_model(directory: Path, runtime: str) -> Model:
    """Return the network in `directory` after checking its labels and what `runtime` will run.

    Raises:
        ModelError: something is missing or is not what the manifest says.
    """
    path = directory / MANIFEST
    try:
        manifest = json.loads(path.read_bytes())
        name = f"{manifest['name']}@{manifest['version']}"
        recipe = _recipe(manifest["input"])
        classes = int(manifest["classes"])
        checksums = dict(manifest["files"])
    except FileNotFoundError as error:
        raise ModelError(f"{directory} holds no exported network: no {MANIFEST} in it") from error
    except KeyError as error:
        raise ModelError(f"{path} lacks {error}") from error
    except (OSError, ValueError, TypeError) as error:
        raise ModelError(f"{path} can't be used: {error}") from error
    labels = tuple(_checked(directory / LABELS, checksums).decode().splitlines())
    if len(labels) != classes:
        raise ModelError(f"{directory / LABELS} has {len(labels)} labels instead of {classes}")
    files = runnable(runtime, checksums)
    if files is None:
        raise ModelError(f"{path} lists {_wanted(runtime, checksums)}")
    for file in files:
        _checked(directory / file, checksums)
    return Model(directory, name, recipe, labels, files)


def runnable(runtime: str, listed: Container[str]) -> tuple[str, ...] | None:
    """Return the files of those `listed` that a runtime can run a network from, if it can."""
    return next((files for files in RUNS[runtime] if all(each in listed for each in files)), None)


def _wanted(runtime: str, listed: dict[str, str]) -> str:
    """Say what a runtime misses, and which one does not."""
    missing = " or ".join(" and ".join(files) for files in RUNS[runtime])
    others = [other for other in RUNS if runnable(other, listed)]
    advice = f"; IMAGEFLEET_RUNTIME={others[0]} can run what it lists" if others else ""
    return f"no {missing}, which the {runtime} runtime runs{advice}"


def _recipe(wanted: dict[str, Any]) -> Recipe:
    return Recipe(int(wanted["size"]), int(wanted["resize"]), str(wanted["interpolation"]))


def _checked(path: Path, checksums: dict[str, str]) -> bytes:
    if path.name not in checksums:
        raise ModelError(f"{path.parent / MANIFEST} lists no {path.name}")
    try:
        content = path.read_bytes()
    except OSError as error:
        raise ModelError(f"{path} can't be read: {error.strerror}") from error
    if hashlib.sha256(content).hexdigest() != checksums[path.name]:
        raise ModelError(f"{path} is not the file that was exported: its SHA-256 differs")
    return content
