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


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Keep together what may not run beside each other, where several processes share the tests.

    A file's tests share its fixtures; those that need Docker share one engine and its images.
    """
    for item in items:
        name = "docker" if item.get_closest_marker("docker") else item.path.as_posix()
        item.add_marker(pytest.mark.xdist_group(name))
