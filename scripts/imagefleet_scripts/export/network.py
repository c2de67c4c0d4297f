"""A network that can be exported, with all that a worker must know of it."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from importlib import metadata
from pathlib import Path
from typing import Any

import torch
from torch import nn

from imagefleet_core.errors import ImagefleetError
from imagefleet_worker.recipe import Recipe


class ExportError(ImagefleetError):
    """The network can't be exported; the message says why in a line."""


@dataclass(frozen=True, kw_only=True)
class Network:
    """A network in PyTorch, from normalised images (count, 3, size, size) to (count, labels).

    Attributes:
        mean: subtracted from each colour of 0 to 255.
        std: what each colour is divided by then.
        labels: what each output stands for, in order.
        probabilities: whether the network's own outputs are that, and not logarithms of odds.
        provenance: where all of it comes from, for the manifest.
        notices: licence texts by file name.
    """

    name: str
    version: str
    architecture: str
    module: nn.Module
    recipe: Recipe
    mean: tuple[float, ...]
    std: tuple[float, ...]
    labels: tuple[str, ...]
    provenance: dict[str, Any]
    notices: dict[str, str] = field(default_factory=dict)
    probabilities: bool = False


def fill(module: nn.Module, path: Path, name: str) -> None:
    """Load the state dict in a file; raises ExportError if it isn't one of this network."""
    try:
        state = torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:
        raise ExportError(f"{path} is not a file of PyTorch weights") from error
    if not isinstance(state, Mapping):
        raise ExportError(f"{path} holds a {type(state).__name__} instead of a state dict")
    wanted, found = _shapes(module.state_dict()), _shapes(state)
    if wrong := sorted(key for key in wanted | found if wanted.get(key) != found.get(key)):
        key = wrong[0]
        raise ExportError(
            f"{path} is not a state dict of {name}: {len(wrong)} weights differ, for one "
            f"{key} is {found.get(key, 'missing')} and should be {wanted.get(key, 'absent')}"
        )
    module.load_state_dict(state)


def read_labels(path: Path) -> tuple[str, ...]:
    """Return the labels in a file, one a line in the order of the outputs; raises ExportError."""
    try:
        labels = tuple(path.read_text("utf-8").splitlines())
    except (OSError, UnicodeDecodeError) as error:
        raise ExportError(f"can't read the labels in {path}: {error}") from error
    if not labels or not all(label.strip() for label in labels):
        raise ExportError(f"{path} must have one label a line and no empty line")
    return labels


def sha256(path: Path) -> str:
    """Return a file's SHA-256 in hexadecimal."""
    return hashlib.sha256(path.read_bytes()).hexdigest()


def source(package: str, of: str, licence: str) -> dict[str, str]:
    """Return what the manifest says of an installed package that something was taken from."""
    # A local part, as in 2.14.1+cpu, names a build of the same source.
    version = metadata.version(package).partition("+")[0]
    return {"package": package, "version": version, "of": of, "licence": licence}


def licence_text(package: str) -> str:
    """Return the licence that an installed package carries."""
    text = metadata.distribution(package).read_text("LICENSE")
    if text is None:
        raise ExportError(f"the installed package {package} has no LICENSE")
    return text


def _shapes(state: Mapping[str, Any]) -> dict[str, tuple[int, ...]]:
    return {
        key: tuple(getattr(value, "shape", ()))
        for key, value in state.items()
        # Only training uses this counter, and files from before PyTorch 0.4.1 lack it.
        if not key.endswith("num_batches_tracked")
    }
