"""How many workers the work takes."""

from __future__ import annotations

import math

from imagefleet_scaler.policy.config import PolicyConfig
from imagefleet_scaler.policy.observation import READY, SUPPLY, Observation, Phase

# A fifth of a worker is not worth a launch: the target is met in a fifth more of its time.
TOLERANCE = 0.2
# A boot that takes longer than expected is expected to take this much of its age longer.
OVERDUE = 0.25
MOST_PRESSURE = 4.0
EXPECTED_IMAGES = 5


def needed(observation: Observation, config: PolicyConfig, now: float) -> int:
    """Return how many workers the work takes, whatever is allowed.

    The most of three: enough to answer what waits within a boot and the target from now; enough
    to keep up with what keeps coming; and of those that are there, as many as answer what waits
    within the target.
    """
    load = _load(observation, config)
    if not observation.backlog:
        return math.ceil(_round(load) - TOLERANCE)
    pressed_s = config.target_s / pressure(observation, config)
    supply, missing = observation.count(SUPPLY), _missing(observation, config, now, pressed_s)
    in_time = supply + missing if missing > 0 else 0
    kept = min(supply, _work(observation, config) / pressed_s)
    steady = load + _left(observation, config, now) / max(pressed_s, config.billed_s) if load else 0
    workers = max(kept, steady, in_time)
    # No more than one for each image, but for those that keep coming.
    most = observation.backlog + math.ceil(load)
    return max(1, min(math.ceil(_round(workers) - TOLERANCE), most))


def pressure(observation: Observation, config: PolicyConfig) -> float:
    """Return by how much the target is shortened as the oldest image has waited too long: 1 to 4.

    Too long is longer than a boot and the target take: somewhere an estimate was wrong.
    """
    if observation.oldest_s is None:
        return 1
    promised_s = boot_s(observation, config) + config.target_s
    return min(MOST_PRESSURE, max(1, observation.oldest_s / promised_s))


def hold_s(observation: Observation, config: PolicyConfig) -> float:
    """Return for how long fewer must have been needed before any worker may go.

    While images keep coming, as long as it would take to have it back.
    """
    if not observation.memory.arrivals.per_s:
        return config.scale_in_after_s
    return max(config.scale_in_after_s, boot_s(observation, config))


def service_s(observation: Observation, config: PolicyConfig) -> float:
    """Return the seconds one image keeps a worker busy.

    As measured, once there are some images: what is expected counts as much as a few of them, so
    that the first one, which may be an odd one, doesn't decide alone.
    """
    if observation.service_s is None:
        return config.service_s
    measured_s = observation.measured * observation.service_s
    expected_s = EXPECTED_IMAGES * config.service_s
    return (expected_s + measured_s) / (EXPECTED_IMAGES + observation.measured)


def boot_s(observation: Observation, config: PolicyConfig) -> float:
    """Return the seconds from a launch to a worker at work, measured or expected."""
    return config.boot_s if observation.boot_s is None else observation.boot_s


def _work(observation: Observation, config: PolicyConfig) -> float:
    """Return the backlog in seconds of one worker."""
    return observation.backlog * service_s(observation, config) / config.slots


def _load(observation: Observation, config: PolicyConfig) -> float:
    """Return how many workers what keeps coming keeps busy."""
    return observation.memory.arrivals.per_s * service_s(observation, config) / config.slots


def _missing(observation: Observation, config: PolicyConfig, now: float, target_s: float) -> float:
    """Return how many more would answer what waits within a boot and the target.

    What those who are there, or are booting, do until then is theirs: one that would boot too
    late to help is not missing.
    """
    by = boot_s(observation, config) + target_s
    return (_work(observation, config) - _capacity(observation, config, now, by)) / target_s


def _left(observation: Observation, config: PolicyConfig, now: float) -> float:
    """Return the work that is left when a worker launched now would begin, as more has come."""
    boot = boot_s(observation, config)
    coming = _load(observation, config) * boot
    return max(0.0, _work(observation, config) + coming - _capacity(observation, config, now, boot))


def _capacity(observation: Observation, config: PolicyConfig, now: float, within_s: float) -> float:
    """Return what those who are there and those who boot can do within some seconds."""
    boot = boot_s(observation, config)
    ages = [now - each.launched_at for each in observation.workers if each.phase is Phase.BOOTING]
    booting = sum(max(0.0, within_s - max(boot - age, OVERDUE * age)) for age in ages)
    return observation.count(READY) * within_s + booting


def _round(workers: float) -> float:
    """Return it without what is only a float's error, so that 3.0000000000000004 are three."""
    return round(workers, 6)
