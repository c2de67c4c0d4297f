"""What AWS lists for us-east-1, on demand, without the free tier; where from, and how sure it is.

EC2's own prices are the scaler's (`imagefleet_scaler.providers.ec2.prices`), so there is one list.
"""

from __future__ import annotations

from dataclasses import dataclass

from imagefleet_scaler.providers.ec2.prices import USD_PER_HOUR

HOURS = 730  # of a month, as AWS's own calculator has it


@dataclass(frozen=True, slots=True)
class Price:
    """One listed price.

    Attributes:
        usd: for one unit.
        source: where it was read, and when.
        is_confirmed: whether that was AWS itself, or two others or more who quote AWS.
    """

    usd: float
    unit: str
    source: str
    is_confirmed: bool = True


_EARLY_2025 = "AWS's list of early 2025, not looked up again"
_QUOTED = (
    "https://aws.amazon.com/sagemaker/ai/pricing/, as many public programs quote it, 2024 to 2026"
)

PRICES = {
    "EC2, c7i.large": Price(
        USD_PER_HOUR["c7i.large"],
        "hour",
        "https://aws.amazon.com/ec2/pricing/on-demand/; the Price List API said so in October 2026",
    ),
    "EC2, t3.medium": Price(USD_PER_HOUR["t3.medium"], "hour", _EARLY_2025, is_confirmed=False),
    "EC2, spot": Price(
        0.53,
        "of the price on demand",
        "AWS's example, c5.2xlarge at 0.18 instead of 0.34; it changes by the hour and zone "
        "(https://docs.aws.amazon.com/autoscaling/ec2/userguide/ec2-auto-scaling-mixed-instances-groups-instance-weighting.html)",
        is_confirmed=False,
    ),
    "EBS, gp3": Price(0.08, "GB and month", _EARLY_2025, is_confirmed=False),
    "public IPv4 address": Price(
        0.005, "hour", "https://aws.amazon.com/vpc/pricing/, since February 2024"
    ),
    "S3, PUT": Price(0.000005, "request", "https://aws.amazon.com/s3/pricing/, quoted in 2026"),
    "S3, GET": Price(0.0000004, "request", "https://aws.amazon.com/s3/pricing/, quoted in 2026"),
    "S3, storage": Price(
        0.023, "GB and month", "https://aws.amazon.com/s3/pricing/, quoted in 2026"
    ),
    "SQS": Price(0.0000004, "request", "https://aws.amazon.com/sqs/pricing/, quoted in March 2026"),
    "CloudWatch, logs": Price(
        0.53, "GB", "0.50 to take in and 0.03 to keep for a month, quoted in June 2026"
    ),
    "CloudWatch, alarm": Price(0.10, "month", _EARLY_2025, is_confirmed=False),
    "ECR": Price(0.10, "GB and month", _EARLY_2025, is_confirmed=False),
    "data out": Price(0.09, "GB", "https://aws.amazon.com/s3/pricing/, quoted in 2026"),
    "SageMaker, ml.c5.large": Price(0.102, "hour", _QUOTED),
    "SageMaker, ml.m5.large": Price(0.115, "hour", _QUOTED),
    "SageMaker, ml.c6i.large": Price(0.102, "hour", f"{_QUOTED}: one alone", is_confirmed=False),
    "Lambda, x86": Price(
        0.0000166667,
        "GB and second",
        "https://docs.aws.amazon.com/whitepapers/latest/how-aws-pricing-works/lambda.html",
    ),
    "Lambda, request": Price(
        0.0000002,
        "request",
        "https://docs.aws.amazon.com/whitepapers/latest/how-aws-pricing-works/lambda.html",
    ),
}


def usd(name: str) -> float:
    """Return what one unit of something costs."""
    return PRICES[name].usd
