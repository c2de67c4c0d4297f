"""An engine and an EC2 in memory, which the tests of this folder look at and hurt."""

from __future__ import annotations

import pytest

from memory_machines import MemoryHost, MemoryRecords


@pytest.fixture
def records() -> MemoryRecords:
    """An EC2 with no instance."""
    return MemoryRecords()


@pytest.fixture
def host() -> MemoryHost:
    """An engine with no machine."""
    return MemoryHost()
