from __future__ import annotations

from collections.abc import Iterator

import pytest

from imagefleet_scripts import emulator


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
