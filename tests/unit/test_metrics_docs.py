"""The dashboard, the table of metrics and the example for Prometheus fit what the tiers tell."""

from __future__ import annotations

import itertools
import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from imagefleet_scaler.providers.container_spec import FLEET_LABEL, WORKER_LABEL
from metric_list import Described, all_metrics
from promql import parse

DOCS = Path(__file__).parents[2] / "docs"
COMPOSE = DOCS.parent / "compose"
WIDTH = 24
# What Prometheus itself puts on every series.
OF_TARGETS = {"job", "instance"}

DASHBOARD: dict[str, Any] = json.loads((DOCS / "grafana/imagefleet.json").read_text())
PANELS: list[dict[str, Any]] = DASHBOARD["panels"]
QUERIES = [
    pytest.param(target["expr"], target["legendFormat"], id=f"{panel['title']} {target['refId']}")
    for panel in PANELS
    for target in panel.get("targets", ())
]


@pytest.fixture(scope="module")
def metrics() -> list[Described]:
    """Every metric of every tier."""
    return all_metrics()


@pytest.fixture(scope="module")
def series(metrics: list[Described]) -> dict[str, set[str]]:
    """The labels of every series, by its name."""
    return {name: labels for metric in metrics for name, labels in metric.series.items()}


@pytest.mark.parametrize(("expression", "legend"), QUERIES)
def test_each_query_of_the_dashboard_asks_for_what_there_is(
    expression: str, legend: str, series: dict[str, set[str]]
) -> None:
    query = parse(expression)

    assert query.names, "a query of nothing"
    assert query.names <= series.keys()
    known = set.intersection(*(series[name] for name in query.names)) | OF_TARGETS
    assert query.labels <= known
    assert set(re.findall(r"\{\{\s*(\w+)\s*\}\}", legend)) <= query.labels


@pytest.mark.parametrize(("expression", "legend"), QUERIES)
def test_counters_are_asked_for_their_growth_and_gauges_as_they_are(
    expression: str, legend: str, metrics: list[Described]
) -> None:
    query = parse(expression)
    growing = {name for each in metrics if each.type != "gauge" for name in each.series}

    assert query.ranges == query.names & growing
    for name in query.ranges:
        assert re.search(
            rf"(rate|increase)\({name}(\{{[^}}]*\}})?\[\$__(rate_interval|range)\]", expression
        )


def test_the_dashboard_shows_every_metric(metrics: list[Described]) -> None:
    shown = {name for query in QUERIES for name in parse(str(query.values[0])).names}

    assert [each.name for each in metrics if not shown & each.series.keys()] == []


def test_the_panels_lie_side_by_side_and_each_is_told_apart() -> None:
    taken: dict[tuple[int, int], str] = {}
    for panel in PANELS:
        at = panel["gridPos"]
        assert at["x"] + at["w"] <= WIDTH
        for cell in itertools.product(
            range(at["x"], at["x"] + at["w"]), range(at["y"], at["y"] + at["h"])
        ):
            assert cell not in taken, f"{panel['title']} lies over {taken.get(cell)}"
            taken[cell] = panel["title"]
    ids, titles = ([panel[name] for panel in PANELS] for name in ("id", "title"))
    assert len(set(ids)) == len(ids)
    assert len(set(titles)) == len(titles)
    rows = [panel["title"] for panel in PANELS if panel["type"] == "row"]
    assert rows == ["Now", "Traffic", "Queue and fleet", "Latency", "Results and errors", "Cost"]


def test_the_dashboard_can_be_imported_anywhere() -> None:
    (variable,) = DASHBOARD["templating"]["list"]
    assert (variable["type"], variable["query"]) == ("datasource", "prometheus")
    assert DASHBOARD["id"] is None
    assert DASHBOARD["schemaVersion"] >= 39
    for source in sources(PANELS):
        assert source == {"type": "prometheus", "uid": "${datasource}"}


def test_the_table_of_metrics_is_complete_and_says_what_they_say(
    metrics: list[Described],
) -> None:
    text = (DOCS / "metrics.md").read_text()

    told = [line for line in text.splitlines() if line.startswith("| `imagefleet_")]

    assert told == [
        f"| `{each.name}` | {each.type} | {', '.join(f'`{label}`' for label in each.labels)} "
        f"| {each.meaning} |"
        for tier in ("web", "worker", "scaler")
        for each in metrics
        if each.name.startswith(f"imagefleet_{tier}_")
    ]
    for block in re.findall(r"```promql\n(.*?)```", text, re.DOTALL):
        for line in block.splitlines():
            if not line.startswith("#"):
                known = {name for each in metrics for name in each.series}
                assert parse(line).names <= known, line


def test_names_follow_the_conventions_of_prometheus(metrics: list[Described]) -> None:
    for each in metrics:
        assert re.fullmatch(r"imagefleet_(web|worker|scaler)_[a-z][a-z_]*[a-z]", each.name)
        assert each.name.endswith("_total") == (each.type == "counter")
        # base units, spelt out
        assert not re.search(r"_(s|ms|milliseconds|minutes|kb|mb|percent)(_|$)", each.name)
        assert each.type != "histogram" or each.name.endswith("_seconds")
        assert each.meaning.endswith(".")
    assert len({each.name for each in metrics}) == len(metrics)


def test_the_example_for_prometheus_finds_what_there_is() -> None:
    jobs = {job["job_name"]: job for job in load(DOCS / "prometheus.yaml")["scrape_configs"]}
    laptop = load(COMPOSE / "laptop.yaml")["services"]
    scaler = laptop["scaler"]["environment"]

    # the web tier with a key, at its own port
    web = jobs["imagefleet-web"]
    assert web["authorization"]["credentials_file"]
    assert web["metrics_path"] == "/metrics"
    assert web["dns_sd_configs"][0]["names"][0] in laptop
    # the scaler and the workers where compose has them
    ((target,),) = (each["targets"] for each in jobs["imagefleet-scaler"]["static_configs"])
    assert target == f"scaler:{scaler['IMAGEFLEET_METRICS_PORT']}"
    docker = jobs["imagefleet-workers-docker"]
    assert docker["docker_sd_configs"][0]["filters"][0]["values"] == [WORKER_LABEL]
    relabelled = {str(each["source_labels"][0]): each for each in docker["relabel_configs"]}
    address = relabelled["__meta_docker_network_ip"]["replacement"]
    assert address == f"$1:{scaler['IMAGEFLEET_WORKER_METRICS_PORT']}"
    for label in (WORKER_LABEL, FLEET_LABEL):
        assert f"__meta_docker_container_label_{label.replace('.', '_')}" in relabelled


def sources(part: object) -> Iterator[object]:
    """Yield every data source that a part of the dashboard names."""
    if isinstance(part, dict):
        for name, value in part.items():
            yield from [value] if name == "datasource" else sources(value)
    elif isinstance(part, list):
        for each in part:
            yield from sources(each)


def load(file: Path) -> Any:
    """Read a YAML file."""
    return yaml.safe_load(file.read_text())
