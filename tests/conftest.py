"""Options and conditions of the whole suite."""

from __future__ import annotations

import faulthandler
from collections import Counter

import pytest
from hypothesis import HealthCheck, settings
from xdist.remote import Producer  # type: ignore[import-untyped]
from xdist.scheduler import LoadScopeScheduling  # type: ignore[import-untyped]
from xdist.workermanage import WorkerController  # type: ignore[import-untyped]

# Where the tests are that share one engine and its images.
DOCKER = ("tests/docker/", "tests/unit/scaler/test_providers.py")
BROWSER = "tests/browser/"


# How long an example takes says more about what else this machine does than about our code.
settings.register_profile("unhurried", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("unhurried")


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
    """Begin with what lasts longest, so that in the end no process works on it alone.

    And end with the browser, which drops what it loads when Docker makes or removes a network.
    """
    for item in items:
        # pytest 9.2 forgets which call of the API one of schemathesis' tests is about.
        if call := getattr(item, "operation_label", None):
            item._id = item._id.with_params(call)
    names = Counter(item.nodeid for item in items)
    if twice := [name for name, count in names.items() if count > 1]:
        raise pytest.UsageError(f"tests of one name, of which xdist would run the first: {twice}")
    items.sort(
        key=lambda item: (item.nodeid.startswith(BROWSER), not item.nodeid.startswith(DOCKER))
    )


@pytest.hookimpl(tryfirst=True)
def pytest_runtest_setup(item: pytest.Item) -> None:
    """Let builds of images, and many rounds, take longer than what otherwise counts as a hang."""
    if item.nodeid.startswith(DOCKER) or item.config.getoption("--rounds") > 1:
        faulthandler.cancel_dump_traceback_later()


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: Producer) -> LoadScopeScheduling:
    """Keep together what may not run beside each other, where several processes share the tests."""
    return Groups(config, log)


class Groups(LoadScopeScheduling):  # type: ignore[misc]
    """Gives out a file's tests together, as they share its fixtures; and all that need Docker.

    Done here, as xdist 3.8's own groups are lost with pytest 9.2, where a test's name can't be
    changed any more to tell its group.
    """

    def _split_scope(self, nodeid: str) -> str:
        file = nodeid.partition("::")[0]
        return "docker" if file.startswith(DOCKER) else file

    def remove_node(self, node: WorkerController) -> str | None:
        """Give up a process and, if it did not end in peace, the test that ended it.

        xdist 3.8 would have the next process run into that test again, and so on for ever.
        """
        left = {
            scope: [test for test, done in unit.items() if not done]
            for scope, unit in self.assigned_work[node].items()
        }
        lost = next((tests.pop(0) for tests in left.values() if tests), None)
        if lost is not None:
            rest = {scope: dict.fromkeys(tests, False) for scope, tests in left.items() if tests}
            self.assigned_work[node] = rest
        super().remove_node(node)
        return lost
