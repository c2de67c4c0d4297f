"""Launches instances, once each, whatever becomes of a call or of the scaler in between."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterable
from dataclasses import replace
from typing import TYPE_CHECKING
from uuid import uuid4

import structlog

from imagefleet_scaler.providers.base import Instance, ProviderError
from imagefleet_scaler.providers.ec2.calls import Answer, OutcomeUnknown, make
from imagefleet_scaler.providers.ec2.ledger import EXPECTED_S, Ledger
from imagefleet_scaler.providers.ec2.machines import Machine
from imagefleet_scaler.providers.ec2.notes import Notes
from imagefleet_scaler.providers.ec2.orders import Order
from imagefleet_scaler.providers.ec2.pauses import Pauses, is_in_vain
from imagefleet_scaler.providers.ec2.pending import Pending
from imagefleet_scaler.providers.ec2.plans import Attempt, attempts
from imagefleet_scaler.providers.ec2.refusals import Refusal
from imagefleet_scaler.providers.ec2.spec import Ec2Spec
from imagefleet_scaler.providers.ec2.template import Template
from imagefleet_scaler.providers.journal import Conflict, Journal

if TYPE_CHECKING:
    from mypy_boto3_ec2 import EC2Client

# How long what another scaler launched may go undescribed: it may have ended since.
ADOPTED_S = 10.0

log = structlog.get_logger()


class Launching:
    """Makes the calls that launch.

    Args:
        ledger: takes in what was launched.
        journal: is told of each call before it is made, and of its outcome.
        now: Unix seconds.
        clock: seconds that only go forward.
    """

    def __init__(
        self,
        ec2: EC2Client,
        spec: Ec2Spec,
        *,
        template: Template,
        ledger: Ledger,
        journal: Journal,
        now: Callable[[], float],
        clock: Callable[[], float],
    ) -> None:
        self._ec2 = ec2
        self._spec = spec
        self._template = template
        self._ledger = ledger
        self._notes = Notes(journal, now)
        self._now = now
        self._clock = clock
        self._pauses = Pauses(clock)
        self._pending: Pending | None = None

    @property
    def pauses(self) -> bool:
        """Whether EC2 refused lately; raises `ProviderError` if only a person can help."""
        return self._pauses.last

    def expected(self) -> list[Instance]:
        """Return what may have been launched."""
        return self._pending.instances() if self._pending else []

    def recall(self) -> bool:
        """Read the journal; return whether it tells of launches by another scaler.

        Raises:
            ImagefleetError: it can't be read.
        """
        return self._adopt(self._notes.of_others())

    def recall_once(self) -> None:
        """Read the journal, unless it was read before."""
        self._adopt(self._notes.of_the_last_scaler())

    def take_in(self, machines: Iterable[Machine]) -> None:
        """Take in what is there, which may tell what became of a launch."""
        if self._pending:
            self._pending.take_in(machines)
            if self._pending.is_over:
                self._pending = None

    def settle(self) -> None:
        """Repeat a call whose outcome is not known, while it counts."""
        if self._pending and self._pending.is_due and self._pending.counts:
            self._repeat(self._pending)

    def launch(self, count: int, spot: int) -> list[str]:
        """Launch up to `count` instances, `spot` of them as spot instances if there are any.

        Raises:
            ProviderError: only a person can help; for half a minute nobody is asked again.
        """
        if self._pending and not self._pending.counts and self._pending.order.count > count:
            self._pending = None  # nothing came of it, and so many are no longer wanted
        if self._pending:
            # Another turn will tell how many are wanted beside these.
            return self._repeat(self._pending) if self._pending.is_due else []
        try:
            version = self._template.version()
        except ProviderError as error:
            self._pauses.refuse(error)
        return self._launch(count, spot, version)

    def _launch(self, count: int, spot: int, version: int) -> list[str]:
        launched: list[str] = []
        refusals: list[Refusal] = []
        used_up: set[Hashable] = set()
        try:
            for attempt in attempts(self._spec, count, spot):
                if attempt.quota in used_up:
                    continue
                refused = self._ask(attempt, launched, version)
                refusals += refused
                if attempt.quota and any(each.is_quota for each in refused):
                    used_up.add(attempt.quota)
                if is_in_vain(refusals):
                    break
        except OutcomeUnknown:
            return launched
        except Conflict as error:
            log.warning("another scaler acts, so nothing is launched", reason=str(error))
            return launched
        except ProviderError as error:
            if not launched:
                raise
            log.warning("no more workers could be launched", reason=str(error))
            return launched
        self._pauses.conclude(count - len(launched), len(launched), refusals)
        return launched

    def _ask(self, attempt: Attempt, launched: list[str], version: int) -> list[Refusal]:
        """Add to those that are launched until there are as many as wanted; return why not."""
        while (wanted := attempt.upto - len(launched)) > 0:
            answer = self._order(attempt, wanted, version)
            launched += answer.ids
            if answer.refusals or not (answer.ids and attempt.again):
                return answer.refusals
        return []

    def _order(self, attempt: Attempt, count: int, version: int) -> Answer:
        token = uuid4().hex
        request = attempt.request(count, token, version)
        order = Order(attempt.call, request, token, count, self._now())
        self._notes.begin(order)
        try:
            answer = make(self._ec2, order, attempt.where)
        except OutcomeUnknown as error:
            log.warning(
                "nobody knows whether workers were launched; they count, and EC2 is asked again",
                count=count,
                reason=str(error),
            )
            self._pending = Pending(order, 0, self._clock)
            raise
        except ProviderError:
            self._notes.end(replace(order, ids=()))
            raise
        self._take_in(order, answer)
        return answer

    def _repeat(self, pending: Pending) -> list[str]:
        try:
            answer = make(self._ec2, pending.order, again=True)
        except (OutcomeUnknown, ProviderError) as error:
            pending.still_unknown()
            log.info("still nobody knows whether workers were launched", reason=str(error))
            return []
        if answer.untold or not (answer.ids or answer.refusals):
            pending.was_carried_out()
            return []
        self._pending = None
        self._take_in(pending.order, answer)
        missing = pending.order.count - len(answer.ids)
        self._pauses.conclude(missing, len(answer.ids), answer.refusals)
        return answer.ids

    def _take_in(self, order: Order, answer: Answer) -> None:
        now = self._now()
        self._ledger.expect(answer.on_demand, now, within_s=EXPECTED_S)
        self._ledger.expect(answer.spot, now, spot=True, within_s=EXPECTED_S)
        self._notes.end(replace(order, ids=tuple(answer.ids)))

    def _adopt(self, others: Iterable[Order]) -> bool:
        """Take in what another scaler launched, or may have; return whether there is any."""
        found = False
        for order in others:
            found = True
            if order.ids is None:
                self._pending = Pending(order, self._notes.age_s(order), self._clock)
            else:
                self._ledger.expect(order.ids, order.at, within_s=ADOPTED_S)
        return found
