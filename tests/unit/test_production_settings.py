"""compose/production.env.example explains every setting, and shows the true defaults."""

from __future__ import annotations

import re
from dataclasses import fields
from pathlib import Path

import pytest
import yaml

from imagefleet_scaler.settings import ScalerSettings
from imagefleet_web.counting.shared_figures import FILE_BYTES, KINDS
from imagefleet_web.serving import threads
from imagefleet_web.settings import MIB, WebSettings

ROOT = Path(__file__).parents[2]
EXAMPLE = (ROOT / "compose/production.env.example").read_text()
COMPOSE = "".join(file.read_text() for file in sorted((ROOT / "compose").glob("production*.yaml")))
START = (ROOT / "images/proxy/start").read_text()
# Name and value of each line, and whether it only shows the default.
SHOWN = {
    name: (value, bool(commented))
    for commented, name, value in re.findall(r"^(# )?([A-Z0-9_]+)=(.*)$", EXAMPLE, re.MULTILINE)
}
DEFAULTS = {
    **{
        f"IMAGEFLEET_{field.name.upper()}": str(field.default)
        for tier in (WebSettings, ScalerSettings)
        for field in fields(tier)
    },
    **dict(re.findall(r"^number (\w+) (\d+)$", START, re.MULTILINE)),
    **dict(re.findall(r"\$\{(\w+):-([^}]+)\}", START)),
    **dict(re.findall(r"\$\{(\w+):-([^}]+)\}", COMPOSE)),
}
# They have no default to be shown, but an example.
EXAMPLES = {"IMAGEFLEET_CALLBACK_SECRETS_FILE"}
# Where the file itself lies; it can't say so.
ELSEWHERE = {"IMAGEFLEET_ENV_FILE"}


def test_every_variable_of_the_compose_file_is_explained() -> None:
    used = set(re.findall(r"\$\{(\w+)", COMPOSE))

    assert used - ELSEWHERE <= SHOWN.keys()


@pytest.mark.parametrize("name", SHOWN)
def test_a_setting_that_is_explained_exists(name: str) -> None:
    assert name in DEFAULTS or f"${{{name}" in COMPOSE


@pytest.mark.parametrize(
    "name", [name for name, (_, commented) in SHOWN.items() if commented and name not in EXAMPLES]
)
def test_a_line_that_is_commented_out_shows_the_default(name: str) -> None:
    value, _ = SHOWN[name]

    # compare numbers as numbers: 300 and 300.0 are the same
    assert _plain(value) == _plain(DEFAULTS.get(name, ""))


def test_no_secret_is_asked_for() -> None:
    assert not [name for name in SHOWN if name.endswith(("_KEY", "_SECRET", "_TOKEN", "_PASSWORD"))]


def test_no_key_alone_takes_all_there_is() -> None:
    # given the defaults of the other settings, and as many requests that wait as may
    settings = WebSettings()
    for_others = threads.for_askers(settings) - settings.max_waiting

    assert 0 < int(SHOWN["IMAGEFLEET_MAX_UPLOADS_AT_ONCE"][0]) < for_others
    assert int(SHOWN["IMAGEFLEET_MAX_IMAGES_PER_MINUTE"][0]) > 0


def test_the_figures_of_as_many_processes_as_there_may_be_have_room_in_memory() -> None:
    # a disk that is busy with uploads would keep whoever counts waiting
    web = yaml.safe_load((ROOT / "compose/production.yaml").read_text())["services"]["web"]
    (size,) = re.findall(r"^/tmp:size=(\d+)m$", "\n".join(web["tmpfs"]), re.MULTILINE)
    (most,) = (
        field.metadata["rule"].at_most for field in fields(WebSettings) if field.name == "processes"
    )

    assert int(size) * MIB > most * len(KINDS) * FILE_BYTES + 8 * MIB
    assert "TMPDIR" not in web["environment"]
    assert web["environment"]["IMAGEFLEET_SPOOL_DIR"] == "/var/tmp"


@pytest.mark.parametrize("old", ["IMAGEFLEET_PROXY_SPOOL", "IMAGEFLEET_WEB_SPOOL"])
def test_a_size_from_before_uploads_lay_on_disk_is_not_looked_at(old: str) -> None:
    assert not re.search(rf"{old}\b", COMPOSE + EXAMPLE)


def _plain(value: str) -> str:
    return f"{float(value):g}" if re.fullmatch(r"[0-9]+(\.[0-9]+)?", value) else value
