"""docs/operations.md tells of every alarm; the docs name settings, tests and places that exist."""

from __future__ import annotations

import re
from dataclasses import fields
from pathlib import Path

import pytest

from imagefleet_scaler.settings import ScalerSettings
from imagefleet_web.settings import WebSettings
from imagefleet_worker.settings import WorkerSettings

ROOT = Path(__file__).parents[2]
TEXT = (ROOT / "docs/operations.md").read_text()
DOCS = [ROOT / "README.md", ROOT / "SECURITY.md", *sorted((ROOT / "docs").glob("*.md"))]
PAGES = [*DOCS, *(ROOT / name for name in ("CHANGELOG.md", "CONTRIBUTING.md", "samples/README.md"))]
TIERS = (WebSettings, ScalerSettings, WorkerSettings)
DEFAULTS = {
    f"IMAGEFLEET_{field.name.upper()}": field.default for tier in TIERS for field in fields(tier)
}
# Of compose and its containers, of the machines, of scripts and tests: each stands in one of these.
ELSEWHERE = "".join(
    path.read_text(errors="ignore")
    for folder in ("compose", "images/proxy", "images/ami", "images/machines", "scripts", "tests")
    for path in sorted((ROOT / folder).rglob("*"))
    if path.is_file() and path.suffix in {".yaml", ".example", ".env", ".template", ".py", ""}
)


def rows(heading: str) -> list[list[str]]:
    """Return the cells of each row of the table with a heading."""
    table = TEXT.partition(f"\n| {heading} |")[2].partition("\n\n")[0]
    return [line.strip("| ").split(" | ") for line in table.splitlines()[2:]]


def test_every_alarm_of_the_template_has_a_row_and_every_row_an_alarm() -> None:
    template = (ROOT / "infra/fleet.yaml").read_text()
    alarms = re.findall(r'AlarmName: !Sub "\$\{Prefix\}(-[a-z-]+)"', template)

    told = re.findall(r"`<prefix>(-[a-z-]+)`", "".join(name for name, *_ in rows("alarm")))

    assert template.count("Type: AWS::CloudWatch::Alarm") == len(alarms)
    assert sorted(told) == sorted(alarms)
    assert all(means and do for _, means, do in rows("alarm"))


@pytest.mark.parametrize("path", DOCS, ids=lambda path: path.name)
def test_every_setting_that_is_named_exists(path: Path) -> None:
    named = set(re.findall(r"IMAGEFLEET_[A-Z0-9_]*[A-Z0-9]", path.read_text()))

    assert [name for name in sorted(named - DEFAULTS.keys()) if name not in ELSEWHERE] == []


@pytest.mark.parametrize(("name", "default"), [(row[0], row[1]) for row in rows("knob")])
def test_a_knob_is_told_with_its_default(name: str, default: str) -> None:
    assert float(default) == DEFAULTS[name.strip("`")]


def test_what_is_said_to_be_tried_is() -> None:
    tests = "".join(path.read_text() for path in (ROOT / "tests").rglob("test_*.py"))
    lost = rows("what is lost")

    assert len(lost) > 15
    for what, _, _, tried in lost:
        names = re.findall(r"`(test_\w+)`", tried)
        assert names or "not tried" in tried, what
        assert [name for name in names if f"def {name}(" not in tests] == [], what


@pytest.mark.parametrize("path", PAGES, ids=lambda path: str(path.relative_to(ROOT)))
def test_every_link_leads_somewhere(path: Path) -> None:
    for target in re.findall(r"\]\(([^)\s]+)\)", path.read_text()):
        if "://" in target:
            continue
        file, _, anchor = target.partition("#")
        there = (path.parent / file).resolve() if file else path
        assert there.exists(), target
        if anchor and there.suffix == ".md":
            assert anchor in anchors(there), target


def anchors(path: Path) -> set[str]:
    """Return what GitHub makes of a file's headings."""
    headings = re.findall(r"^#+ (.+)$", path.read_text(), re.MULTILINE)
    return {
        re.sub(r"[^\w\- ]", "", re.sub(r"\]\([^)]*\)", "", heading)).lower().replace(" ", "-")
        for heading in headings
    }
