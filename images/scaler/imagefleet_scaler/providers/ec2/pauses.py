"""When EC2 is left alone after a launch that it refused, and what people are told of it."""

from __future__ import annotations

from collections.abc import Callable, Collection
from typing import NoReturn

import structlog

from imagefleet_scaler.providers.base import ProviderError
from imagefleet_scaler.providers.ec2.backoff import FIRST_S, Backoff
from imagefleet_scaler.providers.ec2.refusals import Kind, Refusal

MOST_REASONS = 3

log = structlog.get_logger()


def is_in_vain(refusals: Collection[Refusal]) -> bool:
    """Whether to ask for nothing else after these: AWS takes no more calls, or no type will do."""
    kinds = {each.kind for each in refusals}
    return Kind.THROTTLED in kinds or kinds == {Kind.LASTING}


class Pauses:
    """Remembers what launches have come to.

    Args:
        clock: seconds that only go forward.
    """

    def __init__(self, clock: Callable[[], float]) -> None:
        self._clock = clock
        self._backoff = Backoff(clock)
        self._refused: tuple[float, ProviderError] | None = None

    @property
    def last(self) -> bool:
        """Whether EC2 refused lately; raises `ProviderError` if only a person can help."""
        if self._refused and self._clock() < self._refused[0]:
            raise self._refused[1]
        return self._backoff.lasts

    def refuse(self, error: ProviderError) -> NoReturn:
        """Raise an error that only a person can mend, for half a minute without asking anybody."""
        self._refused = (self._clock() + FIRST_S, error)
        raise error

    def conclude(self, missing: int, launched: int, refusals: Collection[Refusal]) -> None:
        """Let EC2 be for a while if it did not launch everything, and say why.

        Raises:
            ProviderError: only a person can help.
        """
        if launched:
            self._backoff.reset()
        if missing <= 0:
            if refusals:
                log.info("workers are launched, but not as asked first", reason=_told(refusals))
            return
        if not launched and {each.kind for each in refusals} == {Kind.LASTING}:
            self.refuse(ProviderError(f"launching workers: {_told(refusals)}"))
        log.warning(
            "not all workers could be launched",
            missing=missing,
            reason=_told(refusals) or "EC2 gives no reason",
            next_try_s=self._backoff.begin(),
        )


def _told(refusals: Collection[Refusal]) -> str:
    """Return the sentences of refusals, each once; without lacks of capacity if there are others.

    What a person can mend comes first.
    """
    order = [Kind.LASTING, Kind.THROTTLED, Kind.LIMIT]
    worst = sorted(
        (each for each in refusals if each.kind in order), key=lambda each: order.index(each.kind)
    )
    sentences = dict.fromkeys(str(each) for each in worst or refusals)
    return "; ".join(list(sentences)[:MOST_REASONS])
