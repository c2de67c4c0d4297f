"""Images that ended their workers get their labels after the workers were put right."""

from __future__ import annotations

import pytest

from imagefleet_core.jobs import JobId, Status
from imagefleet_scripts import redrive
from imagefleet_web.telling.hub import Hub
from imagefleet_web.telling.janitor import Janitor
from place import Place
from system import PHOTOGRAPHS, wait_for

pytestmark = pytest.mark.embedded

RESULTS_S = 60


@pytest.fixture
def max_receives() -> int:
    return 1


@pytest.fixture(autouse=True)
def chosen(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    """Let the environment name the place, as it does for whoever calls the script."""
    for variable, text in place.environment.items():
        monkeypatch.setenv(variable, text)
    monkeypatch.setenv("IMAGEFLEET_PREFIX", place.settings.prefix)


def bury(place: Place) -> None:
    """Receive what is queued as a worker would that ends with each of its images."""
    held = []
    while messages := place.requests.receive(wait_s=0, visibility_s=60):
        held += [message.receipt for message in messages]
    place.requests.change_visibility(held, 0)

    def all_are_dead() -> bool:
        assert place.requests.receive(wait_s=0, visibility_s=0) == []
        return place.dead_letters.counts().visible == len(held)

    wait_for(all_are_dead, 20)


def fail(place: Place, jobs: list[JobId]) -> None:
    """Answer the dead letters as a web process does."""
    dead = place.settings.dead_letter_queue
    janitor = Janitor(place.queues, place.store, Hub(), dead_letters=dead, process="web-1")
    while place.finished(jobs) < len(jobs):
        janitor.turn()


def statuses(place: Place, jobs: list[JobId]) -> list[Status | None]:
    results = [place.store.get_result(job) for job in jobs]
    return [result.status if result else None for result in results]


def test_failed_images_get_their_labels(place: Place, capsys: pytest.CaptureFixture[str]) -> None:
    # given images that ended their workers and were answered so, and some that nobody answered yet
    answered = place.submit(PHOTOGRAPHS[:3])
    bury(place)
    fail(place, answered)
    unanswered = place.submit(PHOTOGRAPHS[3:5])
    bury(place)
    assert statuses(place, answered) == [Status.FAILED] * 3

    assert redrive.main([]) == 0

    out = capsys.readouterr().out
    assert f"{place.settings.dead_letter_queue}: put back 2" in out
    assert f"{place.settings.results_bucket}: queued 3 of 3" in out
    with place.worker():
        wait_for(lambda: statuses(place, answered) == [Status.DONE] * 3, RESULTS_S)
        wait_for(lambda: place.finished(unanswered) == 2, RESULTS_S)
    place.verify()

    # and there is nothing left to put back
    assert redrive.main([]) == 0
    assert f"{place.settings.dead_letter_queue}: put back 0" in (again := capsys.readouterr().out)
    assert "queued 0 of 0" in again
