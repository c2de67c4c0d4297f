"""Whatever a file is called, and whatever a worker or the scaler says, the page shows as text."""

from __future__ import annotations

from dataclasses import replace

import pytest
from playwright.sync_api import FilePayload, Page, expect

from browsing import cards, expect_done, open_view, reload
from imagefleet_core import replies
from imagefleet_core.jobs import Prediction
from stage import Stage, busy
from web_tier import CHELSEA, result_of

pytestmark = pytest.mark.browser

EVIL = "<img src=x onerror=\"document.title='broken'\"><script>document.title='broken'</script>"
NAME = "<img src=x onerror=alert(1)>.jpg"
# What would be there if any of it had become part of the page.
MADE = "main script, main [onerror], main img[src=x]"


def test_markup_in_names_and_labels_stays_text(staged: Page, stage: Stage) -> None:
    # given a picture whose name is markup
    staged.get_by_label("Choose pictures").set_input_files(
        FilePayload(name=NAME, mimeType="image/jpeg", buffer=CHELSEA)
    )

    # when a worker that somebody broke into answers with markup
    (request,) = stage.take(1)
    evil = replace(result_of(request), top=(Prediction(EVIL, 0.9), Prediction("cat", 0.1)))
    stage.world.store.put_result(evil)
    stage.world.queues.open(request.reply_to or "").send([replies.encode(evil)])
    expect_done(staged, 1)

    # then both are read as they are, and nothing of them runs
    expect(cards(staged).first).to_contain_text(EVIL)
    expect(cards(staged).first).to_contain_text(NAME)
    assert staged.title() != "broken"
    assert staged.locator(MADE).count() == 0

    # also after a reload, when all comes from the browser's memory and the server
    reload(staged)
    expect(cards(staged).first).to_contain_text(EVIL)
    assert staged.title() != "broken"
    assert staged.locator(MADE).count() == 0


def test_markup_in_a_report_of_the_fleet_stays_text(staged: Page, stage: Stage) -> None:
    report = busy()
    worker, decision = report.workers[0], report.decisions[0]
    stage.tell(
        replace(
            report,
            workers=(replace(worker, id=EVIL),),
            decisions=(replace(decision, why=EVIL),),
        )
    )

    open_view(staged, "Fleet")

    expect(staged.get_by_text(EVIL).first).to_be_visible()
    assert staged.title() != "broken"
    assert staged.locator(MADE).count() == 0
