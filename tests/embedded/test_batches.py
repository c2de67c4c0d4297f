"""Past batches over the whole system: told, taken away, shown again, deleted."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Iterator
from typing import Any

import pytest
import requests

from client import TIMEOUT_S, state, upload
from system import PHOTOGRAPHS, SAMPLES, System, labels, running, wait_for

pytestmark = pytest.mark.embedded


@pytest.fixture(scope="module")
def system(tmp_path_factory: pytest.TempPathFactory) -> Iterator[System]:
    log = tmp_path_factory.mktemp("system") / "log"
    environ = {"IMAGEFLEET_PROCESSES": "2", "IMAGEFLEET_SCALE_IN_AFTER_S": "30"}
    with running(log, "--max-workers", "1", environ=environ) as started:
        yield started


def get(system: System, path: str, **options: Any) -> requests.Response:
    return requests.get(f"{system.url}api/v1/{path}", timeout=TIMEOUT_S, **options)


def listed(system: System, limit: int) -> list[str]:
    """Return all batches, page after page."""
    told, query = [], {"limit": str(limit)}
    while True:
        page = get(system, "batches", params=query).json()
        told += [batch["batch"] for batch in page["batches"]]
        if page["cursor"] is None:
            return told
        query["cursor"] = page["cursor"]


def test_a_batch_can_be_taken_away_as_a_table_and_as_lines(system: System) -> None:
    batch = upload(system.url, PHOTOGRAPHS, wait=60)["batch"]

    table = get(system, f"batches/{batch}/results.csv")
    lines = get(system, f"batches/{batch}/results.jsonl")

    rows = list(csv.DictReader(io.StringIO(table.content.decode(), newline="")))
    assert {row["name"]: row["label"] for row in rows} == labels()
    told = [json.loads(line) for line in lines.content.splitlines()]
    assert told == state(system.url, batch)["jobs"]


def test_an_image_comes_back_byte_for_byte(system: System) -> None:
    photograph = SAMPLES / "chelsea.jpg"
    job = upload(system.url, [photograph])["jobs"][0]["id"]

    answer = get(system, f"jobs/{job}/image")
    again = get(system, f"jobs/{job}/image", headers={"If-None-Match": answer.headers["ETag"]})

    assert answer.content == photograph.read_bytes()
    assert answer.headers["Content-Type"] == "image/jpeg"
    assert again.status_code == 304


def test_batches_are_listed_newest_first_page_by_page(system: System) -> None:
    batches = [upload(system.url, PHOTOGRAPHS[:1])["batch"] for _ in range(5)]

    assert listed(system, limit=100)[:5] == batches[::-1]
    assert listed(system, limit=2) == listed(system, limit=100)


def test_a_batch_that_is_deleted_stays_deleted(system: System) -> None:
    # given a batch that is deleted while its images wait for a worker or are in its hands
    told = upload(system.url, PHOTOGRAPHS * 5)
    batch = told["batch"]

    deleted = requests.delete(f"{system.url}api/v1/batches/{batch}", timeout=TIMEOUT_S)

    # then nothing of it is told any more, also when all that was queued after it is finished
    assert deleted.status_code == 204
    later = upload(system.url, PHOTOGRAPHS[:1])
    wait_for(lambda: state(system.url, later["batch"])["pending"] == 0, 60)
    for path in (f"batches/{batch}", f"jobs/{told['jobs'][0]['id']}", f"batches/{batch}/events"):
        assert get(system, path).status_code == 410
    assert get(system, f"jobs/{told['jobs'][0]['id']}/image").status_code == 404
    assert batch not in listed(system, limit=100)
    again = requests.delete(f"{system.url}api/v1/batches/{batch}", timeout=TIMEOUT_S)
    assert again.status_code == 204
