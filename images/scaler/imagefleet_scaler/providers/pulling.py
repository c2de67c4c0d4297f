"""Pulls the workers' image beside the loop, which goes on meanwhile."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from typing import Any

import docker
import requests
import structlog
from docker.errors import DockerException
from docker.utils import parse_repository_tag

TELL_EVERY_S = 5.0
MIB = 1024 * 1024

log = structlog.get_logger()


class Pull:
    """One pull at a time, in a thread that ends with the process.

    Args:
        engine: from `engine.connect`.
        clock: seconds that only go forward.
    """

    def __init__(
        self, engine: docker.DockerClient, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._engine = engine
        self._clock = clock
        self._thread: threading.Thread | None = None
        self._failure = ""

    @property
    def goes_on(self) -> bool:
        """Whether an image is being pulled."""
        return self._thread is not None and self._thread.is_alive()

    def failure(self) -> str:
        """Return why the last pull came to nothing, once; empty if it did not."""
        failure, self._failure = self._failure, ""
        return failure

    def begin(self, image: str) -> None:
        """Pull an image, unless that is being done."""
        if self.goes_on:
            return
        self._failure = ""
        self._thread = threading.Thread(target=self._run, args=[image], name="pull", daemon=True)
        self._thread.start()

    def _run(self, image: str) -> None:
        log.info("the workers' image is being pulled", image=image)
        try:
            self._pull(image)
        except (DockerException, requests.RequestException) as error:
            self._failure = getattr(error, "explanation", None) or str(error)
        if self._failure:
            log.warning("the workers' image can't be pulled", image=image, reason=self._failure)
        else:
            log.info("the workers' image is here", image=image)

    def _pull(self, image: str) -> None:
        repository, tag = parse_repository_tag(image)
        progress, told_at = Progress(), self._clock()
        for event in self._engine.api.pull(repository, tag or "latest", stream=True, decode=True):
            progress.take_in(event)
            if "error" in event:
                self._failure = str(event["error"])
                return
            if self._clock() - told_at >= TELL_EVERY_S:
                told_at = self._clock()
                log.info("pulling the workers' image", image=image, done=str(progress))


class Progress:
    """How much of an image's layers has come."""

    def __init__(self) -> None:
        self._layers: dict[str, tuple[int, int]] = {}

    def take_in(self, event: dict[str, Any]) -> None:
        """Take in what the engine says of a layer."""
        layer, detail = event.get("id"), event.get("progressDetail") or {}
        if not layer:
            return
        if event.get("status") == "Downloading" and detail.get("total"):
            self._layers[layer] = int(detail.get("current", 0)), int(detail["total"])
        elif event.get("status") in {"Download complete", "Pull complete"}:
            total = self._layers.get(layer, (0, 0))[1]
            self._layers[layer] = total, total

    def __str__(self) -> str:
        """Say it in mebibytes."""
        come = sum(current for current, _ in self._layers.values())
        total = sum(of for _, of in self._layers.values())
        return f"{come / MIB:.0f} of {total / MIB:.0f} MiB"
