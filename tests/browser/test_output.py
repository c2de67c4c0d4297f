"""The page, where workers do work of the user's own instead of naming what is in a picture."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Page, expect

from browsing import card, choose, expect_state, sideways
from system import SAMPLES, System, running

pytestmark = pytest.mark.browser

EXAMPLE = str(Path(__file__).parents[2] / "examples/photo-quality")


@pytest.fixture(scope="module")
def system(tmp_path_factory: pytest.TempPathFactory) -> Iterator[System]:
    log = tmp_path_factory.mktemp("system") / "log"
    environ = {"PYTHONPATH": EXAMPLE, "IMAGEFLEET_PROCESSOR": "quality:PhotoQuality"}
    with running(log, "--max-workers", "1", environ=environ) as started:
        yield started


def test_a_photograph_shows_its_output_where_guesses_would_be(page: Page) -> None:
    choose(page, [SAMPLES / "coffee.jpg"])

    coffee = card(page, "coffee.jpg")
    expect_state(coffee, "done")
    output = coffee.get_by_role("group", name="Answer")
    expect(output).to_be_visible()
    expect(output).to_contain_text("sharpness: ")
    expect(coffee.locator("[data-part=guesses]")).to_be_hidden()

    page.set_viewport_size({"width": 360, "height": 740})
    assert sideways(page) == 0
