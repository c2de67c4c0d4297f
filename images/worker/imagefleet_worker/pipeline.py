"""The way of an image through the worker: fetched, decoded, processed, and then finished."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import ExitStack, suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import structlog

from imagefleet_core.errors import DecodeError, ObjectMissing, ObjectTooLarge
from imagefleet_core.jobs import Failure, Request, Result, Status
from imagefleet_core.keys import dropped_key, parse_inbox_key
from imagefleet_core.store import Store
from imagefleet_worker.budget import Budget
from imagefleet_worker.children.child import ChildLost
from imagefleet_worker.decoding.formats import BadImageError
from imagefleet_worker.finishing import Finishing
from imagefleet_worker.leases import Leases
from imagefleet_worker.memory import Shares
from imagefleet_worker.outcome import Outcome
from imagefleet_worker.recipe import Picture, Recipe
from imagefleet_worker.settings import WorkerSettings
from imagefleet_worker.stage import Stage
from imagefleet_worker.work import Decoded, Fetched, Finished, Image

log = structlog.get_logger()


@dataclass(frozen=True, slots=True)
class Tools:
    """What works on the images.

    Attributes:
        name: name and version of the processor, which stand in every result.
        recipe: how it wants its pictures.
        decode: makes an image file's picture; raises `BadImageError` or `ChildLost`.
        decoders: how many images are decoded at once.
        process: works on a batch of pictures.
        memory: the bytes that images may take.
    """

    name: str
    recipe: Recipe
    decode: Callable[[bytes], Picture]
    decoders: int
    process: Callable[[Sequence[Picture]], Sequence[Outcome]]
    memory: Shares


class Pipeline:
    """Six stages, each of which puts what it has done into the next one's inbox.

    Files and pixels wait for memory before they are taken into it, and give it back in the next
    stage. The last stage that uses any waits for none, so the pipeline can't stand still.

    Args:
        tools: what works on the images.
        give_back: lets others have an image that fails here in a way nobody thought of.
        clock: seconds that only go forward.
    """

    def __init__(
        self,
        settings: WorkerSettings,
        store: Store,
        leases: Leases,
        tools: Tools,
        finishing: Finishing,
        *,
        give_back: Callable[[Image], None],
        clock: Callable[[], float],
    ) -> None:
        self._settings = settings
        self._store = store
        self._leases = leases
        self._tools = tools
        self._finishing = finishing
        self._give_back = give_back
        self._files = Budget(tools.memory.files)
        self._pictures = Budget(tools.memory.pixels)
        self.fetching = Stage(
            "fetching images", self._fetch, give_back, clock=clock, threads=settings.io_threads
        )
        self.decoding = Stage(
            "decoding", self._open, give_back, clock=clock, threads=tools.decoders
        )
        self.processing = Stage(
            "processing", self._process, self._abandon, clock=clock, at_most=settings.max_batch
        )

    @property
    def stages(self) -> tuple[Stage[Any], ...]:
        """All stages, in the order of an image's way."""
        finishing = self._finishing
        return (
            self.fetching,
            self.decoding,
            self.processing,
            finishing.storing,
            finishing.replying,
            finishing.deleting,
        )

    def memory(self) -> dict[str, tuple[int, int]]:
        """Return the bytes that are taken, and those that may be, by what they are taken for."""
        uses = {"files": self._files, "pixels": self._pictures}
        return {use: (each.used(), each.total_bytes) for use, each in uses.items()}

    def _fetch(self, images: list[Image]) -> None:
        for image in images:
            # One that was lost while it waited is another worker's now.
            if not self._leases.owns(image.delivery):
                continue
            if answer := self._answer(image.request):
                self._finishing.deleting.put([Finished(image.delivery, image.request, answer)])
            else:
                self._fetch_one(image, datetime.now(UTC))

    def _answer(self, request: Request) -> Result | None:
        """Return the answer that there is to an image which its client uploads itself.

        A form can be used again and again while it is good; of each, one answer is enough.
        """
        if parse_inbox_key(request.key) is None:
            return None
        with suppress(DecodeError):
            result = self._store.get_result(request.job)
            return result if result and result.status is Status.DONE else None
        return None

    def _fetch_one(self, image: Image, started_at: datetime) -> None:
        with ExitStack() as memory:

            def admit(size: int) -> None:
                memory.enter_context(self._files.reserve(size))

            try:
                data = self._store.get_image(
                    image.request.key, self._settings.max_file_bytes, admit=admit
                )
            except ObjectMissing as error:
                self._fail(image, started_at, "image_missing", error)
            except ObjectTooLarge as error:
                self._fail(image, started_at, "file_too_large", error)
            else:
                kept = memory.pop_all()
                self.decoding.put([Fetched(image.delivery, image.request, started_at, data, kept)])

    def _open(self, images: list[Fetched]) -> None:
        for image in images:
            with image.memory:
                if self._leases.owns(image.delivery):
                    self._open_one(image)

    def _open_one(self, image: Fetched) -> None:
        with ExitStack() as memory:
            memory.enter_context(self._pictures.reserve(self._tools.recipe.most_bytes))
            try:
                picture = self._tools.decode(image.data)
            except BadImageError as error:
                self._fail(image, image.started_at, error.code, error)
            except ChildLost as error:
                log.warning("an image goes back", job=str(image.request.job), reason=str(error))
                self._give_back(image)
            else:
                started_at, kept = image.started_at, memory.pop_all()
                self.processing.put(
                    [Decoded(image.delivery, image.request, started_at, picture, kept)]
                )

    def _process(self, images: list[Decoded]) -> None:
        outcomes = self._tools.process([image.picture for image in images])
        for image, outcome in zip(images, outcomes, strict=True):
            image.memory.close()
            self._finish(image, image.started_at, outcome)

    def _abandon(self, image: Decoded) -> None:
        image.memory.close()
        self._give_back(image)

    def _fail(self, image: Image, started_at: datetime, code: str, reason: Exception) -> None:
        self._finish(image, started_at, Outcome(error=Failure(code, str(reason))))

    def _finish(self, image: Image, started_at: datetime, outcome: Outcome) -> None:
        result = Result(
            job=image.request.job,
            name=image.request.name,
            top=outcome.top,
            output=outcome.output,
            error=outcome.error,
            model=self._tools.name,
            worker=self._settings.worker,
            submitted_at=image.request.submitted_at,
            started_at=started_at,
            finished_at=datetime.now(UTC),
            key=dropped_key(image.request.key),
        )
        self._finishing.storing.put([Finished(image.delivery, image.request, result)])
