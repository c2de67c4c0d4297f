"""Finding pictures among many: by their state, and by name or label."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from playwright.sync_api import Locator, Page, expect

from browsing import card, cards, choose, expect_done
from stage import Stage
from system import SAMPLES

pytestmark = pytest.mark.browser


def group(page: Page, name: str) -> Locator:
    return page.get_by_role("group", name="Pictures to show").get_by_role("button", name=name)


def find(page: Page, text: str) -> None:
    page.get_by_role("searchbox", name="Find pictures").fill(text)


@pytest.fixture
def pictures(tmp_path: Path) -> list[Path]:
    """Four pictures, of which the third fails; each label is its file's name and a number."""
    paths = [tmp_path / name for name in ("Käse.jpg", "cat.jpg", "broken.jpg", "dog.jpg")]
    for path in paths:
        path.write_bytes((SAMPLES / "chelsea.jpg").read_bytes())
    return paths


def test_the_counts_show_what_waits_is_done_or_failed(
    staged: Page, stage: Stage, pictures: list[Path]
) -> None:
    # given one that waits, two that are done and one that failed
    choose(staged, pictures)
    stage.finish(3)
    expect_done(staged, 2)
    expect(cards(staged)).to_have_count(4)
    expect(group(staged, "4 total")).to_have_attribute("aria-pressed", "true")

    group(staged, "1 failed").click()

    expect(cards(staged)).to_have_count(1)
    expect(card(staged, "broken.jpg")).to_be_visible()
    expect(group(staged, "1 failed")).to_have_attribute("aria-pressed", "true")
    expect(group(staged, "4 total")).to_have_attribute("aria-pressed", "false")
    expect(staged.locator("#shown")).to_have_text("1 of 4 pictures shown.")

    group(staged, "2 done").click()
    expect(cards(staged)).to_have_count(2)
    group(staged, "1 waiting").click()
    expect(card(staged, "dog.jpg")).to_be_visible()
    group(staged, "4 total").click()
    expect(cards(staged)).to_have_count(4)
    expect(staged.locator("#shown")).to_be_empty()


def test_pictures_are_found_by_name_or_any_of_their_labels(
    staged: Page, stage: Stage, pictures: list[Path]
) -> None:
    choose(staged, pictures)
    stage.finish(4)
    expect_done(staged, 3)

    # when by a part of a name, without its accent or capital
    find(staged, "kase")
    expect(cards(staged)).to_have_count(1)
    expect(card(staged, "Käse.jpg")).to_be_visible()

    # when by its fifth label; all words have to be there
    find(staged, "5 CAT.jpg")
    expect(cards(staged)).to_have_count(1)
    expect(card(staged, "cat.jpg")).to_be_visible()

    # when by nothing that is there
    find(staged, "horse")
    expect(cards(staged)).to_have_count(0)
    expect(staged.get_by_text("No picture is here with “horse” in it.")).to_be_visible()
    staged.get_by_role("button", name="Show all").click()
    expect(cards(staged)).to_have_count(4)
    expect(staged.get_by_role("searchbox")).to_have_value("")
    expect(staged.locator("#results")).to_be_focused()


def test_a_filter_goes_on_while_results_arrive(
    staged: Page, stage: Stage, pictures: list[Path]
) -> None:
    choose(staged, pictures)
    group(staged, "4 waiting").click()
    expect(cards(staged)).to_have_count(4)

    stage.finish(2)
    expect(cards(staged)).to_have_count(2)

    # and what has no card any more is said, in sight and soon to be heard
    stage.finish(2)
    expect(cards(staged)).to_have_count(0)
    expect(staged.get_by_text("No picture is waiting.")).to_be_visible()
    expect(group(staged, "0 waiting")).to_have_attribute("aria-pressed", "true")
    heard = staged.locator("#summary")
    expect(heard).to_have_text("3 of 4 pictures done, 1 failed. 0 of 4 pictures shown.")


def test_whoever_adds_pictures_sees_them(staged: Page, stage: Stage, pictures: list[Path]) -> None:
    choose(staged, pictures[:3])
    stage.finish(3)
    expect_done(staged, 2)
    find(staged, "cat")
    expect(cards(staged)).to_have_count(1)

    choose(staged, pictures[3:])

    expect(card(staged, "dog.jpg")).to_be_visible()
    expect(cards(staged)).to_have_count(4)


def test_the_filter_is_used_without_a_mouse(
    staged: Page, stage: Stage, pictures: list[Path]
) -> None:
    choose(staged, pictures)
    stage.finish(4)
    expect_done(staged, 3)

    # when the failed one is tried again from the keyboard, among the failed ones
    group(staged, "1 failed").focus()
    staged.keyboard.press("Space")
    expect(cards(staged)).to_have_count(1)
    staged.keyboard.press("Tab")
    expect(staged.get_by_role("searchbox")).to_be_focused()
    card(staged, "broken.jpg").get_by_role("button", name="Try again").focus()
    staged.keyboard.press("Enter")

    # then it leaves them, and the focus is not lost
    expect(cards(staged)).to_have_count(0)
    expect(staged.locator("#results")).to_be_focused()

    # and Escape empties the search
    group(staged, "4 total").focus()
    staged.keyboard.press("Enter")
    find(staged, "dog")
    expect(cards(staged)).to_have_count(1)
    staged.keyboard.press("Escape")
    expect(cards(staged)).to_have_count(4)


def test_only_what_is_shown_is_cleared_or_taken_away(
    staged: Page, stage: Stage, pictures: list[Path]
) -> None:
    choose(staged, pictures)
    stage.finish(4)
    expect_done(staged, 3)
    find(staged, "cat")
    expect(cards(staged)).to_have_count(1)

    with staged.expect_download() as download:
        staged.get_by_role("button", name="Download JSON Lines").click()
    lines = download.value.path().read_text().splitlines()
    assert [json.loads(line)["name"] for line in lines] == ["cat.jpg"]

    staged.get_by_role("button", name="Clear finished").click()
    find(staged, "")
    expect(cards(staged)).to_have_count(3)
    expect(card(staged, "cat.jpg")).to_have_count(0)
