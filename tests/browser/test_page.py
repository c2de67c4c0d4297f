"""The page, as a person uses it."""

from __future__ import annotations

from pathlib import Path

import pytest
from playwright.sync_api import Page, Response, expect

from browsing import RESULT_MS, card, choose, expect_done, expect_state, reload, sideways
from system import PHOTOGRAPHS, SAMPLES, System, labels, photographs

pytestmark = pytest.mark.browser

# What a request looks like to the page whose connection ended; the first that has an answer.
LOSE_THE_FIRST_ANSWER = """() => {
  const { get } = Object.getOwnPropertyDescriptor(XMLHttpRequest.prototype, "status");
  let lost = null;
  Object.defineProperty(XMLHttpRequest.prototype, "status", {
    get() {
      const status = get.call(this);
      if (status) lost ??= this;
      return lost === this ? 0 : status;
    },
  });
}"""


def test_each_chosen_photograph_gets_its_label_and_five_guesses(page: Page) -> None:
    expected = labels()

    choose(page, PHOTOGRAPHS)

    for photograph in PHOTOGRAPHS:
        shown = card(page, photograph.name)
        expect_state(shown, "done")
        expect(shown).to_contain_text(expected[photograph.name])
        guesses = shown.get_by_role("list", name="Best guesses").get_by_role("listitem")
        expect(guesses).to_have_count(5)
        expect(guesses.first.locator(".label")).to_have_text(expected[photograph.name])
    expect_done(page, len(PHOTOGRAPHS))
    expect(page.locator("#count-waiting")).to_have_text("0")


def test_refused_and_failed_pictures_say_why_and_the_others_go_on(
    page: Page, tmp_path: Path
) -> None:
    # given a text that calls itself a picture, and a picture that ends in the middle
    text, truncated = tmp_path / "text.jpg", tmp_path / "truncated.jpg"
    text.write_text("I am no picture")
    truncated.write_bytes((SAMPLES / "coffee.jpg").read_bytes()[:20_000])

    choose(page, [text, truncated, SAMPLES / "chelsea.jpg"])

    expect(card(page, "text.jpg")).to_have_attribute("data-code", "unsupported_format")
    expect(card(page, "truncated.jpg")).to_have_attribute(
        "data-code", "truncated", timeout=RESULT_MS
    )
    expect(card(page, "truncated.jpg").locator("[data-part=reason]")).not_to_be_empty()
    expect(card(page, "truncated.jpg").get_by_role("button", name="Try again")).to_be_visible()
    expect_state(card(page, "chelsea.jpg"), "done")
    expect(page.locator("#count-failed")).to_have_text("2")


def test_a_picture_whose_answer_was_lost_is_taken_in_once(page: Page) -> None:
    # given an upload that is accepted, and its answer doesn't come through
    page.evaluate(LOSE_THE_FIRST_ANSWER)
    uploads: list[Response] = []
    page.on("response", lambda each: uploads.append(each) if "/upload" in each.url else None)

    choose(page, [SAMPLES / "coffee.jpg"])

    # then the page sends it again, and it is the same batch
    expect_state(card(page, "coffee.jpg"), "done")
    first, *again = [each.headers.get("idempotent-replayed") for each in uploads]
    assert (first, set(again)) == (None, {"true"})
    assert len({each.headers["location"] for each in uploads}) == 1


def test_a_hundred_and_more_photographs_are_split_and_all_arrive(page: Page) -> None:
    choose(page, photographs(120))

    expect_done(page, 120, 2 * RESULT_MS)


def test_the_page_needs_no_other_host_and_breaks_no_rule_of_its_own(
    page: Page, system: System
) -> None:
    requested: list[str] = []
    complaints: list[str] = []
    page.on("request", lambda request: requested.append(request.url))
    page.on("console", lambda message: complaints.append(message.text))

    reload(page)
    choose(page, [SAMPLES / "chelsea.jpg"])
    expect_state(card(page, "chelsea.jpg"), "done")

    assert all(url.startswith((system.url, "blob:")) for url in requested), requested
    assert not [each for each in complaints if "Content Security Policy" in each]


def test_the_page_fits_a_telephone(page: Page) -> None:
    page.set_viewport_size({"width": 360, "height": 740})
    choose(page, [SAMPLES / "chelsea.jpg"])
    expect_state(card(page, "chelsea.jpg"), "done")

    assert sideways(page) == 0
