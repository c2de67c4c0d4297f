"""Hundreds of cards: what the page does not do, so that it stays smooth."""

from __future__ import annotations

from pathlib import Path

import pytest
from playwright.sync_api import CDPSession, Page, expect

from browsing import RESULT_MS, choose, expect_done
from stage import Stage
from system import SAMPLES

pytestmark = pytest.mark.browser

CARDS, RESULTS = 300, 100
RENDERED = """cards => cards.filter(card =>
  card.firstElementChild.checkVisibility({ contentVisibilityAuto: true })).length"""
COUNT_FRAMES = """() => {
  window.drawn = 0;
  const count = () => { window.drawn += 1; requestAnimationFrame(count); };
  requestAnimationFrame(count);
}"""


def layouts(session: CDPSession) -> float:
    """Return how often the page was laid out so far."""
    metrics = session.send("Performance.getMetrics")["metrics"]
    (count,) = [each["value"] for each in metrics if each["name"] == "LayoutCount"]
    return float(count)


def test_a_hundred_results_among_three_hundred_cards_lay_the_page_out_a_few_times(
    staged: Page, stage: Stage, tmp_path: Path
) -> None:
    # given three hundred pictures that wait
    pictures = [tmp_path / f"{number:03}.jpg" for number in range(CARDS)]
    for picture in pictures:
        picture.write_bytes((SAMPLES / "chelsea.jpg").read_bytes())
    choose(staged, pictures)
    cards = staged.locator("#cards article")
    waiting = staged.locator("#cards [data-state=waiting]")
    expect(waiting).to_have_count(CARDS, timeout=2 * RESULT_MS)
    session = staged.context.new_cdp_session(staged)
    session.send("Performance.enable")
    staged.evaluate(COUNT_FRAMES)
    before = layouts(session)

    # when a hundred results come at once
    stage.finish(RESULTS)
    expect_done(staged, RESULTS)

    # then the page is laid out with the frames it draws, and not with each result
    frames = staged.evaluate("window.drawn")
    assert layouts(session) - before < frames + RESULTS / 2
    # and only cards that are near the window are rendered, and only their pictures loaded
    assert cards.evaluate_all(RENDERED) < CARDS / 4
    images = staged.locator("#cards img").evaluate_all("all => all.filter(each => each.src).length")
    assert 0 < images < CARDS / 4
