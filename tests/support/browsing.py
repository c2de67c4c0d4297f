"""What a person does on the page, and what they see there."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from axe_playwright_python.sync_playwright import Axe  # type: ignore[import-untyped]
from playwright.sync_api import Browser, Locator, Page, expect
from playwright.sync_api import Error as BrowserError

# Waits end as soon as they may; these limits are for slow machines.
expect.set_options(timeout=60_000)
# The first picture may have to wait for a worker to start.
RESULT_MS = 120_000
STARTS, START_MS = 5, 15_000
# What start.js says where a load was dropped, as below.
NOT_ARRIVED = "Failed to fetch dynamically imported module"
# WCAG 2.2 AA, and what axe's makers hold good practice.
_RULES = ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa", "best-practice"]


@contextmanager
def opened(browser: Browser, url: str, **options: Any) -> Iterator[Page]:
    """Open the page in a fresh profile; whatever its scripts fail on fails the test."""
    errors: list[str] = []
    settings = {"viewport": {"width": 1280, "height": 900}} | options
    with browser.new_context(**settings) as context:
        page = context.new_page()
        page.on("pageerror", lambda error: errors.append(str(error)))
        until_started(page, lambda: page.goto(url))
        errors.clear()
        yield page
    assert [each for each in errors if NOT_ARRIVED not in each] == []


def reload(page: Page) -> None:
    """Load the page anew."""
    until_started(page, page.reload)


def until_started(page: Page, load: Callable[[], object]) -> None:
    """Load the page until it has started.

    Chromium drops what it loads when a network interface comes or goes on this machine, as with
    other tests' containers.
    """
    for _ in range(STARTS):
        with suppress(BrowserError):
            load()
            page.locator("#views").wait_for(timeout=START_MS)
            break


def choose(page: Page, files: Sequence[Path]) -> None:
    """Choose files, as with the button."""
    page.get_by_label("Choose pictures").set_input_files(files)


def open_view(page: Page, name: str) -> None:
    """Go to another view of the page."""
    page.get_by_role("navigation").get_by_role("link", name=name).click()


def card(page: Page, name: str) -> Locator:
    """Return the card of a picture."""
    return page.get_by_role("article", name=name)


def cards(page: Page) -> Locator:
    """Return the cards that are to be seen."""
    return page.get_by_role("article")


def uploads(page: Page) -> Locator:
    """Return the rows of earlier uploads, newest first."""
    return page.get_by_role("list", name="Earlier uploads").get_by_role("listitem")


def expect_state(card: Locator, state: str) -> None:
    """Wait until a picture is in a state."""
    expect(card).to_have_attribute("data-state", state, timeout=RESULT_MS)


def expect_done(page: Page, count: int, timeout_ms: float = RESULT_MS) -> None:
    """Wait until so many pictures are done."""
    expect(page.locator("#count-done")).to_have_text(str(count), timeout=timeout_ms)


def sideways(page: Page) -> int:
    """Return by how many pixels the page is wider than the window."""
    root = "document.documentElement"
    wider: int = page.evaluate(f"{root}.scrollWidth - {root}.clientWidth")
    return wider


def complaints(page: Page) -> list[str]:
    """Return what axe-core has to say about the page as it is."""
    run_only = {"type": "tag", "values": _RULES}
    options = {"runOnly": run_only, "resultTypes": ["violations"]}
    found = Axe().run(page, options=options).response["violations"]
    return [
        f"{rule['id']}: {rule['help']}: {node['html'][:120]} {node['failureSummary']}"
        for rule in found
        for node in rule["nodes"]
    ]
