"""What the page does while the server can't be reached: it says so, and goes on by itself."""

from __future__ import annotations

import pytest
from playwright.sync_api import Browser, Page, Route, expect

from browsing import (
    RESULT_MS,
    card,
    choose,
    expect_done,
    expect_state,
    open_view,
    reload,
    until_started,
)
from stage import Stage, busy
from system import SAMPLES

pytestmark = pytest.mark.browser


def test_an_upload_waits_until_the_network_is_back(staged: Page, stage: Stage) -> None:
    # given a page that has lost the network
    staged.context.set_offline(True)
    choose(staged, [SAMPLES / "flower.jpg"])
    expect(staged.locator("#notices")).to_contain_text("Connection lost", timeout=RESULT_MS)
    expect(card(staged, "flower.jpg")).to_contain_text("Waiting to be sent")

    # when it is back
    staged.context.set_offline(False)

    expect(staged.locator("#notices")).to_contain_text("Connected again")
    stage.finish(1)
    expect_state(card(staged, "flower.jpg"), "done")
    expect(staged.locator("#notices")).to_be_empty()


def test_results_that_came_while_the_server_was_gone_are_shown(staged: Page, stage: Stage) -> None:
    # given an upload of which one result has come, and then the server goes
    choose(staged, [SAMPLES / "flower.jpg", SAMPLES / "coffee.jpg"])
    stage.finish(1)
    expect_done(staged, 1)
    stage.stop()
    expect(staged.locator("#notices")).to_contain_text("Connection lost", timeout=RESULT_MS)
    expect_state(card(staged, "coffee.jpg"), "waiting")

    # when the other result is there before the server is
    stage.finish(1)
    stage.start()

    expect_done(staged, 2)
    expect(staged.locator("#notices")).to_be_empty()


@pytest.mark.parametrize("status", [None, 503])
def test_a_picture_that_did_not_arrive_is_fetched_again(
    staged: Page, stage: Stage, status: int | None
) -> None:
    # given a card of an upload, whose picture the server does not give at first
    choose(staged, [SAMPLES / "flower.jpg"])
    stage.finish(1)
    expect_done(staged, 1)
    lost: list[str] = []

    def lose(route: Route) -> None:
        lost.append(route.request.url)
        if status is None:
            route.abort()
        else:
            route.fulfill(status=status)

    staged.route("**/image", lose, times=2)

    reload(staged)

    flower = card(staged, "flower.jpg").locator("img")
    expect(flower).not_to_have_js_property("naturalWidth", 0)
    assert len(lost) == 2


def test_a_picture_that_is_gone_is_asked_for_once(staged: Page, stage: Stage) -> None:
    choose(staged, [SAMPLES / "flower.jpg"])
    stage.finish(1)
    expect_done(staged, 1)
    asked: list[str] = []

    def refuse(route: Route) -> None:
        asked.append(route.request.url)
        route.fulfill(status=404)

    staged.route("**/image", refuse)

    reload(staged)

    flower = card(staged, "flower.jpg")
    expect(flower.locator("[data-part=extension]")).to_have_text("JPG")
    expect(flower.locator("img")).to_be_hidden()
    assert len(asked) == 1


def test_the_fleet_goes_on_from_where_it_was_lost(staged: Page, stage: Stage) -> None:
    # given a page that has seen the fleet
    asked: list[str | None] = []
    staged.on(
        "request",
        lambda each: (
            asked.append(each.headers.get("last-event-id")) if "fleet/events" in each.url else None
        ),
    )
    seen = busy()
    stage.tell(seen)
    open_view(staged, "Fleet")
    expect(staged.locator("#figure-waiting")).to_have_text("420")

    # when the server goes for a while
    stage.stop()
    expect(staged.locator("#notices")).to_contain_text("Connection lost", timeout=RESULT_MS)
    stage.start()

    # then it is told again, of the history only what is new
    expect(staged.locator("#notices")).to_be_empty()
    newest = seen.history[-1].at.isoformat(timespec="milliseconds").replace("+00:00", "Z")
    expect(staged.locator("#figure-waiting")).to_have_text("420")
    assert asked[0] is None
    assert asked[-1] == newest


def test_a_fleet_that_nobody_looks_at_is_not_missed(staged: Page, stage: Stage) -> None:
    open_view(staged, "Fleet")
    expect(staged.locator("#fleet-headline")).not_to_be_empty()
    stage.stop()
    expect(staged.locator("#notices")).to_contain_text("Connection lost", timeout=RESULT_MS)

    open_view(staged, "Pictures")

    expect(staged.locator("#notices")).to_be_empty()


def test_a_page_that_did_not_arrive_whole_is_loaded_again(staged: Page, stage: Stage) -> None:
    # given a module that gets lost once
    staged.route("**/static/gallery.js", lambda route: route.abort(), times=1)

    staged.goto(f"{stage.url}?again")

    expect(staged.get_by_role("navigation")).to_be_visible()
    choose(staged, [SAMPLES / "flower.jpg"])
    expect(card(staged, "flower.jpg")).to_be_visible()


@pytest.mark.parametrize("lost", ["gallery.js", "start.js"])
def test_a_page_that_does_not_arrive_says_so(browser: Browser, stage: Stage, lost: str) -> None:
    with browser.new_context() as context:
        page = context.new_page()
        page.route(f"**/static/{lost}", lambda route: route.abort())

        page.goto(stage.url)

        expect(page.get_by_role("alert")).to_contain_text("did not arrive whole")
        page.unroute_all()
        until_started(page, page.get_by_role("link", name="Load it again").click)
        expect(page.get_by_role("navigation")).to_be_visible()
