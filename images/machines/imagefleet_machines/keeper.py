"""The loop that makes containers match records."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable, Mapping
from concurrent.futures import Executor, Future
from functools import partial

import structlog

from imagefleet_core.errors import ImagefleetError
from imagefleet_machines.decide import Action, Memory, decide
from imagefleet_machines.host import Host, HostError, NoSuchImage
from imagefleet_machines.notices import Notices
from imagefleet_machines.records import Record, Records, by_id

# So often the engine may refuse to boot a machine before its instance is given up.
TRIES = 3

log = structlog.get_logger()


class Keeper:
    """Boots, stops, starts and removes machines as EC2's records say, one thing at a time each.

    Args:
        images: the container image of each AMI.
        notices: of spot interruptions, which are carried out when their time has come.
        workers: carries out what takes a while; a shutdown takes up to `stop_s`.
        clock: seconds that only go forward.
    """

    def __init__(
        self,
        records: Records,
        host: Host,
        *,
        images: Mapping[str, str],
        notices: Notices,
        workers: Executor,
        stop_s: int = 90,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._records = records
        self._host = host
        self._images = images
        self._notices = notices
        self._workers = workers
        self._stop_s = stop_s
        self._clock = clock
        self._memory = Memory()
        self._refused: Counter[str] = Counter()
        self._under_way: dict[str, Future[None]] = {}
        self._known: dict[str, Record] = {}
        self._trouble = ""

    def record(self, instance: str) -> Record | None:
        """Return what EC2 said of an instance when it was last asked."""
        return self._known.get(instance)

    def turn(self) -> bool:
        """Look once and begin what is to be done; return whether both could be looked at."""
        self._under_way = {
            each: future for each, future in self._under_way.items() if not future.done()
        }
        try:
            records = by_id(self._records.list())
            machines = {each.id: each for each in self._host.list()}
        except ImagefleetError as error:
            if str(error) != self._trouble:
                log.warning("can't look; trying on", reason=str(error))
            self._trouble = str(error)
            return False
        self._trouble = ""
        self._known = records
        running = {each.id for each in machines.values() if each.state == "running"}
        for instance in self._notices.due() & running - self._under_way.keys():
            self._begin(instance, self._interrupt)
        busy = set(self._under_way)
        for action in decide(records, machines, self._memory, self._clock(), busy):
            self._begin(action.instance, self._carry_out, action, records.get(action.instance))
        self._notices.keep(records.keys() | machines.keys())
        return True

    def settle(self) -> None:
        """Wait until all that was begun is done."""
        for future in list(self._under_way.values()):
            future.result()

    def _begin(self, instance: str, work: Callable[..., None], *arguments: object) -> None:
        self._under_way[instance] = self._workers.submit(self._guarded, instance, work, *arguments)

    def _guarded(self, instance: str, work: Callable[..., None], *arguments: object) -> None:
        try:
            work(*(arguments or (instance,)))
        except ImagefleetError as error:
            # Whatever it was, the next look finds it again.
            log.warning("could not be done; trying again", machine=instance, reason=str(error))

    def _carry_out(self, action: Action, record: Record | None) -> None:
        instance = action.instance
        log.info(action.verb, machine=instance, why=action.why)
        match action.verb:
            case "boot" | "remake" if record:
                if action.verb == "remake":
                    self._host.remove(instance)
                image = self._images.get(record.image_id)
                if image is None:
                    self._give_up(instance, f"no container image is given for {record.image_id}")
                else:
                    self._try(instance, partial(self._host.boot, instance, image))
            case "start":
                self._try(instance, partial(self._host.start, instance))
            case "stop":
                self._host.stop(instance, within_s=self._stop_s)
            case "end":
                self._end(instance)
            case "remove":
                self._host.stop(instance, within_s=self._stop_s)
                self._host.remove(instance)

    def _try(self, instance: str, work: Callable[[], None]) -> None:
        """Boot or start; an instance with which that fails too often is given up."""
        try:
            work()
            del self._refused[instance]
        except HostError as error:
            self._refused[instance] += 1
            if not isinstance(error, NoSuchImage) and self._refused[instance] < TRIES:
                raise
            self._give_up(instance, str(error))

    def _give_up(self, instance: str, reason: str) -> None:
        log.error("an instance can't be launched", machine=instance, reason=reason)
        del self._refused[instance]
        self._records.terminate(instance)

    def _end(self, instance: str) -> None:
        """Do as EC2 does with an instance that has shut down by itself, or lost its host."""
        self._host.clear(instance)
        if last := self._host.last_words(instance):
            log.info("a machine's last words", machine=instance, console=last)
        self._records.terminate(instance)

    def _interrupt(self, instance: str) -> None:
        log.info("a spot instance is interrupted", machine=instance)
        self._host.kill(instance)
        self._notices.forget(instance)
        self._records.terminate(instance)
