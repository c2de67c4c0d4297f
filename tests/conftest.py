"""Options and conditions of the whole suite."""

from __future__ import annotations

import os

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


def skip_or_fail(what: str, reason: str) -> None:
    """Skip a test for want of `what`, or fail it where IMAGEFLEET_REQUIRE_<WHAT>=1."""
    if os.environ.get(f"IMAGEFLEET_REQUIRE_{what}") == "1":
        pytest.fail(f"{reason}, and IMAGEFLEET_REQUIRE_{what}=1", pytrace=False)
    pytest.skip(reason)
