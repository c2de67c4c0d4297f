"""A worker on fakes, run turn by turn on the test's own clock."""

from __future__ import annotations

import io
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from PIL import Image as Pillow

import fakes
from clock import Clock
from imagefleet_core import keys
from imagefleet_core.jobs import JobId, Prediction, Request, Result, new_batch_id
from imagefleet_core.telemetry import Report
from imagefleet_worker.decoding import picture as pictures_of
from imagefleet_worker.drain import Stop
from imagefleet_worker.memory import Shares
from imagefleet_worker.outcome import Outcome
from imagefleet_worker.pipeline import Tools
from imagefleet_worker.recipe import Picture, Recipe
from imagefleet_worker.settings import WorkerSettings
from imagefleet_worker.worker import Worker

# What a worker's own process needs on its path.
PACKAGES = [str(Path(__file__).parents[2] / "images" / tier) for tier in ("core", "worker")]

REQUESTS, DEAD, TELEMETRY = (
    "imagefleet-requests",
    "imagefleet-requests-dead",
    "imagefleet-telemetry",
)
REPLIES = "imagefleet-replies-of-a-test"
CURSED = (66, 6, 6)


class Colours:
    """Labels a picture with its colour; a batch with the colour `CURSED` in it blows up."""

    name = "colours@1"
    recipe = Recipe(size=8, resize=8, interpolation="bilinear")

    def __init__(self) -> None:
        self.batches: list[int] = []

    def decode(self, data: bytes) -> Picture:
        return pictures_of.read(data, self.recipe, 50_000_000)

    def process(self, pictures: Sequence[Picture]) -> list[Outcome]:
        self.batches.append(len(pictures))
        colours = [tuple(each.rgb[:3]) for each in pictures]
        if CURSED in colours:
            raise RuntimeError("the network has a bug")
        return [Outcome(top=(Prediction(label(colour), 0.9),)) for colour in colours]


def label(colour: tuple[int, ...]) -> str:
    """Return what `ColourProcessor` says of a picture of one colour."""
    return "colour {} {} {}".format(*colour)


def picture(colour: tuple[int, ...]) -> bytes:
    """Return a PNG file of one colour."""
    file = io.BytesIO()
    Pillow.new("RGB", (8, 8), colour).save(file, "PNG")
    return file.getvalue()


@dataclass
class Tier:
    """Store, queues and clock, and the workers that a test makes on them."""

    folder: Path
    clock: Clock = field(default_factory=Clock)
    store: fakes.MemoryStore = field(default_factory=fakes.MemoryStore)
    max_receives: int = 5

    def __post_init__(self) -> None:
        self.queues = fakes.MemoryQueues(self.clock)
        self.requests = self.queues.add(REQUESTS, dead_letters=DEAD, max_receives=self.max_receives)
        self.dead = self.queues.open(DEAD)
        self.replies = self.queues.add(REPLIES)
        self.telemetry = self.queues.add(TELEMETRY)
        self.colours = Colours()
        self.memory = Shares(files=1 << 20, decoding=1 << 20, pixels=1 << 20)
        self.stop = Stop()

    def worker(self, image_s: float = 0.0, **settings: Any) -> Worker:
        """Return a new worker that nobody runs yet."""
        fixed = {"receive_wait_s": 0, "heartbeat_file": str(self.folder / "alive")}
        tools = Tools(
            name=self.colours.name,
            recipe=self.colours.recipe,
            decode=lambda data: self.colours.decode(data),
            decoders=1,
            process=lambda pictures: self.colours.process(pictures),
            memory=self.memory,
        )
        worker = Worker(
            WorkerSettings(**{"worker_id": "worker-1", **fixed, **settings}),
            self.store,
            self.queues,
            tools,
            self.stop,
            image_s=image_s,
            clock=self.clock,
            gather_s=0,
        )
        # Whether this machine is short of memory or disk is no business of the tests.
        worker.pressure._short = lambda: ""  # type: ignore[method-assign]
        return worker

    def submit(self, files: Iterable[bytes], reply_to: str | None = REPLIES) -> list[JobId]:
        """Accept images as the web tier does: store them, then send a request for each."""
        batch = new_batch_id()
        requests = []
        for number, file in enumerate(files, 1):
            job, name = JobId(batch, number), f"{number}.png"
            request = Request(job, keys.input_key(job, name), name, reply_to, datetime.now(UTC))
            self.store.put_image(request.key, file, "image/png")
            requests.append(request)
        self.requests.send([request.encode() for request in requests])
        return [request.job for request in requests]

    def found(self, job: JobId) -> Result | None:
        """Return the result of a job, if it has one, whether or not the store answers."""
        body = self.store.results.get(keys.result_key(job))
        return Result.decode(body) if body else None

    def result(self, job: JobId) -> Result:
        """Return the result of a job, which it must have."""
        result = self.found(job)
        assert result is not None, f"{job} has no result"
        return result

    def told(self) -> Counter[JobId]:
        """Return how often each job's result was sent as a reply."""
        return Counter(Result.decode(body).job for body in self.replies.bodies())

    def reports(self) -> list[Report]:
        """Return what the workers told the scaler."""
        return [Report.decode(body) for body in self.telemetry.bodies()]


def work(worker: Worker) -> None:
    """Take turns until there is nothing more to do without waiting."""
    while True:
        worker.consumer.turn()
        if not finish(worker):
            return


def finish(worker: Worker) -> bool:
    """Take the stages' turns until what is held is done; return whether there was any."""
    turns = 0
    for stage in worker.pipeline.stages:
        while stage.turn():
            turns += 1
    return turns > 0


def jobs_in(replies: fakes.MemoryQueue) -> list[JobId]:
    """Return the jobs whose results a reply queue holds."""
    return [Result.decode(body).job for body in replies.bodies()]


def batches_of(queue: fakes.MemoryQueue, call: str) -> list[int]:
    """Return a list that fills with how many items each `call` of the queue takes at once."""
    sizes: list[int] = []
    original = getattr(queue, call)

    def counting(items: Iterable[str], *more: int) -> Any:
        items = list(items)
        sizes.append(len(items))
        return original(items, *more)

    setattr(queue, call, counting)
    return sizes
