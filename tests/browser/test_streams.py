"""Streams of results that break off."""

from __future__ import annotations

import json

import pytest
from playwright.sync_api import Page, Request, Route

from browsing import card, choose, expect_state
from imagefleet_core.jobs import Request as Asked
from stage import Stage
from system import PHOTOGRAPHS

pytestmark = pytest.mark.browser

STREAMS = "**/api/v1/batches/*/events"


def test_a_stream_that_broke_off_is_gone_on_with(stage: Stage, staged: Page) -> None:
    asked: list[Asked] = []

    # given a stream that tells one of two results and ends
    def break_off(route: Route) -> None:
        asked.extend(stage.world.take(2))
        stage.world.finish(asked[:1])
        first = stage.web.get(f"/api/v1/jobs/{asked[0].job}").json
        body = f"id: 1.0\nevent: result\ndata: {json.dumps(first)}\n\n"
        route.fulfill(body=body, content_type="text/event-stream")

    def goes_on(request: Request) -> bool:
        return request.headers.get("last-event-id") == "1.0"

    staged.route(STREAMS, break_off, times=1)

    # when the page opens it again, it tells what it has
    with staged.expect_request(goes_on):
        choose(staged, PHOTOGRAPHS[:2])
    expect_state(card(staged, PHOTOGRAPHS[0].name), "done")

    # and gets the other one
    stage.world.finish(asked[1:])
    expect_state(card(staged, PHOTOGRAPHS[1].name), "done")
