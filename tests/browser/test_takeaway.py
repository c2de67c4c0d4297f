"""Results to take away: of the pictures on the page, and of each upload."""

from __future__ import annotations

import csv
import json
from pathlib import Path

import pytest
import requests
from playwright.sync_api import Page, expect

from browsing import card, choose, expect_done, expect_state, uploads
from stage import Stage
from system import SAMPLES

pytestmark = pytest.mark.browser

TIMEOUT_S = 20


@pytest.fixture
def pictures(tmp_path: Path) -> list[Path]:
    """Pictures whose names and results are hard to write as a table."""
    names = ("measured, 1.jpg", '=cmd "quoted".jpg', "broken.jpg", "Käse.jpg", "waits.jpg")
    paths = [tmp_path / name for name in names]
    for path in paths:
        path.write_bytes((SAMPLES / "chelsea.jpg").read_bytes())
    return paths


def download(page: Page, name: str) -> bytes:
    with page.expect_download() as download:
        page.get_by_role("button", name=name).click()
    content: bytes = download.value.path().read_bytes()
    return content


def test_the_page_writes_what_the_server_would(
    staged: Page, stage: Stage, pictures: list[Path]
) -> None:
    # given labels, an output, a failure and one that still waits, all of one upload
    choose(staged, pictures)
    stage.finish(4)
    expect_done(staged, 3)
    expect_state(card(staged, "broken.jpg"), "failed")
    url = uploads(staged).first.get_by_role("link", name="Download CSV").get_attribute("href")
    server = stage.url.rstrip("/") + str(url)

    assert download(staged, "Download CSV") == requests.get(server, timeout=TIMEOUT_S).content

    lines = requests.get(server.replace(".csv", ".jsonl"), timeout=TIMEOUT_S).text.splitlines()
    told = download(staged, "Download JSON Lines").decode().splitlines()
    assert [json.loads(line) for line in told] == [json.loads(line) for line in lines]


def test_a_refused_file_stands_in_the_table_with_its_reason(
    staged: Page, stage: Stage, tmp_path: Path
) -> None:
    text = tmp_path / "text.jpg"
    text.write_text("I am no picture")
    choose(staged, [text, SAMPLES / "chelsea.jpg"])
    stage.finish(1)
    expect_done(staged, 1)

    table = download(staged, "Download CSV").decode()

    refused, done = csv.DictReader(table.splitlines())
    assert (refused["name"], refused["status"]) == ("text.jpg", "rejected")
    assert refused["error_code"] == "unsupported_format"
    assert (done["name"], done["status"]) == ("chelsea.jpg", "done")


def test_each_upload_is_downloaded_as_json_lines(staged: Page, stage: Stage) -> None:
    choose(staged, [SAMPLES / "chelsea.jpg", SAMPLES / "coffee.jpg"])
    stage.finish(2)
    expect_done(staged, 2)

    with staged.expect_download() as download:
        uploads(staged).first.get_by_role("link", name="Download JSON Lines").click()

    assert download.value.suggested_filename.endswith(".jsonl")
    lines = download.value.path().read_text().splitlines()
    assert [json.loads(line)["name"] for line in lines] == ["chelsea.jpg", "coffee.jpg"]


def test_the_time_that_each_picture_took_stands_on_its_card(staged: Page, stage: Stage) -> None:
    choose(staged, [SAMPLES / "chelsea.jpg", SAMPLES / "coffee.jpg"])
    stage.finish(1)
    stage.fail(1)

    expect_state(card(staged, "coffee.jpg"), "failed")
    facts = staged.locator("[data-part=fact]")
    expect(facts).to_have_count(2)
    assert facts.all_inner_texts()[0].startswith("in ")
    assert facts.all_inner_texts()[1].startswith("after ")
