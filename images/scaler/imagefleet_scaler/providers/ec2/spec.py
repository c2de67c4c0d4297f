"""What a worker's instance is like, as the settings have it."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class Ec2Spec:
    """What is launched, and how much of it is kept.

    Attributes:
        fleet: the prefix of all names; whose instances these are.
        template: the launch template's name.
        types: instance types, the preferred ones first; the template's own if empty.
        subnets: where they may run, likewise.
        spot_percent: how many of a hundred instances may be interrupted.
        warm_pool: how many instances are kept stopped, to be started again.
        image_id: an AMI in place of the template's; empty for the template's.
        by_run: whether `RunInstances` launches them, and not `CreateFleet`.
    """

    fleet: str
    template: str
    types: tuple[str, ...] = ()
    subnets: tuple[str, ...] = ()
    spot_percent: float = 0
    warm_pool: int = 0
    image_id: str = ""
    by_run: bool = False
