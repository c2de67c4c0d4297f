from collections.abc import Iterator
from uuid import uuid4

import pytest
from structlog.testing import capture_logs
from structlog.typing import EventDict

from ec2_account import BadDay, bad_day


@pytest.fixture
def fleet() -> str:
    """A fleet that no other test run has."""
    return f"test-{uuid4().hex[:8]}"


@pytest.fixture
def logged() -> Iterator[list[EventDict]]:
    """What is logged during the test."""
    with capture_logs() as entries:
        yield entries


@pytest.fixture
def day() -> Iterator[BadDay]:
    """EC2 as a test has it go wrong, with a provider of the usual settings."""
    with bad_day() as made:
        yield made
