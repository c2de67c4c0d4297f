"""What a client may use of the service, and what it did."""

from __future__ import annotations

from flask import Blueprint, Response, jsonify

from imagefleet_core.fields import format_time
from imagefleet_web import services, shapes
from imagefleet_web.openapi.operation import JSON, Answer, described
from imagefleet_web.rights import access
from imagefleet_web.rights.usage_objects import DayUse, MinuteUse, UploadsUse, UsageObject
from imagefleet_web.services import Services

bp = Blueprint("usage", __name__, url_prefix=shapes.API)


@bp.get("/usage")
@described(Answer(200, "What is used, and what is left.", {JSON: UsageObject}))
def usage() -> Response:
    """Tell what the client may upload, and what it did."""
    service, client = services.current(), access.client()
    told = UsageObject(
        client=client,
        images_per_minute=_minute(service, client),
        images_per_day=_day(service, client),
        uploads_at_once=_uploads(service, client),
    )
    return jsonify(told)


def _minute(service: Services, client: str) -> MinuteUse | None:
    limit = service.shares.limit(client)
    return MinuteUse(limit=limit.quota, left=limit.left) if limit else None


def _day(service: Services, client: str) -> DayUse | None:
    day = service.quotas.day(client)
    if day is None:
        return None
    resets_at = format_time(day.ends_at)
    return DayUse(limit=day.limit, used=day.used, left=day.left, resets_at=resets_at)


def _uploads(service: Services, client: str) -> UploadsUse | None:
    limit = service.settings.max_uploads_at_once
    return UploadsUse(limit=limit, running=service.shares.running(client)) if limit else None
