"""Networks that name what is in a picture, each behind the same small interface."""

from __future__ import annotations

import importlib
from pathlib import Path

from imagefleet_core.jobs import Prediction
from imagefleet_worker.classifiers.base import Classifier, ModelError
from imagefleet_worker.classifiers.exported import ExportedClassifier
from imagefleet_worker.classifiers.model import read_model

__all__ = ["PACKAGED_MODEL", "RUNTIMES", "Classifier", "ModelError", "Prediction", "load"]

PACKAGED_MODEL = Path(__file__).parent.parent / "model"

# Imported only when asked for: PyTorch takes longer to import than OpenVINO to answer.
RUNTIMES = {
    "openvino": "imagefleet_worker.classifiers.openvino_runtime",
    "torch": "imagefleet_worker.classifiers.torch_runtime",
}


def load(
    runtime: str,
    model_dir: Path = PACKAGED_MODEL,
    threads: int = 1,
    cache_dir: Path | None = None,
    precision: str = "f32",
) -> Classifier:
    """Return the network in `model_dir`, ready to classify.

    Args:
        runtime: what runs it, one of `RUNTIMES`.
        model_dir: a folder that `scripts/export-model` made.
        threads: CPU threads to use, at least 1.
        cache_dir: where the runtime may keep the compiled network for the next start.
        precision: `f32`, or `native` for whatever OpenVINO finds fastest on this CPU.

    Raises:
        ModelError: the runtime or a file is missing, or a file is not the one that was exported.
    """
    if runtime not in RUNTIMES:
        raise ModelError(f"no runtime {runtime!r}; there are {' and '.join(RUNTIMES)}")
    try:
        module = importlib.import_module(RUNTIMES[runtime])
    except ModuleNotFoundError as error:
        raise ModelError(
            f"the {runtime} runtime needs the Python package {error.name}, which isn't installed"
        ) from error
    model = read_model(model_dir, runtime)
    return ExportedClassifier(model, module.load(model, threads, cache_dir, precision))
