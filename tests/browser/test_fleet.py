"""The view of the fleet, as a scaler's reports make it look."""

from __future__ import annotations

import re
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest
from playwright.sync_api import Page, Request, expect

from browsing import cards, choose, open_view, reload
from imagefleet_core.fleet import FleetReport
from stage import HOUR_USD, Stage, busy, resting
from system import SAMPLES

pytestmark = pytest.mark.browser

HIDE = """hidden => {
  Object.defineProperty(document, "hidden", { configurable: true, get: () => hidden });
  document.dispatchEvent(new Event("visibilitychange"));
}"""
OUTLINES = "paths => paths.map(path => path.getAttribute('d'))"
MINUTES = 30


def look(page: Page, stage: Stage, report: FleetReport | None) -> None:
    """Have the scaler report and open the view."""
    if report:
        stage.tell(report)
    open_view(page, "Fleet")


def test_a_scaler_that_was_never_heard_of_is_said(staged: Page, stage: Stage) -> None:
    look(staged, stage, None)

    expect(staged.locator("#fleet-headline")).to_contain_text("not been heard of yet")
    expect(staged.locator("#fleet-known")).to_be_hidden()


def test_a_fleet_at_rest_costs_nothing_and_says_so(staged: Page, stage: Stage) -> None:
    look(staged, stage, resting())

    expect(staged.locator("#fleet-headline")).to_contain_text("no workers, no cost")
    for figure in ("waiting", "ready", "rate"):
        expect(staged.locator(f"#figure-{figure}")).to_have_text("0")
    expect(staged.locator("#cost")).to_be_hidden()  # nobody said what a worker costs
    expect(staged.get_by_role("heading", name="Workers")).to_be_hidden()
    expect(staged.get_by_role("heading", name="What scaling decided")).to_be_hidden()
    expect(staged.locator("#lately-summary")).to_have_text("No image came, and no worker ran.")


def test_a_scaler_that_fell_silent_is_said_with_how_things_stood(
    staged: Page, stage: Stage
) -> None:
    look(staged, stage, busy(fresh_s=0.001))

    headline = staged.locator("#fleet-headline")
    expect(headline).to_contain_text(re.compile(r"not been heard of since \d\d:\d\d:\d\d\."))
    expect(staged.locator("#figure-waiting")).to_have_text("420")


def test_a_burst_shows_figures_workers_decisions_and_cost(staged: Page, stage: Stage) -> None:
    look(staged, stage, busy())

    expect(staged.locator("#fleet-headline")).to_have_text("Workers are at work.")
    expect(staged.locator("#figure-waiting")).to_have_text("420")
    expect(staged.locator("#about-waiting")).to_have_text("36 in work, the oldest for 1.5 s")
    expect(staged.locator("#figure-ready")).to_have_text("3")
    expect(staged.locator("#about-ready")).to_have_text("6 wanted, at most 20")
    expect(staged.locator("#figure-rate")).to_have_text("82.4")
    expect(staged.locator("#about-rate")).to_have_text("12,345 done so far")
    expect(staged.locator("#figure-cost")).to_have_text("$0.0341")
    expect(staged.locator("#about-cost")).to_contain_text(f"${6 * HOUR_USD:.4f} an hour now")
    # and each worker
    workers = staged.get_by_role("list", name="Workers").get_by_role("listitem")
    phases = ["at work", "at work", "ready", "starting", "finishing", "lost"]
    expect(workers).to_contain_text([f"{phase} worker" for phase in phases])
    expect(workers.first).to_contain_text("1,200 images, 18 in work, 41.2 a second, 15 ms each")
    expect(workers.last).to_contain_text("1,200 images, 1 failed, 15 ms each")
    # and what was decided, newest first, with its reason
    decisions = staged.get_by_role("list", name="What scaling decided").get_by_role("listitem")
    expect(decisions).to_contain_text(["420 images wait", "The first images", "Nothing was needed"])
    expect(decisions.first).to_contain_text("+2")
    expect(decisions.first).to_contain_text("2 workers launched")
    expect(decisions.last).to_contain_text("−3")


def test_the_view_follows_the_fleet_while_it_is_open(staged: Page, stage: Stage) -> None:
    first = busy()
    look(staged, stage, first)
    workers = staged.get_by_role("list", name="Workers").get_by_role("listitem")
    expect(workers).to_have_count(6)
    before = staged.locator("#plot-images path").evaluate_all(OUTLINES)

    # when the scaler tells of a fleet that has become smaller
    left = replace(first.workers[1], done=2_000)
    queue = replace(first.queue, visible=7)
    stage.tell(replace(first, at=datetime.now(UTC), queue=queue, workers=(left,)))

    expect(staged.locator("#figure-waiting")).to_have_text("7")
    expect(workers).to_have_count(1)
    expect(workers).to_contain_text("2,000 images")
    assert staged.locator("#plot-images path").evaluate_all(OUTLINES) != before


def test_the_plots_can_be_read_as_a_sentence_and_as_a_table(staged: Page, stage: Stage) -> None:
    report = busy()
    most = replace(report.history[-30], waiting=990, in_flight=10, ready=7)
    look(staged, stage, replace(report, history=(*report.history[:-30], most)))

    sentence = "At most 1,000 images waited or were in work at once, at "
    expect(staged.get_by_role("img", name=sentence)).to_have_count(2)
    expect(staged.locator("#lately-summary")).to_contain_text("At most 7 workers were ready.")
    staged.get_by_text("Show as a table").click()
    table = staged.get_by_role("table", name="How things stood, newest first")
    expect(table.get_by_role("row")).to_have_count(1 + MINUTES)
    expect(table.get_by_role("row").nth(1)).to_contain_text("420")
    expect(table.get_by_role("columnheader")).to_have_text(
        ["Time", "Waiting", "In work", "Ready", "Wanted"]
    )


def test_a_gap_in_the_history_is_as_before(staged: Page, stage: Stage) -> None:
    # given that nothing was written for twenty minutes, as nothing changed
    now = datetime.now(UTC)
    point = replace(busy().history[0], at=now - timedelta(minutes=19.5), waiting=5, in_flight=0)
    queue = replace(resting().queue, visible=5)
    look(staged, stage, replace(busy(), history=(point,), queue=queue))

    staged.get_by_text("Show as a table").click()

    rows = staged.locator("#lately-rows tr")
    expect(rows).to_have_count(20)
    expect(rows.locator("td:nth-child(2)")).to_have_text(["5"] * 20)


def test_the_pointer_reads_both_plots(staged: Page, stage: Stage) -> None:
    look(staged, stage, busy())
    plot = staged.locator("#plot-images")
    expect(plot.locator("path").first).to_have_attribute("d", re.compile("H"))

    plot.hover()

    expect(staged.locator("#reading-images")).to_contain_text(
        re.compile(r"^\d\d:\d\d:\d\d: \d+ waiting, \d+ in work$")
    )
    expect(staged.locator("#reading-workers")).to_contain_text("wanted")
    staged.get_by_role("heading", name="The fleet").hover()
    expect(staged.locator("#reading-images")).to_be_empty()


def test_the_view_has_an_address_and_a_way_back(staged: Page, stage: Stage) -> None:
    stage.tell(resting())
    staged.goto(f"{stage.url}#fleet")
    reload(staged)
    heading = staged.get_by_role("heading", name="The fleet")
    expect(heading).to_be_visible()
    expect(staged).to_have_title("Fleet – Imagefleet")
    link = staged.get_by_role("link", name="Fleet", exact=True)
    expect(link).to_have_attribute("aria-current", "page")

    open_view(staged, "Pictures")
    expect(staged.get_by_role("heading", name="What is in")).to_be_focused()
    expect(heading).to_be_hidden()
    expect(staged).to_have_title("Imagefleet")

    staged.go_back()
    expect(heading).to_be_focused()


def test_pictures_are_still_there_after_a_look_at_the_fleet(staged: Page, stage: Stage) -> None:
    choose(staged, [SAMPLES / "chelsea.jpg"])
    expect(cards(staged)).to_have_count(1)

    open_view(staged, "Fleet")
    expect(cards(staged)).to_have_count(0)
    stage.finish(1)
    open_view(staged, "Pictures")

    expect(cards(staged)).to_have_attribute("data-state", "done")


def of_fleet(request: Request) -> bool:
    return "/api/v1/fleet" in request.url


def test_nobody_is_asked_while_the_fleet_cannot_be_seen(staged: Page, stage: Stage) -> None:
    asked: list[Request] = []
    ended: list[Request] = []
    staged.on("request", lambda each: asked.append(each) if of_fleet(each) else None)
    staged.on("requestfailed", lambda each: ended.append(each) if of_fleet(each) else None)
    stage.tell(resting())

    # given that the pictures were looked at: then nobody has asked
    assert asked == []

    # when the fleet is looked at, there is one stream; behind another tab there is none
    open_view(staged, "Fleet")
    expect(staged.locator("#figure-waiting")).to_have_text("0")
    assert len(asked) - len(ended) == 1
    with staged.expect_event("requestfailed", of_fleet):
        staged.evaluate(HIDE, True)
    assert ended == asked

    # and when the tab is in front again, it goes on; in the other view there is none again
    with staged.expect_request("**/fleet/events"):
        staged.evaluate(HIDE, False)
    with staged.expect_event("requestfailed", of_fleet):
        open_view(staged, "Pictures")
    assert ended == asked


@pytest.mark.parametrize(("age_min", "shown_min"), [(1, 5), (7, 10), (12, 30), (300, 30)])
def test_a_young_history_is_not_squeezed_into_half_an_hour(
    staged: Page, stage: Stage, age_min: int, shown_min: int
) -> None:
    now = datetime.now(UTC)
    first = replace(busy().history[0], at=now - timedelta(minutes=age_min))

    look(staged, stage, replace(busy(), history=(first,)))

    expect(staged.get_by_role("heading", name=f"The last {shown_min} minutes")).to_be_visible()
    expect(staged.locator("#plot-images .time").first).to_have_text(f"{shown_min} min ago")
