"""For how long an operation on a stack is followed."""

from __future__ import annotations

from collections.abc import Mapping

# Seconds for all of an operation: a web host that doesn't come up is given up after ten minutes,
# and the way back takes as long again.
TIMEOUT_S = 2700.0
# Seconds that infra/fleet.yaml gives a host to come up: PauseTime of WebHosts.
HOST_S = 600
# There and back.
_WAYS = 2


def longest_s(parameters: Mapping[str, object]) -> float:
    """Return the seconds that an operation may take on a stack with these parameters.

    Behind a load balancer web hosts are replaced one after the other, and each that goes is let
    finish what it has begun, for BalancerIdleSeconds at most.
    """
    if not parameters.get("CertificateArn"):
        return TIMEOUT_S
    hosts, idle_s = (
        int(str(parameters.get(name) or 0)) for name in ("WebHostCount", "BalancerIdleSeconds")
    )
    return TIMEOUT_S + _WAYS * hosts * (HOST_S + idle_s)
