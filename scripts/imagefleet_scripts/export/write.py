"""Writes a network to the folder that a worker loads: graph, labels and manifest.

The graph takes what a decoder gives, uint8 RGB of shape (count, size, size, 3), normalises it and
answers with probabilities of shape (count, labels), so that no worker repeats the arithmetic.
The same versions of PyTorch and OpenVINO write the same bytes every time.

A network in TorchScript can't be exported as others can: it stays TorchScript, with the rest of
the graph around it, for the torch runtime. OpenVINO gets it as well, if it can convert it.
"""

from __future__ import annotations

import json
import sys
import tempfile
import warnings
from importlib import metadata
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from imagefleet_scripts.export.network import ExportError, Network, sha256
from imagefleet_worker.classifiers import load
from imagefleet_worker.classifiers.base import one_line
from imagefleet_worker.classifiers.model import LABELS, MANIFEST, RUNS, runnable
from imagefleet_worker.classifiers.openvino_runtime import openvino

# Halving the weights' bits may move a probability by this much.
TOLERANCE = 0.01


class Graph(nn.Module):
    """A network together with what happens to an image before it and to its output after it."""

    mean: Tensor
    std: Tensor

    def __init__(self, network: Network) -> None:
        super().__init__()
        self.network = network.module
        self.probabilities = network.probabilities
        self.register_buffer("mean", torch.tensor(network.mean).reshape(1, 3, 1, 1))
        self.register_buffer("std", torch.tensor(network.std).reshape(1, 3, 1, 1))

    def forward(self, images: Tensor) -> Tensor:
        """Return probabilities (count, labels) of uint8 images (count, size, size, 3)."""
        colours = images.permute(0, 3, 1, 2).to(torch.float32)
        answers: Tensor = self.network((colours - self.mean) / self.std)
        return answers if self.probabilities else torch.softmax(answers, dim=1)


def export(network: Network, out: Path, *, with_torch: bool = False) -> None:
    """Write a network to the folder `out`, whole or not at all.

    Args:
        with_torch: also write `model.pt2`, for the torch runtime, of what is not TorchScript.

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
    with tempfile.TemporaryDirectory(dir=out, prefix=".export-") as folder:
        made = Path(folder)
        if isinstance(network.module, torch.jit.ScriptModule):
            _write_script(graph, images, network, made)
        else:
            _write_program(graph, images, network, made, with_torch=with_torch)
        (made / LABELS).write_text("\n".join(network.labels) + "\n", "utf-8")
        for name, text in network.notices.items():
            (made / name).write_text(text, "utf-8")
        (made / MANIFEST).write_text(json.dumps(_manifest(network, made), indent=2) + "\n")
        _compare(made, images.numpy(), expected)
        for file in made.iterdir():
            file.replace(out / file.name)


def _write_program(
    graph: Graph, images: Tensor, network: Network, folder: Path, *, with_torch: bool
) -> None:
    batch = torch.export.Dim("batch", min=1)
    program = torch.export.export(graph, (images,), dynamic_shapes={"images": {0: batch}})
    _write_openvino(openvino.convert_model(program), network, folder)
    if with_torch:
        for node in program.graph.nodes:
            node.meta.pop("stack_trace", None)  # it names this machine's folders
        torch.export.save(program, folder / "model.pt2")


def _write_script(graph: Graph, images: Tensor, network: Network, folder: Path) -> None:
    with warnings.catch_warnings():
        # PyTorch asks for newer files, but this network is there in TorchScript only.
        warnings.simplefilter("ignore", FutureWarning)
        traced = torch.jit.trace(graph, (images,))  # type: ignore[no-untyped-call]
    traced.save(folder / "model.ts")
    try:
        model = openvino.convert_model(traced, example_input=images)
        openvino.compile_model(model, "CPU")  # some operations are refused only here
    except Exception as error:  # noqa: BLE001  # its frontends raise what they like
        print(
            "OpenVINO can't convert it; workers need IMAGEFLEET_RUNTIME=torch: " + one_line(error),
            file=sys.stderr,
        )
        return
    _write_openvino(model, network, folder)


def _write_openvino(model: openvino.Model, network: Network, folder: Path) -> None:
    size = network.recipe.size
    model.reshape([-1, size, size, 3])
    # The names it gives count what this process converted before; ours are always the same.
    model.set_friendly_name(network.name)
    for position, node in enumerate(model.get_ordered_ops()):
        node.set_friendly_name(f"{node.get_type_name()}_{position}")
    openvino.save_model(model, folder / "model.xml", compress_to_fp16=True)


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
    written = {path.name for path in folder.iterdir()}
    for runtime in RUNS:
        if not runnable(runtime, written):
            continue
        answers = load(runtime, folder, torch.get_num_threads()).classify(images)
        for row, best in zip(expected, answers, strict=True):
            off = abs(float(row.max()) - best[0].score)
            if off > TOLERANCE:
                raise ExportError(
                    f"the exported graph is off by {off:.3f} from the network, with {runtime}"
                )


def _noise(size: int) -> Tensor:
    noise = np.random.default_rng(0).integers(0, 256, (2, size, size, 3), dtype=np.uint8)
    return torch.from_numpy(noise)
