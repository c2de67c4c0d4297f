"""What the page still knows after it was closed: its cards, and earlier uploads."""

from __future__ import annotations

import csv
import re
from pathlib import Path

import pytest
from playwright.sync_api import Page, expect

from browsing import RESULT_MS, card, choose, expect_done, reload, sideways, uploads
from client import state
from system import PHOTOGRAPHS, SAMPLES, System, labels, photographs

pytestmark = pytest.mark.browser


def test_cards_come_back_after_a_reload_with_their_pictures_and_labels(page: Page) -> None:
    # given two uploads that are finished
    choose(page, [SAMPLES / "chelsea.jpg", SAMPLES / "coffee.jpg"])
    expect_done(page, 2)
    choose(page, [SAMPLES / "flower.jpg"])
    expect_done(page, 3)
    before = page.get_by_role("article").all_inner_texts()

    reload(page)

    expect_done(page, 3)
    assert page.get_by_role("article").all_inner_texts() == before
    for name in ("flower.jpg", "chelsea.jpg", "coffee.jpg"):
        photograph = card(page, name).locator("img")
        photograph.scroll_into_view_if_needed()
        expect(photograph).not_to_have_js_property("naturalWidth", 0)
        expect(card(page, name)).to_contain_text(labels()[name])


def test_what_waited_when_the_page_was_closed_is_finished_on_the_next_one(page: Page) -> None:
    # given more pictures than are finished soon after they are accepted
    choose(page, photographs(100))
    accepted = re.compile("waiting|done")
    expect(page.get_by_role("article").last).to_have_attribute("data-state", accepted)

    reload(page)

    expect_done(page, 100)


def test_what_was_cleared_or_refused_does_not_come_back(page: Page, tmp_path: Path) -> None:
    # given one picture that is cleared, and one uploaded after it with a file that is none
    choose(page, [SAMPLES / "chelsea.jpg"])
    expect_done(page, 1)
    page.get_by_role("button", name="Clear finished").click()
    text = tmp_path / "text.jpg"
    text.write_text("I am no picture")
    choose(page, [SAMPLES / "flower.jpg", text])
    expect_done(page, 1)

    reload(page)

    expect(card(page, "flower.jpg")).to_be_visible(timeout=RESULT_MS)
    expect(page.get_by_role("article")).to_have_count(1)


def test_a_failed_picture_says_why_after_a_reload_too(page: Page, tmp_path: Path) -> None:
    truncated = tmp_path / "truncated.jpg"
    truncated.write_bytes((SAMPLES / "coffee.jpg").read_bytes()[:20_000])
    choose(page, [truncated])
    expect(card(page, "truncated.jpg")).to_have_attribute(
        "data-code", "truncated", timeout=RESULT_MS
    )

    reload(page)

    # then with its reason, but without the file to try it again
    failed = card(page, "truncated.jpg")
    expect(failed).to_have_attribute("data-code", "truncated", timeout=RESULT_MS)
    expect(failed.locator("[data-part=reason]")).not_to_be_empty()
    expect(failed.get_by_role("button", name="Try again")).to_be_hidden()


def test_an_earlier_upload_is_downloaded_as_a_table(page: Page) -> None:
    choose(page, PHOTOGRAPHS)
    expect_done(page, len(PHOTOGRAPHS))

    newest = uploads(page).first
    expect(newest).to_contain_text(f"{len(PHOTOGRAPHS)} pictures")
    expect(newest).not_to_contain_text("waiting")
    with page.expect_download() as download:
        newest.get_by_role("link", name="Download CSV").click()

    assert download.value.suggested_filename.startswith("imagefleet-")
    with Path(download.value.path()).open(newline="", encoding="utf-8") as file:
        assert {row["name"]: row["label"] for row in csv.DictReader(file)} == labels()


def test_an_upload_of_another_browser_can_be_shown(page: Page) -> None:
    choose(page, [SAMPLES / "chelsea.jpg"])
    expect_done(page, 1)
    page.evaluate("localStorage.clear()")
    reload(page)
    expect(page.get_by_role("article")).to_have_count(0)

    uploads(page).first.get_by_role("button", name="Show").click()

    expect(card(page, "chelsea.jpg")).to_be_focused()
    expect(card(page, "chelsea.jpg")).to_contain_text(labels()["chelsea.jpg"])
    reload(page)
    expect(card(page, "chelsea.jpg")).to_be_visible(timeout=RESULT_MS)


def test_a_deleted_upload_is_gone_from_page_and_server(page: Page, system: System) -> None:
    choose(page, [SAMPLES / "chelsea.jpg"])
    expect_done(page, 1)
    table = uploads(page).first.get_by_role("link", name="Download CSV")
    before = table.get_attribute("href") or ""
    choose(page, [SAMPLES / "flower.jpg"])
    expect_done(page, 2)
    expect(table).not_to_have_attribute("href", before)
    batch = (table.get_attribute("href") or "").split("/")[-2]

    # when it is not confirmed, nothing happens
    page.once("dialog", lambda dialog: dialog.dismiss())
    uploads(page).first.get_by_role("button", name="Delete").click()
    expect(card(page, "flower.jpg")).to_be_visible()

    # when it is
    page.once("dialog", lambda dialog: dialog.accept())
    uploads(page).first.get_by_role("button", name="Delete").click()

    expect(card(page, "flower.jpg")).to_have_count(0)
    expect(card(page, "chelsea.jpg")).to_be_visible()
    assert state(system.url, batch)["code"] == "deleted"
    reload(page)
    expect(page.get_by_role("article")).to_have_count(1, timeout=RESULT_MS)


def test_more_uploads_are_shown_when_asked_for(page: Page) -> None:
    for count in range(1, 13):
        choose(page, [SAMPLES / "chelsea.jpg"])
        expect_done(page, count)
    reload(page)
    expect(uploads(page)).to_have_count(10)

    page.get_by_role("button", name="Show more").click()

    expect(uploads(page).nth(11)).to_be_visible()
    expect(uploads(page).nth(10).get_by_role("button", name="Show")).to_be_focused()


def test_a_browser_without_storage_still_classifies(page: Page) -> None:
    page.add_init_script(
        "Object.defineProperty(window, 'localStorage', {get() { throw new Error('denied') }})"
    )
    reload(page)

    choose(page, [SAMPLES / "chelsea.jpg"])

    expect_done(page, 1)


def test_earlier_uploads_fit_a_telephone(page: Page) -> None:
    page.set_viewport_size({"width": 360, "height": 740})
    choose(page, [SAMPLES / "chelsea.jpg"])
    expect_done(page, 1)
    expect(uploads(page).first).to_be_visible()

    assert sideways(page) == 0
