"""A folder that holds an exported network, and the check that it is the one that was exported.

`manifest.json` names the network, how it wants its pictures, and every file's SHA-256.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from imagefleet_worker.classifiers.base import ModelError
from imagefleet_worker.recipe import Recipe

MANIFEST = "manifest.json"
LABELS = "labels.txt"


@dataclass(frozen=True, slots=True)
class Model:
    """An exported network on disk, its files checked.

    Attributes:
        name: name and version, `efficientnet-lite0@1`.
        labels: what each of the network's outputs stands for, in order.
    """

    directory: Path
    name: str
    recipe: Recipe
    labels: tuple[str, ...]


def read_model(directory: Path, files: Iterable[str]) -> Model:
    """Return the network in `directory` after checking its labels and those `files`.

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
    for file in files:
        _checked(directory / file, checksums)
    return Model(directory, name, recipe, labels)


def _recipe(wanted: dict[str, Any]) -> Recipe:
    recipe = Recipe(int(wanted["size"]), int(wanted["resize"]), str(wanted["interpolation"]))
    if not 0 < recipe.size <= recipe.resize:
        raise ValueError(f"size {recipe.size} must be from 1 to resize {recipe.resize}")
    if recipe.interpolation not in ("bicubic", "bilinear"):
        raise ValueError(f"interpolation {recipe.interpolation!r} must be bicubic or bilinear")
    return recipe


def _checked(path: Path, checksums: dict[str, str]) -> bytes:
    if path.name not in checksums:
        raise ModelError(f"{path.parent / MANIFEST} lists no {path.name}, which this runtime runs")
    try:
        content = path.read_bytes()
    except OSError as error:
        raise ModelError(f"{path} can't be read: {error.strerror}") from error
    if hashlib.sha256(content).hexdigest() != checksums[path.name]:
        raise ModelError(f"{path} is not the file that was exported: its SHA-256 differs")
    return content
