"""A worker as a process of its own, given every image of the hostile corpus."""

from __future__ import annotations

from pathlib import Path

import psutil
import pytest

import hostile
from hostile_answers import peak_of
from imagefleet_core.jobs import JobId, Status
from place import Place
from system import PHOTOGRAPHS, wait_for

pytestmark = pytest.mark.embedded

DONE_S = 120
MEMORY_MB = 1024


class Memory:
    """The most memory that a process and its children have held, in MiB."""

    def __init__(self, pid: int) -> None:
        self._root = psutil.Process(pid)
        self._most: dict[int, float] = {}

    def look(self) -> float:
        """Return the sum of all peaks so far, of children that have ended too."""
        for process in [self._root, *self._root.children(recursive=True)]:
            self._most[process.pid] = max(peak_of(process.pid), self._most.get(process.pid, 0))
        return sum(self._most.values())


def wrong_answers(place: Place, jobs: dict[JobId, str]) -> dict[str, object]:
    """Return the results that aren't the ones that their files should get."""
    wrong: dict[str, object] = {}
    for job, name in jobs.items():
        right, result = hostile.corpus()[name].answers, place.store.get_result(job)
        assert result is not None, f"{name} has no result"
        answer = result.error.code if result.error else hostile.PICTURE
        consistent = (result.status is Status.DONE) == (answer == hostile.PICTURE)
        if result.job != job or not consistent or (right and answer not in right):
            wrong[name] = result
    return wrong


@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="needs Linux's /proc")
def test_a_worker_outlives_hostile_images_and_answers_each(place: Place) -> None:
    with place.worker(IMAGEFLEET_MEMORY_MB=str(MEMORY_MB)) as worker:
        # given a worker that is well, and the memory it then has
        before = place.submit(PHOTOGRAPHS * 4)
        wait_for(lambda: place.finished(before) == len(before), DONE_S)
        memory = Memory(worker.pid)
        usual_mb = memory.look()

        # when it gets every hostile image
        names = list(hostile.corpus())
        jobs = place.submit_files(
            (f"{number}.jpg", hostile.corpus()[name].data, None)
            for number, name in enumerate(names)
        )
        wait_for(lambda: memory.look() and place.finished(jobs) == len(jobs), DONE_S)

        # then it still labels photographs right
        after = place.submit(PHOTOGRAPHS)
        wait_for(lambda: place.finished(after) == len(after), DONE_S)
        wait_for(lambda: place.requests.counts().total == 0, DONE_S)
        place.verify([*before, *after])
        assert worker.poll() is None

        # and each image has got its one answer, in the memory that there was for it
        assert wrong_answers(place, dict(zip(jobs, names, strict=True))) == {}
        assert sorted(place.told()) == sorted([*before, *jobs, *after])
        assert place.dead_letters.counts().total == 0
        assert memory.look() < usual_mb + MEMORY_MB
    assert "Traceback" not in place.log()
