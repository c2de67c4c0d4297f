"""Where there are no keys: no page of another site changes anything through somebody's browser.

With keys none can, as no browser sends one by itself. Without, any page that somebody looks at
could post pictures to a service that only they can reach, such as one on their laptop.
https://developer.mozilla.org/docs/Web/HTTP/Reference/Headers/Sec-Fetch-Site
"""

from __future__ import annotations

from urllib.parse import urlsplit

from flask import Flask, request

from imagefleet_web import problems, services
from imagefleet_web.problems import Problem

# These change nothing here (RFC 9110, section 9.2.1), and browsers let no other site read answers.
SAFE = {"GET", "HEAD", "OPTIONS"}
_OURS = {"same-origin", "none"}


def install(app: Flask) -> None:
    """Refuse such requests to `app`."""
    app.before_request(_check)


def _check() -> None:
    if request.method in SAFE or services.current().keys is not None or not _is_foreign():
        return
    raise Problem(
        problems.CROSS_SITE,
        "A page of another site asked for this. Without API keys only this service's own page and "
        "programs may.",
    )


def _is_foreign() -> bool:
    """Return whether a browser says that a page of another origin makes the request."""
    site = request.headers.get("Sec-Fetch-Site")
    if site is not None:
        return site not in _OURS
    # Browsers say that over TLS and to this machine only; programs mostly say neither.
    origin = request.headers.get("Origin")
    return origin is not None and urlsplit(origin).netloc != request.host
