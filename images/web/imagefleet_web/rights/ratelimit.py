"""The headers that tell a client its limits: RateLimit-Policy and RateLimit.

https://datatracker.ietf.org/doc/draft-ietf-httpapi-ratelimit-headers/ (version 10). What is counted
are images; the draft registers no such unit, so a client that knows only its own leaves them be.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

UNIT = "images"
PER_MINUTE, PER_DAY = "images-per-minute", "images-per-day"


@dataclass(frozen=True, slots=True)
class Limit:
    """One limit and what is left of it, in images and whole seconds.

    Attributes:
        policy: its name.
        more_in_s: when more may be uploaded than is left; 0 if nothing is used.
    """

    policy: str
    quota: int
    window_s: int
    left: int
    more_in_s: int


def headers(limits: Iterable[Limit]) -> dict[str, str]:
    """Return the headers that tell of some limits, none if there are none."""
    limits = list(limits)
    if not limits:
        return {}
    return {
        "RateLimit-Policy": ", ".join(
            f'"{each.policy}";q={each.quota};qu="{UNIT}";w={each.window_s}' for each in limits
        ),
        "RateLimit": ", ".join(
            f'"{each.policy}";r={each.left};t={each.more_in_s}' for each in limits
        ),
    }
