"""The classifiers of torchvision, with its weights or others."""

from __future__ import annotations

import difflib
from pathlib import Path
from typing import Any, Literal, TypeAlias

import torch
from torch import nn
from torchvision import models  # type: ignore[import-untyped]

from imagefleet_scripts.export.network import (
    ExportError,
    Network,
    fill,
    licence_text,
    read_labels,
    sha256,
    source,
)
from imagefleet_worker.recipe import Recipe

# Arguments that torchvision passes when it loads weights, and that differ from the defaults.
_ARGUMENTS = {
    "googlenet": {"transform_input": True, "init_weights": False},
    "inception_v3": {"transform_input": True, "init_weights": False},
}

# What fills a torchvision network: the weights that torchvision fetches, chance, or a file.
Weights: TypeAlias = Literal["published", "random"] | Path


def from_torchvision(name: str, weights: Weights, labels: Path | None = None) -> Network:
    """Return one of torchvision's classifiers.

    Args:
        name: torchvision's own, `resnet18`.
        weights: what fills it; a file must hold a state dict of this network.
        labels: file of a label a line, in the order of the outputs; ImageNet's unless given.

    Raises:
        ExportError: there is no such network or file, or the file holds another network's weights.
    """
    names = models.list_models(module=models)
    if name not in names:
        similar = ", ".join(difflib.get_close_matches(name, names)) or "resnet18 or efficientnet_b0"
        raise ExportError(f"torchvision has no classifier {name!r}; try {similar}")
    if isinstance(weights, Path) and not weights.is_file():
        raise ExportError(f"there is no file {weights}")
    known = models.get_model_weights(name)
    # Each published file has a recipe of its own; for other weights the newest one's is taken.
    chosen = next(
        (
            each
            for each in known
            if isinstance(weights, Path) and Path(each.url).name == weights.name
        ),
        known.DEFAULT,
    )
    preset = chosen.transforms()
    texts = read_labels(labels) if labels else tuple(chosen.meta["categories"])
    return Network(
        name=name,
        version=_version(weights, chosen.name),
        architecture=name,
        module=_module(name, weights, chosen, len(texts)),
        recipe=Recipe(preset.crop_size[0], preset.resize_size[0], preset.interpolation.value),
        mean=tuple(255 * each for each in preset.mean),
        std=tuple(255 * each for each in preset.std),
        labels=texts,
        provenance={
            "preprocessing": f"torchvision {chosen}",
            "weights": _describe(weights, chosen),
            "sources": [source("torchvision", "architecture, labels", "BSD-3-Clause")],
        },
        notices={"LICENSE": licence_text("torchvision")},
    )


def _module(name: str, weights: Weights, chosen: Any, classes: int) -> nn.Module:
    module: nn.Module
    if weights == "published":
        try:
            module = models.get_model(name, weights=chosen)
        except OSError as error:
            raise ExportError(
                f"can't fetch {chosen.url}: {error}; give --weights FILE or --random"
            ) from error
        return module
    torch.manual_seed(0)
    arguments = _ARGUMENTS.get(name, {})
    module = models.get_model(name, weights=None, num_classes=classes, **arguments)
    if isinstance(weights, Path):
        fill(module, weights, name)
    return module


def _version(weights: Weights, published: str) -> str:
    if isinstance(weights, Path):
        return sha256(weights)[:8]
    return published.lower() if weights == "published" else weights


def _describe(weights: Weights, chosen: Any) -> dict[str, str]:
    if isinstance(weights, Path):
        return {"file": weights.name, "sha256": sha256(weights)}
    return {"url": chosen.url} if weights == "published" else {"random": "seed 0"}
