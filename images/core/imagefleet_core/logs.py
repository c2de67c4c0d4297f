"""Structured logs: readable on a terminal, one JSON object a line otherwise.

Everything that logs through the standard library (gunicorn, boto3, docker) goes the same way.
Bind `job=` or `batch=` wherever one is at hand, so that an image can be followed through tiers.
"""

from __future__ import annotations

import json
import logging
import re
import sys
from typing import TYPE_CHECKING, Any

import structlog

if TYPE_CHECKING:
    from structlog.typing import Processor

# Chatty below WARNING, and what they have to say is said by our own events.
_QUIET = ("boto3", "botocore", "urllib3", "docker", "PIL")
# What JSON takes as it is, but ends a line for some readers, or steers a terminal.
_ODD = re.compile(r"[\x7f-\x9f\u2028\u2029]")


def configure(tier: str, *, level: str = "INFO", format: str = "auto") -> None:  # noqa: A002
    """Set up logging for this process.

    Args:
        tier: who speaks; stands in every event.
        level: the least severe level that is shown.
        format: `text`, `json`, or `auto`, which is text where stderr is a terminal.
    """
    text = format == "text" or (format == "auto" and sys.stderr.isatty())
    shared: list[Processor] = [
        structlog.contextvars.merge_contextvars,
        structlog.stdlib.add_log_level,
        structlog.processors.TimeStamper(
            fmt="%H:%M:%S" if text else "iso", utc=not text, key="time"
        ),
        # The terminal's renderer has a column for who speaks, and calls it the logger.
        _naming("logger" if text else "tier", tier),
    ]
    structlog.configure(
        processors=[*shared, structlog.stdlib.ProcessorFormatter.wrap_for_formatter],
        wrapper_class=structlog.make_filtering_bound_logger(logging.getLevelName(level)),
        logger_factory=structlog.stdlib.LoggerFactory(),
        cache_logger_on_first_use=True,
    )
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=shared,
            processors=[
                structlog.stdlib.ProcessorFormatter.remove_processors_meta,
                *(_for_people() if text else _for_programs()),
            ],
        )
    )
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(level)
    for name in _QUIET:
        logging.getLogger(name).setLevel(max(logging.WARNING, root.level))


def _naming(key: str, tier: str) -> Processor:
    def add_tier(_logger: Any, _method: str, event: Any) -> Any:
        event[key] = tier
        return event

    return add_tier


def _for_people() -> list[Processor]:
    return [
        structlog.dev.ConsoleRenderer(
            colors=sys.stderr.isatty(),
            timestamp_key="time",
            pad_event_to=32,
            exception_formatter=structlog.dev.plain_traceback,
        )
    ]


def _for_programs() -> list[Processor]:
    return [
        structlog.processors.format_exc_info,
        structlog.processors.EventRenamer("event"),
        structlog.processors.JSONRenderer(_dumps, ensure_ascii=False),
    ]


def _dumps(event: Any, **options: Any) -> str:
    """Write one line that is one line for every reader, and does nothing to a terminal."""
    return _ODD.sub(lambda found: f"\\u{ord(found[0]):04x}", json.dumps(event, **options))
