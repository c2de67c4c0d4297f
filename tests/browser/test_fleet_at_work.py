"""The view of the fleet over the whole system: real workers come, work and are shown."""

from __future__ import annotations

import re
from collections.abc import Iterator

import pytest
from playwright.sync_api import Page, expect

from browsing import RESULT_MS, choose, expect_done, open_view
from system import System, photographs, running

pytestmark = pytest.mark.browser


@pytest.fixture(scope="module")
def system(tmp_path_factory: pytest.TempPathFactory) -> Iterator[System]:
    """A system of one worker at most, which goes soon after its work."""
    log = tmp_path_factory.mktemp("system") / "log"
    environ = {"IMAGEFLEET_SCALE_IN_AFTER_S": "2"}
    with running(log, "--max-workers", "1", environ=environ) as started:
        yield started


def test_a_burst_is_seen_from_the_first_worker_to_the_last(page: Page) -> None:
    # given a fleet at rest
    open_view(page, "Fleet")
    headline = page.locator("#fleet-headline")
    expect(headline).to_contain_text("Nothing is running", timeout=RESULT_MS)
    expect(page.locator("#about-ready")).to_have_text("0 wanted, at most 1")

    # when photographs are uploaded
    open_view(page, "Pictures")
    choose(page, photographs(60))
    open_view(page, "Fleet")

    # then a worker comes, with the reason why
    worker = page.get_by_role("list", name="Workers").get_by_role("listitem")
    expect(worker).to_contain_text(re.compile("starting|ready|at work"), timeout=RESULT_MS)
    decisions = page.get_by_role("list", name="What scaling decided").get_by_role("listitem")
    expect(decisions.filter(has_text="+1")).not_to_have_count(0)
    expect(decisions.first.locator("[data-part=why]")).not_to_be_empty()

    # and does the work, and is gone
    expect(page.locator("#about-rate")).to_have_text("60 done so far", timeout=RESULT_MS)
    expect(headline).to_contain_text("Nothing is running", timeout=RESULT_MS)
    expect(worker).to_have_count(0)
    expect(decisions.filter(has_text="−1")).not_to_have_count(0)
    expect(page.locator("#lately-summary")).to_contain_text("At most 1 worker was ready.")
    open_view(page, "Pictures")
    expect_done(page, 60)
