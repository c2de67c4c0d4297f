"""The runner: the process in which images are worked on, and that may die of any of them.

It loads the network, or the user's own image function, and says so. From then on it answers
batches of pictures over the socket that is its standard input, until the other end is closed. So
what crashes in C or a GPU's driver, or never returns from there, takes no other image with it.
"""

from __future__ import annotations

import json
import os
import signal
import socket
import sys
import threading
import time
from contextlib import suppress
from dataclasses import astuple
from pathlib import Path

import numpy as np
import structlog

from imagefleet_core import logs
from imagefleet_core.errors import ImagefleetError
from imagefleet_core.settings import load
from imagefleet_worker import processors
from imagefleet_worker.children import protocol
from imagefleet_worker.children.protocol import Closed
from imagefleet_worker.machine.cpus import usable_cpus
from imagefleet_worker.processors import Pixels, Processor
from imagefleet_worker.processors.adapter import grey
from imagefleet_worker.settings import WorkerSettings

log = structlog.get_logger()


def main() -> None:
    """Answer the worker until it hangs up."""
    settings = load(WorkerSettings, os.environ)
    logs.configure("worker", level=settings.log_level, format=settings.log_format)
    _prepare()
    # Not on the main thread: OpenVINO leaves a signal stack of its own on the one that loads it,
    # and a library of the user's may handle signals.
    serving = threading.Thread(target=_serve, args=(settings,), daemon=True)
    serving.start()
    serving.join()


def _prepare() -> None:
    # Ctrl-C and a stopping service reach all processes; the worker still needs us to finish.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    with suppress(OSError):  # only Linux has it: if memory runs out, the worker should outlive us
        Path("/proc/self/oom_score_adj").write_text("500")


def _serve(settings: WorkerSettings) -> None:
    with socket.socket(fileno=sys.stdin.fileno()) as line, suppress(Closed):
        try:
            processor = processors.load(settings, usable_cpus())
            processor.warm_up()
        except ImagefleetError as error:
            protocol.send(line, protocol.BAD, str(error).encode())
            return
        protocol.send(line, protocol.READY, _introduction(processor))
        while True:
            protocol.send(line, *_answer(processor, _receive(line)))


def _introduction(processor: Processor) -> bytes:
    """Return what the worker has to know, with the seconds that an image takes."""
    began = time.perf_counter()
    processor.process([grey(processor.recipe)])
    took_s = time.perf_counter() - began
    return json.dumps([processor.name, astuple(processor.recipe), took_s]).encode()


def _receive(line: socket.socket) -> list[Pixels]:
    """Return a batch: how many pictures, the shape of each, and then their colours."""
    protocol.receive_header(line)
    (count,) = protocol.NUMBER.unpack(protocol.receive(line, protocol.NUMBER.size))
    shapes = protocol.receive(line, count * protocol.SHAPE.size)
    batch = [np.empty((*shape, 3), np.uint8) for shape in protocol.SHAPE.iter_unpack(shapes)]
    for pixels in batch:
        protocol.receive_into(line, memoryview(pixels.data).cast("B"))
    return batch


def _answer(processor: Processor, batch: list[Pixels]) -> tuple[bytes, bytes]:
    try:
        outcomes = processor.process(batch)
    except Exception as error:
        log.exception("a batch could not be processed", images=len(batch))
        return protocol.BAD, f"{type(error).__name__}: {error}".encode(errors="replace")
    return protocol.OUTCOMES, json.dumps([each.encode() for each in outcomes]).encode()


if __name__ == "__main__":
    main()
