"""Runs a network with PyTorch: on CUDA where there is any, and to check the other runtime.

It runs files that need no package with the network's architecture: `model.pt2`, the program that
PyTorch exported and from which `model.xml` was made, or `model.ts`, made of a TorchScript file.
`scripts/export-model` writes them.
"""

from __future__ import annotations

import warnings
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn
from torch.export.passes import move_to_device_pass

from imagefleet_worker.classifiers.base import Images, ModelError, one_line
from imagefleet_worker.classifiers.exported import Network
from imagefleet_worker.classifiers.model import Model


def load(
    model: Model,
    threads: int,
    cache_dir: Path | None,  # noqa: ARG001
    precision: str,  # noqa: ARG001
) -> Network:
    """Load a network onto CUDA, or for `threads` threads of the CPU; raises ModelError."""
    torch.set_num_threads(threads)
    device = "cuda" if torch.cuda.is_available() else "cpu"
    (file,) = model.files
    path = model.directory / file
    try:
        read = read_script if path.suffix == ".ts" else _read_program
        # Channels last is how the images come, and twice as fast on a CPU.
        module = read(path, device).to(memory_format=torch.channels_last)
    except Exception as error:
        raise ModelError(f"PyTorch can't load {path} onto {device}: {one_line(error)}") from error

    def network(images: Images) -> NDArray[np.float32]:
        with torch.inference_mode():
            answers: NDArray[np.float32] = module(torch.from_numpy(images).to(device)).cpu().numpy()
        return answers

    return network


def read_script(path: Path, device: str) -> torch.jit.ScriptModule:
    """Read a TorchScript file onto a device; raises whatever PyTorch does for any other file."""
    with warnings.catch_warnings():
        # It asks for newer files, but people have these.
        warnings.simplefilter("ignore", FutureWarning)
        module: torch.jit.ScriptModule = torch.jit.load(  # type: ignore[no-untyped-call]
            path, map_location=device
        )
        return module.eval()


def _read_program(path: Path, device: str) -> nn.Module:
    return move_to_device_pass(torch.export.load(path), device).module()
