from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from imagefleet_scripts import emulator
from place import Place, place_on


@pytest.fixture(scope="session")
def ministack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The URL of an emulator that the tests of this session share and nothing else uses."""
    try:
        started = emulator.start(tmp_path_factory.mktemp("ministack"), keep=False)
    except emulator.EmulatorError as error:
        pytest.fail(str(error), pytrace=False)
    yield started.endpoint
    started.process.terminate()
    started.process.wait(10)


@pytest.fixture
def max_receives() -> int:
    """How often a message of `place` is delivered before it is a dead letter."""
    return 5


@pytest.fixture
def place(ministack: str, tmp_path: Path, max_receives: int) -> Iterator[Place]:
    """Buckets and queues that a test has for itself."""
    with place_on(ministack, tmp_path, max_receives=max_receives) as made:
        yield made
