"""How long a request waits for results, within what the server can bear."""

from __future__ import annotations

import math
from dataclasses import dataclass

from flask import request
from werkzeug.http import parse_dict_header

from imagefleet_web import problems
from imagefleet_web.problems import Problem
from imagefleet_web.services import Services
from imagefleet_web.serving.presence import client_gone
from imagefleet_web.telling.results import Standing

# Seats come free all the time, as results do.
NO_SEAT_RETRY_S = 1


@dataclass(frozen=True, slots=True)
class Wait:
    """For how long to wait.

    Attributes:
        seconds: 0 for not at all.
        preferred: whether that is a preference (RFC 7240), to be confirmed if it is honoured.
    """

    seconds: float
    preferred: bool = False


def asked_wait(at_most_s: float, default_s: float = 0) -> Wait:
    """Return what `?wait=S` or else `Prefer: wait=S` asks for; longer ones are cut.

    Raises:
        Problem: the query's value is no number of seconds. A preference like that is ignored, as
            RFC 7240, section 2, demands.
    """
    if "wait" in request.args:
        seconds = _seconds(request.args["wait"])
        if seconds is None:
            raise Problem(
                problems.BAD_WAIT,
                f"wait={request.args['wait'][:80]} is no time; give seconds, such as wait=10.",
            )
        return Wait(min(seconds, at_most_s))
    preferences = parse_dict_header(",".join(request.headers.getlist("Prefer")))
    seconds = _seconds(preferences.get("wait") or "")
    if seconds is None:
        return Wait(min(default_s, at_most_s))
    return Wait(min(seconds, at_most_s), preferred=True)


def wait_for(standing: Standing, wait: Wait, services: Services) -> dict[str, str]:
    """Add results to `standing` as they arrive; return headers that tell what was honoured.

    Returns at once when too many wait already, with a time after which to ask again: a client that
    did so at once would only make it worse. Returns soon after the client is gone.
    """
    if wait.seconds and standing.pending:
        with services.seats.held() as seated:
            if not seated:
                return {"Retry-After": str(NO_SEAT_RETRY_S)}
            services.results.wait(standing, wait.seconds, client_gone())
    return {"Preference-Applied": f"wait={wait.seconds:g}"} if wait.preferred else {}


def _seconds(text: str) -> float | None:
    try:
        seconds = float(text)
    except ValueError:
        return None
    return seconds if math.isfinite(seconds) and seconds >= 0 else None
