"""The page where the service asks for an API key."""

from __future__ import annotations

import csv
from collections.abc import Iterator

import pytest
from playwright.sync_api import Page, expect

from browsing import RESULT_MS, card, choose, expect_done, expect_state, reload
from imagefleet_web.keys import make
from system import SAMPLES, System, labels, photographs, running

pytestmark = pytest.mark.browser

KEY, LINE = make("alice")


@pytest.fixture(scope="module")
def system(tmp_path_factory: pytest.TempPathFactory) -> Iterator[System]:
    """A system that knows one key."""
    folder = tmp_path_factory.mktemp("system")
    keys = folder / "keys.txt"
    keys.write_text(f"{LINE}\n")
    with running(folder / "log", environ={"IMAGEFLEET_API_KEYS_FILE": str(keys)}) as started:
        yield started


def give(page: Page, key: str) -> None:
    """Type a key where the focus is, as it should be in its field."""
    expect(page.get_by_label("asks for an API key")).to_be_focused()
    page.keyboard.type(key)
    page.keyboard.press("Enter")


def test_the_page_asks_for_a_key_and_then_goes_on(page: Page) -> None:
    # given a picture that was chosen before there was a key, and a wrong one
    choose(page, [SAMPLES / "chelsea.jpg"])
    give(page, "imf_wrong")
    expect(page.get_by_role("alert")).to_contain_text("does not know this key")

    give(page, KEY)

    # then it is uploaded, and its label arrives
    chelsea = card(page, "chelsea.jpg")
    expect_state(chelsea, "done")
    expect(chelsea).to_contain_text(labels()["chelsea.jpg"])
    expect(page.get_by_label("asks for an API key")).to_be_hidden()

    # and after a reload the tab still has it: the picture is there, and its table
    reload(page)
    expect_state(chelsea, "done")
    photograph = chelsea.locator("img")
    expect(photograph).to_have_js_property("naturalWidth", 451)
    with page.expect_download() as download:
        page.get_by_role("link", name="Download CSV").first.click()
    with download.value.path().open(newline="") as table:
        (row,) = csv.DictReader(table)
    assert row["label"] == labels()["chelsea.jpg"]

    # and another tab has not
    other = page.context.new_page()
    other.goto(page.url)
    expect(other.get_by_label("asks for an API key")).to_be_visible()


def test_only_pictures_that_are_near_are_fetched_with_a_key(page: Page) -> None:
    # given more cards than the window shows, and the page loaded again
    many = 60
    choose(page, photographs(many))
    give(page, KEY)
    expect_done(page, many, 2 * RESULT_MS)
    fetched: list[str] = []
    page.on("request", lambda each: fetched.append(each.url) if "/image" in each.url else None)
    reload(page)
    expect_done(page, many)
    page.wait_for_load_state("networkidle")
    pictures = page.get_by_role("article").locator("img")
    expect(pictures.first).not_to_have_js_property("naturalWidth", 0)

    # then the last one is there once it comes into view
    assert 0 < len(fetched) < many
    expect(pictures.last).to_have_js_property("naturalWidth", 0)
    page.route("**/image", lambda route: route.abort(), times=1)  # a lost one
    pictures.last.scroll_into_view_if_needed()
    expect(pictures.last).not_to_have_js_property("naturalWidth", 0)
