"""The ways to do the same work, and what each costs a month, line by line in US dollars."""

from __future__ import annotations

from collections.abc import Callable
from math import ceil, exp
from pathlib import Path

from imagefleet_scaler.meter import LEAST_S, billed_s
from imagefleet_scaler.policy import PolicyConfig
from imagefleet_scripts.costs.prices import HOURS, usd
from imagefleet_scripts.costs.work import Month, always_enough, instance_s, running
from imagefleet_scripts.simulate.cloud import PENDING_S, Conditions

Lines = dict[str, float]
MONTH_S = HOURS * 3600

# --- Imagefleet ---
MOST_WORKERS = 20
# From when an instance runs, and so is billed, to its first image; then what it waits for more.
BILLED_BOOT_S = Conditions().boot_s - PENDING_S
IDLE_S = PolicyConfig().scale_in_after_s
# The last worker stays until the newest image was sent so long ago.
LAST_IDLE_S = 60.0
DISK_GB, HOST_DISK_GB = 10, 16
# Six calls an image (send, receive, delete; the reply's too), which a burst makes by tens.
SQS_CALLS, SQS_AT_ONCE = 6, 10
# A worker reports every 5 s, and the scaler receives and deletes that; at rest it polls every 5 s.
SQS_OF_A_WORKER_HOUR = 4 * 720
# At rest, an hour (docs/evaluation.md): 14 calls of 23 in 90 s are SQS's, 9 the lease's writes.
SQS_AT_REST_HOUR, S3_AT_REST_HOUR = 14 * 40 + 31, 9 * 40
# While anything goes on the scaler writes its report every 2 s at most.
REPORTS_HOUR = 1800
# Of a proxy's, a web tier's and a worker's line; of the object that tells a result. Both are rough.
LOG_BYTES, ANSWER_BYTES = 1000, 2000
INPUT_DAYS, MONTH_DAYS = 7, 30
_FLEET = Path(__file__).parents[3] / "infra" / "fleet.yaml"
ALARMS = _FLEET.read_text().count("Type: AWS::CloudWatch::Alarm\n")
ECR_GB = 20 * 0.3

# --- SageMaker Asynchronous Inference ---
# Target tracking takes an instance away after 15 minutes of low figures.
# https://docs.aws.amazon.com/sagemaker/latest/dg/async-inference-autoscale.html
SCALE_IN_S = 900.0
# Fewest instances with which a burst still takes no longer than it takes to start and end them.
BURST_S = 600.0
SAGEMAKER_ALARMS = 3
SAGEMAKER_TYPE = "ml.c5.large"

# --- Lambda ---
# 1769 MB come with one vCPU. https://docs.aws.amazon.com/lambda/latest/dg/configuration-memory.html
LAMBDA_GB = 1769 / 1024
# Its start is billed since August 2025. How long it takes and environments live is assumed.
COLD_S, LAMBDA_KEPT_S, LAMBDA_AT_ONCE = 2.0, 300.0, 1000


def imagefleet(month: Month, worker_usd: float | None = None) -> Lines:
    """Return Imagefleet's costs, with workers on demand unless another price is given."""
    hours = worker_hours(month)
    return _service(month, hours, usd("EC2, c7i.large") if worker_usd is None else worker_usd)


def imagefleet_spot(month: Month) -> Lines:
    """Return Imagefleet's costs with workers on spot instances."""
    return imagefleet(month, usd("EC2, c7i.large") * usd("EC2, spot"))


def always_on(month: Month) -> Lines:
    """Return the costs of the same service with workers that are always there."""
    return _service(month, _enough(month) * HOURS, usd("EC2, c7i.large"))


def sagemaker(month: Month) -> Lines:
    """Return SageMaker's costs: no HTTP front, no page, and no charge for its instances' starts."""
    return {
        "instances": _sagemaker_hours(month) * usd(f"SageMaker, {SAGEMAKER_TYPE}"),
        "S3 requests": month.images * (2 * usd("S3, PUT") + 2 * usd("S3, GET")),
        "S3 storage": _storage(month),
        "alarms": SAGEMAKER_ALARMS * usd("CloudWatch, alarm"),
    }


def lambdas(month: Month) -> Lines:
    """Return the costs of functions that are told of each image in S3: no HTTP front, no page."""
    busy_s = month.images * instance_s(month.megapixels, vcpus=1) + _cold_starts(month) * COLD_S
    return {
        "functions": busy_s * LAMBDA_GB * usd("Lambda, x86"),
        "invocations": month.images * usd("Lambda, request"),
        "S3 requests": month.images * (2 * usd("S3, PUT") + 2 * usd("S3, GET")),
        "S3 storage": _storage(month),
        "logs": month.images * LOG_BYTES / 1e9 * usd("CloudWatch, logs"),
    }


WAYS: dict[str, Callable[[Month], Lines]] = {
    "Imagefleet": imagefleet,
    "Imagefleet, spot": imagefleet_spot,
    "the same, always on": always_on,
    "SageMaker Async": sagemaker,
    "Lambda": lambdas,
}


def worker_hours(month: Month) -> float:
    """Return the hours of workers that are billed."""
    if not month.images:
        return 0.0
    busy_s = instance_s(month.megapixels)
    if month.bursts is None:
        per_s = month.images / MONTH_S
        hold_s = max(LEAST_S, LAST_IDLE_S) + busy_s
        return running(per_s, per_s * busy_s, hold_s) * HOURS
    work_s = month.of_a_burst * busy_s
    workers = min(MOST_WORKERS, ceil(work_s / PolicyConfig().target_s))
    each_s = billed_s(0, BILLED_BOOT_S + work_s / workers + IDLE_S)
    return month.many * workers * each_s / 3600


def _service(month: Month, hours: float, worker_usd: float) -> Lines:
    disk = usd("EBS, gp3") / HOURS
    calls = SQS_CALLS / (1 if month.bursts is None else min(SQS_AT_ONCE, max(1, month.of_a_burst)))
    return {
        "web host": HOURS
        * (usd("EC2, t3.medium") + usd("public IPv4 address") + HOST_DISK_GB * disk),
        "at rest: SQS, the lease": HOURS
        * (SQS_AT_REST_HOUR * usd("SQS") + S3_AT_REST_HOUR * usd("S3, PUT")),
        "alarms": ALARMS * usd("CloudWatch, alarm"),
        "image repositories": ECR_GB * usd("ECR"),
        "workers": hours * (worker_usd + usd("public IPv4 address") + DISK_GB * disk),
        "the fleet's report": min(HOURS, hours) * REPORTS_HOUR * usd("S3, PUT"),
        "S3 requests": month.images * (2 * usd("S3, PUT") + usd("S3, GET")),
        "S3 storage": _storage(month),
        "SQS requests": (month.images * calls + hours * SQS_OF_A_WORKER_HOUR) * usd("SQS"),
        "logs": month.images * LOG_BYTES / 1e9 * usd("CloudWatch, logs"),
        "answers to clients": month.images * ANSWER_BYTES / 1e9 * usd("data out"),
    }


def _storage(month: Month) -> float:
    gigabytes = month.images * month.megabytes / 1000
    return gigabytes * INPUT_DAYS / MONTH_DAYS * usd("S3, storage")


def _enough(month: Month) -> int:
    """Return how many instances are enough that never go."""
    work_s = month.images * instance_s(month.megapixels)
    if month.bursts is None:
        return always_enough(work_s / MONTH_S)
    return max(1, ceil(work_s / month.many / BURST_S))


def _sagemaker_hours(month: Month) -> float:
    if not month.images:
        return 0.0
    busy_s = instance_s(month.megapixels)
    if month.bursts is None:
        per_s = month.images / MONTH_S
        return running(per_s, per_s * busy_s, SCALE_IN_S + busy_s) * HOURS
    work_s = month.of_a_burst * busy_s
    return month.many * (work_s + _enough(month) * SCALE_IN_S) / 3600


def _cold_starts(month: Month) -> float:
    if month.bursts is None:
        return month.images * exp(-month.images / MONTH_S * LAMBDA_KEPT_S)
    return month.many * min(LAMBDA_AT_ONCE, month.of_a_burst) if month.images else 0
