from collections.abc import Iterator
from uuid import uuid4

import pytest
from structlog.testing import capture_logs
from structlog.typing import EventDict


@pytest.fixture
def fleet() -> str:
    """A fleet that no other test run has."""
    return f"test-{uuid4().hex[:8]}"


@pytest.fixture
def logged() -> Iterator[list[EventDict]]:
    """What is logged during the test."""
    with capture_logs() as entries:
        yield entries
