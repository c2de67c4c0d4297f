import json
import logging
from collections.abc import Iterator

import pytest
import structlog

from imagefleet_core import logs


@pytest.fixture(autouse=True)
def _restored() -> Iterator[None]:
    root = logging.getLogger()
    handlers, level = root.handlers[:], root.level
    structlog.contextvars.clear_contextvars()  # whatever was said in another test
    yield
    root.handlers[:], root.level = handlers, level
    structlog.reset_defaults()
    structlog.contextvars.clear_contextvars()


def test_json_logs_carry_tier_job_and_level(capsys: pytest.CaptureFixture[str]) -> None:
    logs.configure("worker", format="json")

    with structlog.contextvars.bound_contextvars(job="b-0001"):
        structlog.get_logger().info("classified", label="tabby")
    logging.getLogger("gunicorn.error").warning("from the standard %s", "library")

    ours, theirs = (json.loads(line) for line in capsys.readouterr().err.splitlines())
    assert ours.pop("time").endswith("Z")
    assert ours == {
        "event": "classified", "label": "tabby", "job": "b-0001", "tier": "worker", "level": "info",
    }  # fmt: skip
    assert theirs["event"] == "from the standard library"
    assert theirs["tier"] == "worker"


def test_text_logs_read_as_a_line(capsys: pytest.CaptureFixture[str]) -> None:
    logs.configure("web", format="text")

    structlog.get_logger().warning("slow", batch="b")

    line = capsys.readouterr().err
    assert line.count("\n") == 1
    assert "slow" in line
    assert "batch=b" in line


def test_an_exception_in_json_is_one_line(capsys: pytest.CaptureFixture[str]) -> None:
    logs.configure("web", format="json")

    try:
        raise ValueError("broken")
    except ValueError:
        structlog.get_logger().exception("failed")

    (line,) = capsys.readouterr().err.splitlines()
    assert "ValueError: broken" in json.loads(line)["exception"]


def test_less_severe_events_and_chatty_libraries_are_left_out(
    capsys: pytest.CaptureFixture[str],
) -> None:
    logs.configure("web", level="INFO", format="json")

    structlog.get_logger().debug("hidden")
    logging.getLogger("botocore.credentials").info("Found credentials")

    assert capsys.readouterr().err == ""


@pytest.mark.parametrize("form", ["json", "text"])
def test_nothing_that_is_logged_ends_a_line_or_steers_a_terminal(
    form: str, capsys: pytest.CaptureFixture[str]
) -> None:
    logs.configure("web", format=form)
    evil = "a\r\nforged\x1b[2J\x7f\x85\x9b31m\u2028\u2029"

    structlog.get_logger().info("refused", name=evil)

    line = capsys.readouterr().err
    assert len(line.splitlines()) == 1
    assert not set(line) & set("\r\x1b\x7f\x85\x9b\u2028\u2029")
    if form == "json":
        assert json.loads(line)["name"] == evil
