"""What common instance types cost, for those who name no price.

US dollars an hour, Linux, on demand, in us-east-1, after AWS's published list of early 2025.
https://aws.amazon.com/ec2/pricing/on-demand/ is right where they differ, and other regions cost up
to a third more: IMAGEFLEET_WORKER_USD_PER_HOUR overrules them. Spot instances cost less.
"""

from __future__ import annotations

from collections.abc import Sequence

USD_PER_HOUR = {
    "t3.small": 0.0208,
    "t3.medium": 0.0416,
    "t3.large": 0.0832,
    "t3a.small": 0.0188,
    "t3a.medium": 0.0376,
    "t3a.large": 0.0752,
    "c5.large": 0.085,
    "c5.xlarge": 0.17,
    "c5a.large": 0.077,
    "c5a.xlarge": 0.154,
    "c6a.large": 0.0765,
    "c6a.xlarge": 0.153,
    "c6i.large": 0.085,
    "c6i.xlarge": 0.17,
    "c6i.2xlarge": 0.34,
    "c7a.large": 0.10264,
    "c7a.xlarge": 0.20528,
    "c7i.large": 0.08925,
    "c7i.xlarge": 0.1785,
    "c7i.2xlarge": 0.357,
    "c7i-flex.large": 0.08479,
    "c7i-flex.xlarge": 0.16958,
    "m5.large": 0.096,
    "m5.xlarge": 0.192,
    "m6a.large": 0.0864,
    "m6i.large": 0.096,
    "m6i.xlarge": 0.192,
    "m7a.large": 0.11592,
    "m7i.large": 0.1008,
    "m7i.xlarge": 0.2016,
    "m7i-flex.large": 0.09576,
    "g4dn.xlarge": 0.526,
    "g5.xlarge": 1.006,
    "g6.xlarge": 0.8048,
}


def usual_price(types: Sequence[str]) -> float:
    """Return the default price of the dearest of the types; 0 if one of them is not known."""
    prices = [USD_PER_HOUR.get(each, 0) for each in types]
    return max(prices, default=0) if all(prices) else 0
