"""The page."""

from __future__ import annotations

from flask import Blueprint, render_template

from imagefleet_web import __version__, services

bp = Blueprint("page", __name__)


@bp.get("/")
def index() -> str:
    """Show the page where images are dropped and their labels appear."""
    return render_template("index.html", limits=services.current().limits, version=__version__)
