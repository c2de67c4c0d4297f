"""Runs a network with PyTorch: on CUDA where there is any, and to check the other runtime.

It runs `model.pt2`, the program that PyTorch exported and from which `model.xml` was made, so it
needs no package with the network's architecture. `scripts/export-model --torch` writes it.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch.export.passes import move_to_device_pass

from imagefleet_worker.classifiers.base import Images, ModelError
from imagefleet_worker.classifiers.exported import Network
from imagefleet_worker.classifiers.model import Model

FILES = ("model.pt2",)


def load(model: Model, threads: int, cache_dir: Path | None) -> Network:  # noqa: ARG001
    """Load a network onto CUDA, or for `threads` threads of the CPU; raises ModelError."""
    torch.set_num_threads(threads)
    device = "cuda" if torch.cuda.is_available() else "cpu"
    path = model.directory / "model.pt2"
    try:
        program = move_to_device_pass(torch.export.load(path), device)
    except Exception as error:
        raise ModelError(f"PyTorch can't load {path}: {error}") from error
    # Channels last is how the images come, and twice as fast on a CPU.
    module = program.module().to(memory_format=torch.channels_last)

    def network(images: Images) -> NDArray[np.float32]:
        with torch.inference_mode():
            answers: NDArray[np.float32] = module(torch.from_numpy(images).to(device)).cpu().numpy()
        return answers

    return network
