"""The JSON objects that the API tells of a client's use, as types (see `objects`)."""

from __future__ import annotations

from typing import Annotated, TypedDict

from imagefleet_web.openapi.schemas import About

_Limit = Annotated[int, About("Images that may be uploaded.", minimum=1, examples=[600])]
_Left = Annotated[int, About("Images that are left of it.", minimum=0, examples=[540])]


class MinuteUse(TypedDict):
    """Images a minute, as the process that answers counts them."""

    limit: _Limit
    left: _Left


class DayUse(TypedDict):
    """Images a day, counted over all processes; those of others are known some seconds later."""

    limit: _Limit
    used: Annotated[int, About("Images that were uploaded today.", minimum=0, examples=[60])]
    left: _Left
    resets_at: Annotated[
        str,
        About(
            "When the day ends, in UTC.", format="date-time", examples=["2026-02-01T00:00:00.000Z"]
        ),
    ]


class UploadsUse(TypedDict):
    """Uploads at once, as the process that answers counts them."""

    limit: Annotated[int, About("Uploads that may run at once.", minimum=1, examples=[4])]
    running: Annotated[int, About("Those that run now.", minimum=0, examples=[0])]


class UsageObject(TypedDict):
    """What a client may use and did; null where there is no limit."""

    client: Annotated[
        str,
        About(
            "Whom uploads count for: the key's name; without keys the address.", examples=["alice"]
        ),
    ]
    images_per_minute: MinuteUse | None
    images_per_day: DayUse | None
    uploads_at_once: UploadsUse | None
