"""A running system, and Chromium to look at its page with."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator

import pytest
from playwright.sync_api import Browser, Page, sync_playwright

from browsing import opened
from conditions import skip_or_fail
from stage import Stage, set_up
from system import System, running

# A browser that was only just installed looks for its makers' hosts, and waits for them.
QUIET = ["--disable-background-networking", "--disable-component-update", "--disable-sync"]


# Not for the session: while Playwright runs, it has an event loop run that others trip over.
@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    names = ("chromium", "chromium-browser", "google-chrome")
    path = next(filter(None, map(shutil.which, names)), None)
    if path is None:
        skip_or_fail("BROWSER", "no Chromium on this machine")
    # Chromium's own sandbox is not to be had by root, as which containers and CI often run.
    sandbox = ["--no-sandbox"] if os.geteuid() == 0 else []
    with sync_playwright() as playwright:
        chromium = playwright.chromium.launch(executable_path=path, args=[*QUIET, *sandbox])
        yield chromium
        chromium.close()


@pytest.fixture(scope="module")
def system(tmp_path_factory: pytest.TempPathFactory) -> Iterator[System]:
    log = tmp_path_factory.mktemp("system") / "log"
    with running(log, environ={"IMAGEFLEET_SCALE_IN_AFTER_S": "30"}) as started:
        yield started


@pytest.fixture
def page(browser: Browser, system: System) -> Iterator[Page]:
    """The page of the whole system, freshly loaded."""
    with opened(browser, system.url) as page:
        yield page


@pytest.fixture
def stage() -> Iterator[Stage]:
    """A web process whose workers and scaler the test plays."""
    with set_up() as stage:
        yield stage


@pytest.fixture
def staged(browser: Browser, stage: Stage) -> Iterator[Page]:
    """Its page, freshly loaded."""
    with opened(browser, stage.url) as page:
        yield page
