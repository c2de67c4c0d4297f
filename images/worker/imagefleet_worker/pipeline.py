"""The way of an image through the worker: fetched, classified, and then finished."""

from __future__ import annotations

import threading
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

import numpy as np

from imagefleet_core.errors import ObjectMissing, ObjectTooLarge
from imagefleet_core.jobs import Failure, Prediction, Result
from imagefleet_core.store import Store
from imagefleet_worker.classifiers import Classifier
from imagefleet_worker.decode import BadImageError, Pixels
from imagefleet_worker.finishing import Finishing
from imagefleet_worker.leases import Leases
from imagefleet_worker.settings import WorkerSettings
from imagefleet_worker.stage import Stage
from imagefleet_worker.work import Decoded, Finished, Image


class Pipeline:
    """Five stages, each of which puts what it has done into the next one's inbox.

    Args:
        decode: makes an image file's pixels; raises `BadImageError`.
        decoders: how many images are decoded at once, each with all its pixels in memory.
        spoil: takes an image that fails in a way nobody thought of.
        clock: seconds that only go forward.
    """

    def __init__(
        self,
        settings: WorkerSettings,
        store: Store,
        leases: Leases,
        classifier: Classifier,
        finishing: Finishing,
        *,
        decode: Callable[[bytes], Pixels],
        decoders: int,
        spoil: Callable[[Image], None],
        clock: Callable[[], float],
    ) -> None:
        self._settings = settings
        self._store = store
        self._leases = leases
        self._classifier = classifier
        self._finishing = finishing
        self._decode = decode
        self._decoding = threading.BoundedSemaphore(decoders)
        self.fetching = Stage(
            "fetching images",
            self._fetch,
            spoil,
            clock=clock,
            threads=settings.io_threads,
        )
        self.classifying = Stage(
            "classifying", self._classify, spoil, clock=clock, at_most=settings.max_batch
        )

    @property
    def stages(self) -> tuple[Stage[Any], ...]:
        """All stages, in the order of an image's way."""
        finishing = self._finishing
        return (
            self.fetching,
            self.classifying,
            finishing.storing,
            finishing.replying,
            finishing.deleting,
        )

    def _fetch(self, images: list[Image]) -> None:
        for image in images:
            # One that was lost while it waited is another worker's now.
            if self._leases.owns(image.delivery):
                self._fetch_one(image, datetime.now(UTC))

    def _fetch_one(self, image: Image, started_at: datetime) -> None:
        try:
            data = self._store.get_image(image.request.key, self._settings.max_file_bytes)
            with self._decoding:
                pixels = self._decode(data)
        except ObjectMissing as error:
            self._fail(image, started_at, "image_missing", error)
        except ObjectTooLarge as error:
            self._fail(image, started_at, "file_too_large", error)
        except BadImageError as error:
            self._fail(image, started_at, error.code, error)
        else:
            self.classifying.put([Decoded(image.delivery, image.request, started_at, pixels)])

    def _classify(self, images: list[Decoded]) -> None:
        tops = self._classifier.classify(np.stack([image.pixels for image in images]))
        for image, top in zip(images, tops, strict=True):
            self._finish(image, image.started_at, tuple(top), None)

    def _fail(self, image: Image, started_at: datetime, code: str, reason: Exception) -> None:
        self._finish(image, started_at, (), Failure(code, str(reason)))

    def _finish(
        self,
        image: Image,
        started_at: datetime,
        top: tuple[Prediction, ...],
        error: Failure | None,
    ) -> None:
        result = Result(
            job=image.request.job,
            name=image.request.name,
            top=top,
            error=error,
            model=self._classifier.model,
            worker=self._settings.worker,
            submitted_at=image.request.submitted_at,
            started_at=started_at,
            finished_at=datetime.now(UTC),
        )
        self._finishing.storing.put([Finished(image.delivery, image.request, result)])
