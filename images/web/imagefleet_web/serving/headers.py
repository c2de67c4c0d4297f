"""Headers that stand on every answer."""

from __future__ import annotations

from flask import Flask, Response, request

SECURITY = {
    # The page shows pictures before they are uploaded (blob:) and has no other outside part.
    "Content-Security-Policy": (
        "default-src 'self'; img-src 'self' blob: data:; object-src 'none'; base-uri 'none'; "
        "form-action 'self'; frame-ancestors 'none'"
    ),
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Permissions-Policy": "camera=(), geolocation=(), microphone=()",
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
}


def install(app: Flask) -> None:
    """Put the headers on every answer of `app`."""
    app.after_request(_add)


def _add(response: Response) -> Response:
    there = {name.lower() for name, _ in response.headers}
    for name, value in SECURITY.items():
        if name.lower() not in there:  # an image has a stricter policy of its own
            response.headers.add(name, value)
    if request.endpoint != "static":  # those have an ETag
        response.headers.setdefault("Cache-Control", "no-store")
    return response
