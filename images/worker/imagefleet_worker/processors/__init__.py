"""What is done with the images: the classifier, or a class of the user's own.

Such a class needs `Recipe`, `Resources` and perhaps `Rejected` from here; docs/processors.md
shows one.
"""

from __future__ import annotations

from pathlib import Path

from imagefleet_worker import classifiers
from imagefleet_worker.decoding.pixels import Pixels
from imagefleet_worker.outcome import Outcome
from imagefleet_worker.processors.adapter import Adapter
from imagefleet_worker.processors.base import Processor, ProcessorError
from imagefleet_worker.processors.classification import Classification
from imagefleet_worker.processors.interface import ImageFunction, Rejected, Resources
from imagefleet_worker.processors.loading import load_function
from imagefleet_worker.recipe import Recipe
from imagefleet_worker.settings import WorkerSettings

__all__ = [
    "ImageFunction",
    "Outcome",
    "Pixels",
    "Processor",
    "ProcessorError",
    "Recipe",
    "Rejected",
    "Resources",
    "load",
]


def load(settings: WorkerSettings, cpus: int) -> Processor:
    """Return what works on the images, not yet warm: the user's own class, or the classifier.

    Args:
        cpus: how many threads it may use, unless the settings say so.

    Raises:
        ProcessorError: there is no such class, or it can't be used.
        ModelError: the classifier's network can't be loaded.
    """
    model_dir = Path(settings.model_dir) if settings.model_dir else None
    threads = settings.threads or cpus
    if settings.processor:
        return Adapter(load_function(settings.processor, Resources(threads, model_dir)))
    folder = model_dir or classifiers.PACKAGED_MODEL
    cache_dir = Path(settings.model_cache) if settings.model_cache else None
    network = classifiers.load(settings.runtime, folder, threads, cache_dir, settings.precision)
    return Classification(network)
