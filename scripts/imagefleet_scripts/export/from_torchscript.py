"""A classifier that somebody saved with `torch.jit.save`, of whatever architecture."""

from __future__ import annotations

from pathlib import Path

import torch

from imagefleet_scripts.export.network import ExportError, Network, read_labels, sha256
from imagefleet_worker.classifiers.base import one_line
from imagefleet_worker.classifiers.torch_runtime import read_script
from imagefleet_worker.recipe import Recipe

Colours = tuple[float, ...]

# What torchvision's networks were trained with, and most others.
# https://pytorch.org/vision/stable/models.html
MEAN: Colours = (0.485, 0.456, 0.406)
STD: Colours = (0.229, 0.224, 0.225)


def from_torchscript(
    file: Path, labels: Path, recipe: Recipe, *, mean: Colours = MEAN, std: Colours = STD
) -> Network:
    """Return the network in a TorchScript file; its name is the file's, its version the content's.

    Args:
        file: takes normalised images (count, 3, size, size), gives (count, labels).
        labels: file of a label a line, in the order of the outputs.
        mean: subtracted from each colour of 0 to 1.
        std: what each colour is divided by then.

    Raises:
        ExportError: the file is none of TorchScript, or takes or gives something else.
    """
    try:
        module = read_script(file, "cpu")
    except Exception as error:
        raise ExportError(f"{file} is not a file of TorchScript: {one_line(error)}") from error
    digest = sha256(file)
    return Network(
        name=file.stem,
        version=digest[:8],
        architecture="TorchScript",
        module=module,
        recipe=recipe,
        mean=tuple(255 * each for each in mean),
        std=tuple(255 * each for each in std),
        labels=read_labels(labels),
        provenance={"weights": {"file": file.name, "sha256": digest}},
        probabilities=_gives_probabilities(module, file, recipe.size),
    )


def _gives_probabilities(module: torch.nn.Module, file: Path, size: int) -> bool:
    """Try the network on noise; return whether what it gives needs no softmax."""
    noise = torch.randn((2, 3, size, size), generator=torch.Generator().manual_seed(0))
    try:
        with torch.inference_mode():
            answers = module(noise)
    except Exception as error:
        raise ExportError(
            f"{file} can't work on images of shape (2, 3, {size}, {size}): {_last_line(error)}"
        ) from error
    if not isinstance(answers, torch.Tensor) or answers.ndim != 2 or len(answers) != 2:
        shape = getattr(answers, "shape", type(answers).__name__)
        raise ExportError(f"{file} gives {shape} for two images instead of (2, labels)")
    ones = answers.sum(dim=1)
    return bool((answers >= 0).all()) and torch.allclose(ones, torch.ones_like(ones), atol=1e-3)


def _last_line(error: Exception) -> str:
    """Return the end of TorchScript's own traceback, which is its reason."""
    return str(error).strip().splitlines()[-1].strip()
