"""The page that describes the API, which needs no scripts."""

from __future__ import annotations

from typing import Any

import pytest
from playwright.sync_api import Browser, expect

from browsing import complaints, sideways
from stage import Stage

pytestmark = pytest.mark.browser

DESK = {"viewport": {"width": 1280, "height": 900}, "color_scheme": "light"}
PHONE = {"viewport": {"width": 360, "height": 740}, "color_scheme": "dark"}


@pytest.mark.parametrize("screen", [DESK, PHONE], ids=["desk", "phone"])
def test_the_description_is_accessible_and_fits(
    browser: Browser, stage: Stage, screen: dict[str, Any]
) -> None:
    with browser.new_context(**screen) as context:
        page = context.new_page()
        page.goto(stage.url + "api/v1/docs")
        page.locator("details").evaluate_all("all => all.forEach(each => { each.open = true; })")

        assert complaints(page) == []
        assert sideways(page) == 0
        page.evaluate("document.documentElement.style.fontSize = '200%'")
        assert sideways(page) == 0


def test_a_call_is_found_by_its_link_without_scripts(browser: Browser, stage: Stage) -> None:
    with browser.new_context(java_script_enabled=False) as context:
        page = context.new_page()
        page.goto(stage.url + "api/v1/docs")

        page.get_by_role("navigation").get_by_role("link", name="results.csv").click()

        call = page.get_by_role("article", name="GET /api/v1/batches/{batch_id}/results.csv")
        expect(call).to_be_in_viewport()
        call.get_by_text("Problems").click()
        expect(call.get_by_text("The batch was deleted")).to_be_visible()
