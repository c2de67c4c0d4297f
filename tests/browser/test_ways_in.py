"""How pictures come in: chosen, dropped, pasted; and tried again."""

from __future__ import annotations

import base64
from pathlib import Path

import pytest
from playwright.sync_api import JSHandle, Page, expect

from browsing import RESULT_MS, card, cards, choose, expect_done, expect_state, open_view
from stage import Stage
from system import SAMPLES

pytestmark = pytest.mark.browser

# As the browser makes one when files are dragged over the page.
TRANSFER = """files => {
  const transfer = new DataTransfer();
  for (const [name, content] of files) {
    const bytes = Uint8Array.from(atob(content), (byte) => byte.charCodeAt(0));
    transfer.items.add(new File([bytes], name, { type: "image/jpeg" }));
  }
  return transfer;
}"""
# Puts a picture into the clipboard, as copying one on another page does.
COPY = """async () => {
  const picture = new OffscreenCanvas(64, 48);
  picture.getContext("2d").fillRect(0, 0, 32, 48);
  const blob = await picture.convertToBlob({ type: "image/png" });
  await navigator.clipboard.write([new ClipboardItem({ "image/png": blob })]);
}"""
DRAGGED = "getComputedStyle(document.body, '::after').content"


def transfer_of(page: Page, *files: Path) -> JSHandle:
    content = [(file.name, base64.b64encode(file.read_bytes()).decode()) for file in files]
    return page.evaluate_handle(TRANSFER, content)


def drop(page: Page, *files: Path) -> None:
    transfer = transfer_of(page, *files)
    for event in ("dragenter", "dragover", "drop"):
        page.dispatch_event("body", event, {"dataTransfer": transfer})


def test_dropped_pictures_are_uploaded(staged: Page, stage: Stage) -> None:
    # given files above the page, which says that they may be dropped
    transfer = transfer_of(staged, SAMPLES / "chelsea.jpg", SAMPLES / "coffee.jpg")
    staged.dispatch_event("body", "dragover", {"dataTransfer": transfer})
    assert "Drop" in staged.evaluate(DRAGGED)

    staged.dispatch_event("body", "drop", {"dataTransfer": transfer})

    assert staged.evaluate(DRAGGED) == "none"
    stage.finish(2)
    expect_done(staged, 2)
    expect(card(staged, "chelsea.jpg")).to_contain_text("chelsea.jpg 1")
    expect(card(staged, "coffee.jpg")).to_be_visible()


def test_files_that_leave_the_page_again_are_not_uploaded(staged: Page) -> None:
    transfer = transfer_of(staged, SAMPLES / "chelsea.jpg")
    staged.dispatch_event("body", "dragover", {"dataTransfer": transfer})

    staged.dispatch_event("body", "dragleave", {"dataTransfer": transfer, "relatedTarget": None})

    assert staged.evaluate(DRAGGED) == "none"
    expect(cards(staged)).to_have_count(0)


def test_pictures_dropped_on_the_fleet_are_shown_with_the_others(
    staged: Page, stage: Stage
) -> None:
    open_view(staged, "Fleet")
    expect(staged.get_by_role("heading", name="The fleet")).to_be_visible()

    drop(staged, SAMPLES / "chelsea.jpg")

    expect(card(staged, "chelsea.jpg")).to_be_visible()
    stage.finish(1)
    expect_done(staged, 1)


def test_a_pasted_picture_is_uploaded(staged: Page, stage: Stage) -> None:
    staged.context.grant_permissions(["clipboard-read", "clipboard-write"])
    staged.evaluate(COPY)

    staged.keyboard.press("Control+V")

    stage.finish(1)
    expect_done(staged, 1)
    expect(cards(staged)).to_contain_text("image.png 1")


def test_a_pasted_text_is_no_picture(staged: Page) -> None:
    staged.context.grant_permissions(["clipboard-read", "clipboard-write"])
    staged.evaluate("navigator.clipboard.writeText('a text')")

    staged.keyboard.press("Control+V")

    open_view(staged, "Fleet")  # what a paste does is done by then
    open_view(staged, "Pictures")
    expect(cards(staged)).to_have_count(0)


def test_the_same_file_can_be_chosen_twice(staged: Page, stage: Stage) -> None:
    choose(staged, [SAMPLES / "chelsea.jpg"])
    stage.finish(1)
    expect_done(staged, 1)

    choose(staged, [SAMPLES / "chelsea.jpg"])

    stage.finish(1)
    expect_done(staged, 2)


def test_a_failed_picture_is_tried_again_and_can_succeed(staged: Page, stage: Stage) -> None:
    # given a picture that fails though it is a good one
    choose(staged, [SAMPLES / "chelsea.jpg"])
    stage.fail(1)
    failed = card(staged, "chelsea.jpg")
    expect_state(failed, "failed")
    expect(failed).to_contain_text("The worker ended before it had a result.")

    failed.get_by_role("button", name="Try again").click()

    # then the same card waits, holds the focus, and gets its label
    expect_state(failed, "waiting")
    expect(failed).to_be_focused()
    stage.finish(1)
    expect_state(failed, "done")
    expect(failed).to_contain_text("chelsea.jpg 1")
    expect(failed).not_to_contain_text("The worker ended")
    expect(cards(staged)).to_have_count(1)


def test_all_failed_pictures_are_tried_again_at_once(staged: Page, stage: Stage) -> None:
    choose(staged, [SAMPLES / "chelsea.jpg", SAMPLES / "coffee.jpg", SAMPLES / "flower.jpg"])
    stage.fail(2)
    stage.finish(1)
    expect(staged.locator("#count-failed")).to_have_text("2", timeout=RESULT_MS)

    staged.get_by_role("button", name="Try failed again").click()

    stage.finish(2)
    expect_done(staged, 3)
    expect(staged.locator("#count-failed")).to_have_text("0")
    expect(staged.get_by_role("button", name="Try failed again")).to_be_hidden()


def test_a_failed_picture_is_removed(staged: Page, stage: Stage) -> None:
    choose(staged, [SAMPLES / "chelsea.jpg", SAMPLES / "coffee.jpg"])
    stage.fail(2)
    expect_state(card(staged, "coffee.jpg"), "failed")

    card(staged, "coffee.jpg").get_by_role("button", name="Remove").click()

    expect(cards(staged)).to_have_count(1)
    expect(staged.locator("#results")).to_be_focused()
