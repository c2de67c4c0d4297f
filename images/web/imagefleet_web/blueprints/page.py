"""The page."""

from __future__ import annotations

from pathlib import Path

from flask import Blueprint, render_template

from imagefleet_web import __version__, services
from imagefleet_web.openapi.operation import Answer, described

bp = Blueprint("page", __name__)

_STATIC = Path(__file__).parents[1] / "static"
# Named to the browser at once, as it would find them one after the other.
_MODULES = sorted(path.relative_to(_STATIC).as_posix() for path in _STATIC.rglob("*.js"))


@bp.get("/")
@described(Answer(200, "The page.", {"text/html": str}))
def index() -> str:
    """Show the page where images are dropped and their labels appear."""
    limits = services.current().limits
    return render_template("index.html", limits=limits, modules=_MODULES, version=__version__)
