"""Why, in a sentence for the person who reads the log."""

from __future__ import annotations

from imagefleet_scaler.policy.bounds import Limit
from imagefleet_scaler.policy.config import PolicyConfig
from imagefleet_scaler.policy.need import boot_s, needed, pressure, service_s
from imagefleet_scaler.policy.observation import SUPPLY, Observation


def more(
    observation: Observation,
    config: PolicyConfig,
    now: float,
    wanted: int,
    without: int,
    capped: str,
) -> str:
    """Say why more are needed; `without` is how many of the need must do without a launch."""
    supply = observation.count(SUPPLY)
    if wanted > needed(observation, config, now):
        reason = f"at least {count(config.min_workers, 'worker')} should be there"
    elif observation.backlog:
        boot = boot_s(observation, config)
        reason = (
            f"answering {count(observation.backlog, 'image')} within {config.target_s:g} s"
            f"{f' of a boot of {boot:.0f} s' if boot >= 1 else ''}, at "
            f"{service_s(observation, config):.3g} s an image, takes {count(wanted, 'worker')}"
        )
        if pressure(observation, config) > 1:
            reason += f", as one has waited for {observation.oldest_s:.0f} s"
    else:
        rate = observation.memory.arrivals.per_s
        reason = f"{rate:.3g} images a second keep coming, which takes {count(wanted, 'worker')}"
    reason += f"; {supply} {'is' if supply == 1 else 'are'} there"
    if capped:
        return f"{reason}, and {capped}"
    if without:
        leaving = len(observation.workers) - supply
        return f"{reason}, and {leaving} draining or lost must go before there is room for more"
    return reason


def fewer(
    observation: Observation,
    config: PolicyConfig,
    need: int,
    idle: tuple[str, ...],
    replaced: tuple[str, ...],
    capped: str,
) -> str:
    """Say why the fleet shrinks or stays."""
    supply = observation.count(SUPPLY)
    if replaced:
        return (
            f"{count(len(replaced), 'worker')} reached the end of life and {_is(replaced)} replaced"
        )
    if supply == need:
        same = _same(observation, need)
        return f"{same}; {capped}" if capped else same
    reason = f"{count(supply, 'worker')} for a need of {need}"
    if idle:
        return f"{reason}, and no more for {config.scale_in_after_s:g} s: idle ones may go"
    if not observation.backlog and supply == 1 and need == 0:
        return f"{reason}: the last one goes once nothing waits for sure"
    return f"{reason}: idle ones may go once it has held and their paid time is over"


def spent(limit: Limit, leaving: tuple[str, ...]) -> str:
    """Say that the day's money is spent."""
    who = count(len(leaving), "worker")
    return f"{limit.reason}: {who} must go, and none comes before midnight UTC"


def count(number: int, what: str) -> str:
    """Return `1 image`, `2 images`."""
    return f"{number} {what}" if number == 1 else f"{number} {what}s"


def _same(observation: Observation, need: int) -> str:
    if not observation.backlog:
        return f"nothing waits, and {count(need, 'worker')} should be there"
    verb = "waits" if observation.backlog == 1 else "wait"
    return f"{count(observation.backlog, 'image')} {verb} for as many workers as are there, {need}"


def _is(many: tuple[str, ...]) -> str:
    return "is" if len(many) == 1 else "are"
