"""Workers as processes of this machine, each in a session of its own.

A variable in its environment says which fleet a process belongs to, so that a scaler started
after a kill -9 finds the workers of the one before.
"""

from __future__ import annotations

import os
import signal
import subprocess
import time
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence

import psutil
import structlog

from imagefleet_scaler.providers.base import (
    WORKER_ID,
    Instance,
    InstanceState,
    ProviderError,
    new_worker_id,
)

FLEET = "IMAGEFLEET_FLEET"

log = structlog.get_logger()


def fleet_tag(prefix: str, endpoint: str) -> str:
    """Name a fleet so that two systems on one machine keep theirs apart.

    Args:
        prefix: the setting that stands before the name of every queue.
        endpoint: where AWS answers, empty for AWS itself.
    """
    return f"{prefix}@{endpoint or 'aws'}"


class ProcessProvider:
    """Starts workers, and finds them by their environment.

    Args:
        fleet: whose workers these are, as `fleet_tag` gives it.
        command: what starts one worker.
        environment: all of a worker's environment but its id and its fleet.
        retire_grace_s: seconds a retired worker may take before it is killed.
        clock: seconds that only go forward.
    """

    def __init__(
        self,
        *,
        fleet: str,
        command: Sequence[str],
        environment: Mapping[str, str],
        retire_grace_s: float,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._fleet = fleet
        self._command = command
        self._environment = environment
        self._retire_grace_s = retire_grace_s
        self._clock = clock
        self._children: dict[str, subprocess.Popen[bytes]] = {}
        self._kill_at: dict[str, float] = {}

    def list(self) -> Sequence[Instance]:
        """Return the workers that run."""
        return [
            Instance(
                worker,
                InstanceState.STOPPING if worker in self._kill_at else InstanceState.RUNNING,
                process.create_time(),
            )
            for worker, process in self._running()
        ]

    def launch(self, count: int) -> Sequence[str]:
        """Start `count` workers; their output goes where the scaler's own goes."""
        ids = [new_worker_id() for _ in range(count)]
        for worker in ids:
            try:
                self._children[worker] = subprocess.Popen(
                    self._command,
                    env={**self._environment, FLEET: self._fleet, WORKER_ID: worker},
                    stdin=subprocess.DEVNULL,
                    # A Ctrl-C at the scaler's terminal must not reach its workers.
                    start_new_session=True,
                )
            except OSError as error:
                raise ProviderError(f"a worker could not be started: {error}") from error
        return ids

    def retire(self, ids: Collection[str]) -> None:
        """Send SIGTERM, on which a worker drains."""
        if not ids:
            return
        for worker, process in self._running():
            if worker in ids and _send(process, signal.SIGTERM):
                self._kill_at.setdefault(worker, self._clock() + self._retire_grace_s)

    def last_words(self, ids: Collection[str]) -> Mapping[str, str]:  # noqa: ARG002
        """Return nothing."""
        return {}

    def sweep(self) -> None:
        """Reap children that have ended and kill workers that should have."""
        for worker, child in list(self._children.items()):
            if (code := child.poll()) is not None:
                del self._children[worker]
                _say_ended(worker, code)
        running = dict(self._running())
        self._kill_at = {each: at for each, at in self._kill_at.items() if each in running}
        for worker, at in self._kill_at.items():
            if self._clock() >= at:
                log.warning("a worker did not go and is killed", worker=worker)
                _send(running[worker], signal.SIGKILL)

    def _running(self) -> Iterator[tuple[str, psutil.Process]]:
        """Yield the id and process of each of this fleet's workers."""
        # The environment of one that has only just been started can't be read yet.
        own = {each.pid: worker for worker, each in self._children.items() if each.poll() is None}
        for process in psutil.process_iter():
            if worker := own.get(process.pid):
                yield worker, process
                continue
            try:
                # What a worker starts inherits its environment, but not the head of the session.
                if os.getsid(process.pid) != process.pid:
                    continue
                environment = process.environ()
            except (psutil.Error, OSError):
                continue  # gone meanwhile, or somebody else's
            if environment.get(FLEET) == self._fleet and WORKER_ID in environment:
                yield environment[WORKER_ID], process


def _send(process: psutil.Process, number: signal.Signals) -> bool:
    """Send a signal; return whether there still was somebody to take it."""
    try:
        process.send_signal(number)
    except psutil.NoSuchProcess:
        return False
    return True


def _say_ended(worker: str, code: int) -> None:
    if code == 0:
        log.info("a worker has ended", worker=worker)
    else:
        how = f"by {signal.Signals(-code).name}" if code < 0 else f"with exit code {code}"
        log.warning("a worker died", worker=worker, how=how)
