"""The JSON objects that the API tells of the fleet, as types (see `objects`)."""

from __future__ import annotations

from typing import Annotated, Literal, TypedDict

from imagefleet_web.openapi.schemas import About

_TIME = "2026-01-31T12:00:00.000Z"
Moment = Annotated[str, About(format="date-time", examples=[_TIME])]
Count = Annotated[int, About(minimum=0)]


class FleetQueue(TypedDict):
    """What waits and what workers hold, as SQS counts it: on AWS up to a minute behind."""

    visible: Count
    in_flight: Count
    delayed: Count
    oldest_s: Annotated[
        float | None,
        About(
            "Seconds since the oldest image that a worker holds was asked for; null where none "
            "holds any. Older ones may wait.",
            minimum=0,
        ),
    ]


class FleetWorker(TypedDict):
    """One worker."""

    id: str
    phase: Annotated[
        Literal["booting", "idle", "busy", "draining", "lost"], About(examples=["busy"])
    ]
    launched_at: Moment
    in_flight: Annotated[int, About("Images it holds.", minimum=0)]
    done: Annotated[int, About("Results it stored, failed ones included.", minimum=0)]
    failed: Count
    service_s: Annotated[
        float | None, About("Seconds one image keeps it busy; null before the first.", minimum=0)
    ]
    images_per_s: Annotated[
        float | None,
        About("Results a second in the last ten seconds or so; null if unknown.", minimum=0),
    ]


class FleetDecision(TypedDict):
    """What the scaler decided, and why."""

    at: Moment
    desired: Count
    launch: Annotated[int, About("Workers to be launched.", minimum=0)]
    retire: Annotated[int, About("Workers to go.", minimum=0)]
    why: Annotated[
        str, About("A sentence.", examples=["nothing waits, and 0 workers should be there"])
    ]


class FleetCost(TypedDict):
    """What the workers cost, as EC2 bills them; an estimate."""

    hour_usd: Annotated[float, About("An hour of the workers there are now.", minimum=0)]
    total_usd: Annotated[float, About("All workers since then.", minimum=0)]
    since: Moment


class FleetPoint(TypedDict):
    """The fleet at one time."""

    at: Moment
    waiting: Annotated[int, About("Images that no worker has.", minimum=0)]
    in_flight: Annotated[int, About("Images that workers hold.", minimum=0)]
    workers: Count
    ready: Annotated[int, About("Workers that are idle or busy.", minimum=0)]
    desired: Count
    done: Annotated[int, About("Results since the history began.", minimum=0)]


class FleetObject(TypedDict):
    """The fleet, as the scaler wrote it down last."""

    at: Annotated[
        str | None,
        About("When that was; null if it never was.", format="date-time", examples=[_TIME]),
    ]
    live: Annotated[bool, About("Whether the scaler is known to be at work, or to rest.")]
    queue: FleetQueue
    workers: list[FleetWorker]
    desired: Annotated[int, About("Workers there should be.", minimum=0)]
    min_workers: Count
    max_workers: Count
    decisions: Annotated[
        list[FleetDecision], About("Those that changed something, newest first; at most 20.")
    ]
    cost: Annotated[FleetCost | None, About("Null where a worker has no price.")]
    history: Annotated[
        list[FleetPoint],
        About("Oldest first, at most 360; a gap means that nothing changed."),
    ]
