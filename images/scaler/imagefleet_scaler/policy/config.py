"""What the operator wants."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class PolicyConfig:
    """What the operator wants; times in seconds, money in US dollars.

    Attributes:
        target_s: the time in which the backlog should be answered, once workers are up.
        service_s: the time one image keeps a worker busy, until that has been measured.
        boot_s: the time from a launch to a worker at work, until that has been measured.
        slots: images that a worker works on at once.
        scale_in_after_s: for how long fewer must have been needed before any is retired.
        counts_lag_s: for how long the queue's counts may be wrong after the last message was
            sent. SQS: about a minute (https://docs.aws.amazon.com/AWSSimpleQueueService/latest/
            SQSDeveloperGuide/confirm-queue-is-empty.html).
        billed_s: the least that is billed for a worker. EC2: 60
            (https://docs.aws.amazon.com/AWSEC2/latest/UserGuide/ec2-on-demand-instances.html).
        launches_a_minute: 0 for as many as are needed.
        lifetime_s: age at which a worker is replaced, 0 for never.
        worker_usd_per_hour: 0 where no worker costs money.
        max_usd_per_hour: 0 for no cap; `max_usd_per_day` (of UTC) too.
    """

    min_workers: int = 0
    max_workers: int = 20
    target_s: float = 10
    service_s: float = 0.1
    boot_s: float = 1
    slots: int = 1
    scale_in_after_s: float = 15
    counts_lag_s: float = 0
    billed_s: float = 0
    launches_a_minute: int = 0
    lifetime_s: float = 0
    worker_usd_per_hour: float = 0
    max_usd_per_hour: float = 0
    max_usd_per_day: float = 0
