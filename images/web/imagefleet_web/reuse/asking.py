"""Whether a request wants its images worked on, whatever is known of them."""

from __future__ import annotations

from flask import request


def asked_fresh() -> bool:
    """Return whether the current request has `Cache-Control: no-cache` (RFC 9111, 5.2.1.4)."""
    return "no-cache" in request.cache_control
