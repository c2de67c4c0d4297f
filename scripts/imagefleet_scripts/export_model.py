"""Exports a network to the folder that a worker loads: graph, labels and manifest.

The graph takes what a decoder gives, uint8 RGB of shape (count, size, size, 3), normalises it and
answers with probabilities of shape (count, labels), so that no worker repeats the arithmetic.
The same versions of PyTorch and OpenVINO write the same bytes every time.
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
from collections.abc import Sequence
from importlib import metadata
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from imagefleet_scripts.networks import (
    LITE0,
    ExportError,
    Network,
    Weights,
    efficientnet_lite0,
    from_torchvision,
    sha256,
)
from imagefleet_worker.classifiers import PACKAGED_MODEL, load
from imagefleet_worker.classifiers.model import LABELS, MANIFEST
from imagefleet_worker.classifiers.openvino_runtime import openvino

# Halving the weights' bits moves a probability by no more than this.
TOLERANCE = 0.01


class Graph(nn.Module):
    """A network together with what happens to an image before it and to its output after it."""

    mean: Tensor
    std: Tensor

    def __init__(self, network: Network) -> None:
        super().__init__()
        self.network = network.module
        self.register_buffer("mean", torch.tensor(network.mean).reshape(1, 3, 1, 1))
        self.register_buffer("std", torch.tensor(network.std).reshape(1, 3, 1, 1))

    def forward(self, images: Tensor) -> Tensor:
        """Return probabilities (count, labels) of uint8 images (count, size, size, 3)."""
        colours = images.permute(0, 3, 1, 2).to(torch.float32)
        return torch.softmax(self.network((colours - self.mean) / self.std), dim=1)


def export(network: Network, out: Path, *, with_torch: bool = False) -> None:
    """Write a network to the folder `out`, whole or not at all.

    Args:
        with_torch: also write `model.pt2`, for the torch runtime.

    Raises:
        ExportError: the labels don't fit the network, or what was written answers otherwise.
    """
    out.mkdir(parents=True, exist_ok=True)
    graph = Graph(network).eval()
    images = _noise(network.recipe.size)
    with torch.inference_mode():
        expected = graph(images).numpy()
    if expected.shape[1] != len(network.labels):
        raise ExportError(f"{expected.shape[1]} outputs can't have {len(network.labels)} labels")
    batch = torch.export.Dim("batch", min=1)
    program = torch.export.export(graph, (images,), dynamic_shapes={"images": {0: batch}})
    with tempfile.TemporaryDirectory(dir=out, prefix=".export-") as folder:
        made = Path(folder)
        _write_openvino(program, network, made)
        if with_torch:
            _write_torch(program, made)
        (made / LABELS).write_text("\n".join(network.labels) + "\n")
        for name, text in network.notices.items():
            (made / name).write_text(text)
        (made / MANIFEST).write_text(json.dumps(_manifest(network, made), indent=2) + "\n")
        _compare(made, images.numpy(), expected)
        for file in made.iterdir():
            file.replace(out / file.name)


def _write_openvino(program: torch.export.ExportedProgram, network: Network, folder: Path) -> None:
    size = network.recipe.size
    model = openvino.convert_model(program)
    model.reshape([-1, size, size, 3])
    # Given names count what the process converted before: name by position instead.
    for position, node in enumerate(model.get_ordered_ops()):
        node.set_friendly_name(f"{node.get_type_name()}_{position}")
    openvino.save_model(model, folder / "model.xml", compress_to_fp16=True)


def _write_torch(program: torch.export.ExportedProgram, folder: Path) -> None:
    for node in program.graph.nodes:
        node.meta.pop("stack_trace", None)  # it names this machine's folders
    torch.export.save(program, folder / "model.pt2")


def _manifest(network: Network, folder: Path) -> dict[str, object]:
    recipe = network.recipe
    return {
        "name": network.name,
        "version": network.version,
        "architecture": network.architecture,
        "classes": len(network.labels),
        "input": {
            "layout": "NHWC",
            "type": "uint8",
            "colours": "RGB",
            "size": recipe.size,
            "resize": recipe.resize,
            "interpolation": recipe.interpolation,
            "mean": network.mean,
            "std": network.std,
        },
        **network.provenance,
        "made_with": {
            name: metadata.version(name).partition("+")[0] for name in ("torch", "openvino")
        },
        "files": {path.name: sha256(path) for path in sorted(folder.iterdir())},
    }


def _compare(folder: Path, images: NDArray[np.uint8], expected: NDArray[np.float32]) -> None:
    """Load what was written as a worker would and hold it against the network itself."""
    answers = load("openvino", folder).classify(images)
    for row, best in zip(expected, answers, strict=True):
        off = abs(float(row.max()) - best[0].score)
        if off > TOLERANCE:
            raise ExportError(f"the exported graph is off by {off:.3f} from the network")


def _noise(size: int) -> Tensor:
    noise = np.random.default_rng(0).integers(0, 256, (2, size, size, 3), dtype=np.uint8)
    return torch.from_numpy(noise)


def main(arguments: Sequence[str] | None = None) -> int:
    """Export what the command line names; return the exit code."""
    options = _parser().parse_args(arguments)
    try:
        network = _find(options)
        out = options.out or _default_out(network)
        print(f"exporting {network.name}@{network.version} to {out}")
        export(network, out, with_torch=options.torch)
    except ExportError as error:
        print(f"export-model: {error}", file=sys.stderr)
        return 1
    for file in json.loads((out / MANIFEST).read_text())["files"]:
        print(f"{(out / file).stat().st_size:>12,} bytes  {file}")
    return 0


def _find(options: argparse.Namespace) -> Network:
    source, _, name = options.network.partition(":")
    weights: Weights = options.weights or ("random" if options.random else "published")
    if source == "torchvision":
        return from_torchvision(name, weights, options.labels)
    if options.network != LITE0:
        raise ExportError(f"no network {options.network!r}: give {LITE0} or torchvision:NAME")
    if weights != "published" or options.labels:
        raise ExportError(f"{LITE0} comes with its own weights and labels")
    return efficientnet_lite0()


def _default_out(network: Network) -> Path:
    return PACKAGED_MODEL if network.name == LITE0 else Path(".imagefleet/models", network.name)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="export-model", description="Exports a network to a folder that a worker loads."
    )
    parser.add_argument(
        "network",
        nargs="?",
        default=LITE0,
        help=f"{LITE0} (the default) or torchvision:NAME, as in torchvision:resnet18",
    )
    parser.add_argument(
        "--out",
        type=Path,
        metavar="DIR",
        help="folder to write; the worker's own for the default network, "
        "else .imagefleet/models/NAME (IMAGEFLEET_MODEL_DIR tells a worker which one to load)",
    )
    weights = parser.add_mutually_exclusive_group()
    weights.add_argument(
        "--weights",
        type=Path,
        metavar="FILE",
        help="a state dict of the torchvision network, instead of the weights it would fetch",
    )
    weights.add_argument(
        "--random", action="store_true", help="fill the torchvision network by chance, for trials"
    )
    parser.add_argument(
        "--labels",
        type=Path,
        metavar="FILE",
        help="a label a line, for weights that don't know ImageNet's classes",
    )
    parser.add_argument(
        "--torch", action="store_true", help="also write model.pt2, for the torch runtime"
    )
    return parser


if __name__ == "__main__":
    sys.exit(main())
