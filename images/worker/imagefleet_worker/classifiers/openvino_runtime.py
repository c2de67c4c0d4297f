"""Runs a network with OpenVINO on the CPU: small, quick to start, quick to answer."""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from imagefleet_worker.classifiers.base import Images, ModelError, one_line
from imagefleet_worker.classifiers.exported import Network
from imagefleet_worker.classifiers.model import Model

# Importing OpenVINO sends usage reports to its makers, unless it finds this package missing.
sys.modules.setdefault("openvino_telemetry", None)  # type: ignore[arg-type]

import openvino  # type: ignore[import-untyped]  # noqa: E402

__all__ = ["load", "openvino"]


def load(model: Model, threads: int, cache_dir: Path | None, precision: str) -> Network:
    """Compile a network for `threads` threads of this CPU; raises ModelError."""
    settings = {
        # All threads work on one batch: streams of one thread each give no more images a second
        # (docs/evaluation.md) and take longer for every one of them.
        "PERFORMANCE_HINT": "LATENCY",
        "INFERENCE_NUM_THREADS": threads,
        # Else all the workers of a machine pin their threads to the same first CPUs.
        "ENABLE_CPU_PINNING": False,
    }
    if precision == "f32":
        # Else CPUs that have bfloat16 use it, and the answer depends on the CPU that gave it.
        settings["INFERENCE_PRECISION_HINT"] = "f32"
    if cache_dir:
        # What is kept doesn't tell what it was compiled for.
        settings["CACHE_DIR"] = str(cache_dir / precision)
    try:
        compiled = openvino.Core().compile_model(model.directory / "model.xml", "CPU", settings)
    except RuntimeError as error:
        raise ModelError(f"OpenVINO can't load {model.directory}: {one_line(error)}") from error
    request = compiled.create_infer_request()

    def network(images: Images) -> NDArray[np.float32]:
        answers: NDArray[np.float32] = request.infer({0: images}, share_inputs=True)[0]
        return answers

    return network
