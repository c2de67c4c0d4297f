"""Work on images in a process of its own, and images that would take a worker with them."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

import odd_work
from imagefleet_worker.children.child import ChildLost
from imagefleet_worker.children.runners import ProcessorFailed, Runner
from imagefleet_worker.recipe import Picture
from worker_tier import PACKAGES

# For the one that shall run into it. Others get so much that no busy machine makes them do.
SHORT_S = 3.0
LIMIT_S = 30.0


@pytest.fixture
def environment(monkeypatch: pytest.MonkeyPatch) -> pytest.MonkeyPatch:
    """The environment that runners of the test start in."""
    here = str(Path(odd_work.__file__).parent)
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join([*PACKAGES, here]))
    monkeypatch.setenv("IMAGEFLEET_PROCESSOR", "odd_work:OddWork")
    return monkeypatch


@pytest.fixture
def runner(environment: pytest.MonkeyPatch) -> Iterator[Runner]:
    with Runner(limit_s=LIMIT_S) as runner:
        runner.await_ready()
        yield runner


def picture(first: int) -> Picture:
    return Picture(8, 8, bytes([first, *[9] * (8 * 8 * 3 - 1)]))


def first_of(runner: Runner, number: int) -> int:
    (outcome,) = runner.process([picture(number)])
    assert outcome.output
    return int(outcome.output["first"])


def test_a_runner_says_what_it_is_and_works_on_batches(runner: Runner) -> None:
    process = runner.await_ready()
    outcomes = runner.process([picture(number) for number in (100, 200, 150)])

    assert (process.name, process.recipe) == ("odd-work@1", odd_work.OddWork.recipe)
    assert 0 < process.image_s < LIMIT_S
    assert [each.output and each.output["first"] for each in outcomes] == [100, 200, 150]
    assert {each.output and each.output["pid"] for each in outcomes}.isdisjoint({os.getpid()})


@pytest.mark.parametrize(
    ("deed", "reason"),
    [
        (odd_work.SEGFAULT, "the processor is gone: SIGSEGV"),
        (odd_work.DIE, "the processor is gone: SIGKILL"),
        (odd_work.EXIT, "the processor is gone: status 3"),
    ],
    ids=["segfault", "SIGKILL", "exit"],
)
def test_a_picture_that_ends_its_processor_is_lost_alone(
    runner: Runner, deed: int, reason: str
) -> None:
    is_lost_alone(runner, deed, reason)


def test_a_picture_that_hangs_its_processor_is_lost_alone(environment: pytest.MonkeyPatch) -> None:
    with Runner(limit_s=SHORT_S) as runner:
        runner.await_ready()

        is_lost_alone(runner, odd_work.HANG, "processing took longer than 3 s")


def is_lost_alone(runner: Runner, deed: int, reason: str) -> None:
    """Have a picture do something, and see that the next process does what is asked of it."""
    with pytest.raises(ChildLost, match=reason):
        runner.process([picture(100), picture(deed)])

    assert first_of(runner, 100) == 100


def test_an_error_is_told_and_costs_no_process(runner: Runner) -> None:
    (before,) = runner.process([picture(100)])

    with pytest.raises(ProcessorFailed, match="ZeroDivisionError: division by zero"):
        runner.process([picture(odd_work.RAISE)])

    (after,) = runner.process([picture(100)])
    assert before == after


@pytest.mark.parametrize(
    ("processor", "reason"),
    [
        ("odd_work:Unusable", r"no licence for \d+ threads \(odd_work.py, line \d+\)"),
        ("odd_work:Nothing", "the module odd_work has no class Nothing"),
        ("no_such_module:Class", "there is no module no_such_module"),
    ],
)
def test_work_that_cannot_be_loaded_is_one_clear_line(
    environment: pytest.MonkeyPatch, processor: str, reason: str
) -> None:
    environment.setenv("IMAGEFLEET_PROCESSOR", processor)

    with Runner(limit_s=LIMIT_S) as runner, pytest.raises(ChildLost, match=reason) as caught:
        runner.await_ready()

    assert len(str(caught.value).splitlines()) == 1


@pytest.mark.parametrize(
    ("command", "reason"),
    [
        (["/no/such/python"], "the processor can't be started: .*No such file"),
        ([sys.executable, "-c", "import sys; sys.exit(7)"], "could not start: status 7"),
    ],
)
def test_a_process_that_does_not_start_says_why(command: list[str], reason: str) -> None:
    with Runner(limit_s=LIMIT_S, command=command) as runner, pytest.raises(ChildLost, match=reason):
        runner.await_ready()


def test_a_runner_ends_with_its_worker(runner: Runner) -> None:
    (outcome,) = runner.process([picture(100)])
    assert outcome.output

    runner.__exit__(None, None, None)

    with pytest.raises(ProcessLookupError):
        os.kill(outcome.output["pid"], 0)


def test_a_runner_that_was_closed_starts_no_other_process(environment: pytest.MonkeyPatch) -> None:
    with Runner(limit_s=LIMIT_S) as runner:
        runner.await_ready()
    left = psutil.Process().children()

    with pytest.raises(ChildLost, match="about to end"):
        runner.process([picture(100)])

    assert psutil.Process().children() == left
