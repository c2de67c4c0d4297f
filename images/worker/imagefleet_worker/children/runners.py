"""Work on images in a process of its own, so that no image can take the worker with it."""

from __future__ import annotations

import json
import os
import sys
import threading
import time
from collections.abc import Sequence
from types import TracebackType
from typing import Self

from imagefleet_core.errors import ImagefleetError
from imagefleet_worker.children import protocol
from imagefleet_worker.children.child import Child, ChildLost
from imagefleet_worker.children.place import Place
from imagefleet_worker.children.protocol import Closed
from imagefleet_worker.outcome import Outcome
from imagefleet_worker.recipe import Picture, Recipe

COMMAND = (sys.executable, "-m", "imagefleet_worker.children.runner")


class ProcessorFailed(ImagefleetError):
    """The image function raised an error; another worker may try again."""


class RunnerProcess(Child):
    """A runner's process. Only one thread may use it at a time, but for `interrupt`.

    Attributes:
        name: name and version of what works on the images.
        recipe: how it wants its pictures.
        image_s: seconds that one picture took it.

    Raises:
        ChildLost: the system starts no process.
    """

    name: str
    recipe: Recipe
    image_s: float

    def __init__(self, command: Sequence[str], limit_s: float) -> None:
        # Whatever the user's image function reads from the environment must be there.
        super().__init__("the processor", command, os.environ, keep_complaints=False)
        self._limit_s = limit_s

    def _greeted(self, kind: bytes, body: bytes) -> None:
        """Learn what works on the images; raises `ChildLost` if nothing does."""
        if kind == protocol.BAD:
            raise ChildLost(body.decode())
        self.name, recipe, self.image_s = json.loads(body)
        self.recipe = Recipe(*recipe)

    def process(self, pictures: Sequence[Picture]) -> list[Outcome]:
        """Return what became of each picture; afterwards the process may be there or not.

        Raises:
            ProcessorFailed: the image function raised an error.
            ChildLost: it took too long, or the process is gone.
        """
        deadline = time.monotonic() + self._limit_s
        shapes = b"".join(protocol.SHAPE.pack(each.height, each.width) for each in pictures)
        count = protocol.NUMBER.pack(len(pictures))
        colours = (each.rgb for each in pictures)
        try:
            kind, length = self._ask(deadline, protocol.BATCH, count, shapes, *colours)
            body = self._receive(length)
        except Closed as error:
            raise ChildLost(f"the processor is gone: {self._end()[1]}") from error
        except TimeoutError as error:
            self.close()
            raise ChildLost(f"processing took longer than {self._limit_s:g} s") from error
        except BaseException:
            self.close()  # nobody knows what it would say next
            raise
        if kind == protocol.BAD:
            raise ProcessorFailed(body.decode(errors="replace"))
        return [Outcome.decode(each) for each in json.loads(body)]


class Runner:
    """The process that works on images, followed by another if it ends; a context manager.

    Args:
        limit_s: what a batch may take.
        command: what starts the process.
    """

    def __init__(self, *, limit_s: float, command: Sequence[str] = COMMAND) -> None:
        self._closing = threading.Event()
        self._place = Place(lambda: RunnerProcess(command, limit_s), self._closing)

    def __enter__(self) -> Self:
        self._place.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._closing.set()
        self._place.interrupt()  # while another thread may still wait for it
        self._place.close()

    def await_ready(self) -> RunnerProcess:
        """Return the process once it can be used; raises `ChildLost` that says why it can't."""
        return self._place.child()

    def restarts(self) -> int:
        """Return how many processes have followed one that ended."""
        return self._place.restarts

    def process(self, pictures: Sequence[Picture]) -> list[Outcome]:
        """Return what became of each picture, in order; only one thread may call this at a time.

        Raises:
            ProcessorFailed: the image function raised an error.
            ChildLost: it took too long, or its process is gone.
        """
        process = self._place.child()
        try:
            return process.process(pictures)
        finally:
            self._place.renew()
