"""Options and conditions of the whole suite."""

from __future__ import annotations

import pytest


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption(
        "--rounds", type=int, default=1, help="how often in a row workers are killed mid-work"
    )


@pytest.fixture
def rounds(request: pytest.FixtureRequest) -> int:
    """How often in a row a test of chance is to be repeated."""
    count: int = request.config.getoption("--rounds")
    return count
