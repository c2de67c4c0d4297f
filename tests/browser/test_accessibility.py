"""The page for everybody: axe-core's rules, the keyboard, large text, forced colours, speech."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from playwright.sync_api import Browser, Page, expect

from browsing import (
    RESULT_MS,
    cards,
    choose,
    complaints,
    expect_done,
    open_view,
    opened,
    sideways,
    uploads,
)
from imagefleet_web.keys import make
from stage import Stage, busy, resting, set_up
from system import SAMPLES

pytestmark = pytest.mark.browser

PHONE = {"width": 360, "height": 740}
DESK = {"width": 1280, "height": 900}
LARGE_TEXT = "document.documentElement.style.fontSize = '200%'"
# What the keyboard can reach: its name, and whether one sees that it is there.
FOCUSED = r"""() => {
  const element = document.activeElement;
  const shown = element.id === "files" ? document.getElementById("choose") : element;
  const { outlineStyle, outlineWidth } = getComputedStyle(shown);
  const { top, bottom } = shown.getBoundingClientRect();
  return {
    name: element.getAttribute("aria-label") || element.id || element.innerText.split(/\s/)[0],
    seen: outlineStyle !== "none" && outlineWidth !== "0px" && top >= 0 && bottom <= innerHeight,
  };
}"""
# Notes every text that a live region takes on.
LISTEN = """() => {
  window.heard = [];
  for (const region of document.querySelectorAll("[role=status], [role=alert]")) {
    new MutationObserver(() => region.textContent.trim() && heard.push(region.textContent.trim()))
      .observe(region, { childList: true, characterData: true, subtree: true });
  }
}"""


@pytest.fixture
def staged(browser: Browser, stage: Stage) -> Iterator[Page]:
    """The page without animations, whose colours would be measured amid a fade."""
    with opened(browser, stage.url, reduced_motion="reduce") as page:
        yield page


@pytest.fixture
def broken(tmp_path: Path) -> Path:
    path = tmp_path / "broken.jpg"
    path.write_bytes((SAMPLES / "coffee.jpg").read_bytes())
    return path


def expect_accessible(page: Page) -> None:
    """Look at the page on a desk in light colours, and on a phone in dark ones."""
    for size, scheme in ((DESK, "light"), (PHONE, "dark")):
        page.set_viewport_size(size)  # type: ignore[arg-type]
        page.emulate_media(color_scheme=scheme)  # type: ignore[arg-type]
        assert complaints(page) == [], scheme
        assert sideways(page) == 0, size


def show_everything(page: Page, stage: Stage, broken: Path) -> None:
    """Bring cards of every state, and an earlier upload, onto the page."""
    measured = broken.with_name("measured.jpg")
    text = broken.with_name("text.jpg")
    measured.write_bytes(broken.read_bytes())
    text.write_text("I am no picture")
    names = ("chelsea", "flower")
    choose(page, [SAMPLES / f"{names[0]}.jpg", broken, measured, text, SAMPLES / f"{names[1]}.jpg"])
    stage.finish(3)
    expect_done(page, 2)
    expect(page.locator("#count-failed")).to_have_text("2")
    expect(uploads(page)).to_have_count(1)


def test_the_empty_page_is_accessible(staged: Page) -> None:
    expect_accessible(staged)


def test_results_failures_and_history_are_accessible(
    staged: Page, stage: Stage, broken: Path
) -> None:
    show_everything(staged, stage, broken)

    expect_accessible(staged)


def test_a_filter_that_nothing_matches_is_accessible(
    staged: Page, stage: Stage, broken: Path
) -> None:
    show_everything(staged, stage, broken)
    staged.get_by_role("searchbox").fill("horse")
    expect(cards(staged)).to_have_count(0)

    expect_accessible(staged)


def test_the_form_for_a_key_is_accessible(browser: Browser, tmp_path: Path) -> None:
    keys = tmp_path / "keys.txt"
    keys.write_text(f"{make('alice')[1]}\n")
    with (
        set_up(api_keys_file=str(keys)) as stage,
        opened(browser, stage.url, reduced_motion="reduce") as page,
    ):
        expect(page.get_by_label("asks for an API key")).to_be_focused()
        page.keyboard.type("imf_wrong")
        page.keyboard.press("Enter")
        expect(page.get_by_role("alert")).to_contain_text("does not know this key")

        expect_accessible(page)


def test_a_fleet_where_nothing_happens_is_accessible(staged: Page, stage: Stage) -> None:
    open_view(staged, "Fleet")
    headline = staged.locator("#fleet-headline")
    expect(headline).to_contain_text("not been heard of yet")
    expect_accessible(staged)

    stage.tell(resting())
    expect(headline).to_contain_text("Nothing is running")
    expect_accessible(staged)

    stage.tell(busy(fresh_s=0.001))
    expect(headline).to_contain_text("not been heard of since")
    expect_accessible(staged)


def test_a_fleet_at_work_is_accessible(staged: Page, stage: Stage) -> None:
    stage.tell(busy())
    open_view(staged, "Fleet")
    staged.get_by_text("Show as a table").click()
    expect(staged.locator("#lately-rows tr")).not_to_have_count(0)

    expect_accessible(staged)


def test_a_notice_is_accessible(staged: Page, stage: Stage) -> None:
    stage.stop()
    choose(staged, [SAMPLES / "chelsea.jpg"])
    expect(staged.locator("#notices")).to_contain_text("Connection lost", timeout=RESULT_MS)

    expect_accessible(staged)


def test_text_of_twice_the_size_has_room(staged: Page, stage: Stage, broken: Path) -> None:
    stage.tell(busy())
    show_everything(staged, stage, broken)
    staged.evaluate(LARGE_TEXT)

    for view in ("Pictures", "Fleet"):
        open_view(staged, view)
        for size in (PHONE, DESK):
            staged.set_viewport_size(size)  # type: ignore[arg-type]
            assert sideways(staged) == 0, (view, size)


def test_everything_is_reached_and_seen_by_keyboard_in_the_order_of_the_page(
    staged: Page, stage: Stage, broken: Path
) -> None:
    choose(staged, [SAMPLES / "chelsea.jpg", broken])
    stage.finish(2)
    expect_done(staged, 1)
    expect(uploads(staged)).to_have_count(1)
    staged.evaluate("document.activeElement.blur()")

    reached = []
    for _ in range(24):
        staged.keyboard.press("Tab")
        focused = staged.evaluate(FOCUSED)
        assert focused["seen"], focused
        reached.append(focused["name"])
        if focused["name"] == "copy":
            break

    assert reached == [
        "Imagefleet", "Pictures", "Fleet", "files",
        "2", "0", "1", "1", "Find pictures by name or label",
        "retry-failed", "clear", "Download CSV", "Download JSON Lines",
        "Try", "Remove",
        "Show", "Download CSV", "Download JSON Lines", "Delete",
        "copy",
    ]  # fmt: skip


def test_a_hundred_results_are_told_in_a_few_sentences(
    staged: Page, stage: Stage, tmp_path: Path
) -> None:
    pictures = [tmp_path / f"{number}.jpg" for number in range(100)]
    for picture in pictures:
        picture.write_bytes((SAMPLES / "chelsea.jpg").read_bytes())
    staged.evaluate(LISTEN)

    choose(staged, pictures)
    for _ in range(20):
        stage.finish(5)
    expect_done(staged, 100)

    expect(staged.locator("#summary")).to_have_text("100 pictures done.", timeout=RESULT_MS)
    assert 1 <= len(staged.evaluate("heard")) <= 3


def test_a_busy_fleet_is_told_once_and_not_with_each_figure(staged: Page, stage: Stage) -> None:
    report = busy()
    stage.tell(report)
    open_view(staged, "Fleet")
    expect(staged.locator("#figure-waiting")).to_have_text("420")
    staged.evaluate(LISTEN)

    for visible in (300, 200, 100):
        stage.tell(replace(report, queue=replace(report.queue, visible=visible)))
        expect(staged.locator("#figure-waiting")).to_have_text(str(visible))

    assert staged.evaluate("heard") == []


def test_forced_colours_leave_shapes_to_tell_by(staged: Page, stage: Stage, broken: Path) -> None:
    stage.tell(busy())
    staged.emulate_media(forced_colors="active")
    show_everything(staged, stage, broken)

    # then the pressed filter and the bars of the guesses have outlines
    style = "(element, pseudo) => getComputedStyle(element, pseudo || null)"
    pressed = staged.locator("[data-show=all]").evaluate(f"e => ({style})(e).outlineStyle")
    bar = staged.locator(".guesses li").first.evaluate(f"e => ({style})(e, '::before').borderStyle")
    assert (pressed, bar) == ("solid", "solid")
    # and the plots are drawn in colours that the person has chosen
    open_view(staged, "Fleet")
    colours = "paths => paths.map(path => getComputedStyle(path).stroke)"
    text = staged.evaluate("getComputedStyle(document.body).color")
    waiting, in_work = staged.locator("#plot-images path").evaluate_all(colours)
    assert waiting == text
    assert in_work != text


def test_nothing_moves_for_those_who_ask_for_that(staged: Page, stage: Stage, broken: Path) -> None:
    show_everything(staged, stage, broken)
    assert staged.evaluate("document.getAnimations().length") == 0

    stage.tell(busy())
    open_view(staged, "Fleet")
    expect(staged.locator("#figure-waiting")).to_have_text("420")
    assert staged.evaluate("document.getAnimations().length") == 0
