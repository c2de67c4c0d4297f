"""CloudFormation stacks, changed by change sets, with their events told as they come."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping
from itertools import takewhile
from typing import TYPE_CHECKING

from botocore.exceptions import ClientError

from imagefleet_core.aws import error_code
from imagefleet_core.stack import UPDATABLE, StackError, describe
from imagefleet_scripts.deploy.changes import Change, ChangeSet, known_parameters, propose, values
from imagefleet_scripts.deploy.patience import TIMEOUT_S, longest_s

if TYPE_CHECKING:
    from mypy_boto3_cloudformation import CloudFormationClient
    from mypy_boto3_cloudformation.type_defs import StackEventTypeDef, StackTypeDef

# An emulator is done at once, AWS takes seconds to minutes.
FIRST_POLL_S, LONGEST_POLL_S = 0.1, 4.0
_GOOD = {"CREATE_COMPLETE", "UPDATE_COMPLETE", "DELETE_COMPLETE"}
# Its creation was taken back; such a stack takes no update, and nothing is in it.
_UNBORN = {"CREATE_FAILED", "ROLLBACK_COMPLETE", "ROLLBACK_FAILED"}
# What helps a stack that is stuck.
_REPAIR = {
    "UPDATE_ROLLBACK_FAILED": "go on with `aws cloudformation continue-update-rollback` once the "
    "reason that its events tell is gone",
    "DELETE_FAILED": "its events tell what can't be deleted; then do ./scripts/destroy again",
}
# A name alone: of a plan, or of what is gone.
_NO_STACK = {"REVIEW_IN_PROGRESS", "DELETE_COMPLETE"}


class Stack:
    """One stack by its name.

    Args:
        say: told one line an event.
    """

    def __init__(
        self,
        cloudformation: CloudFormationClient,
        name: str,
        *,
        say: Callable[[str], None],
        clock: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        self.name = name
        self._api = cloudformation
        self._say = say
        self._clock = clock
        self._sleep = sleep
        self._last = ""
        self._patience_s = TIMEOUT_S

    def describe(self) -> StackTypeDef | None:
        """Return what there is, or None; a stack that was only ever planned is none."""
        found = describe(self._api, self.name)
        return None if found and found["StackStatus"] in _NO_STACK else found

    def outputs(self) -> dict[str, str]:
        """Return the stack's outputs; none where there is no stack."""
        found = self.describe()
        outputs = found.get("Outputs", ()) if found else ()
        return {each["OutputKey"]: each["OutputValue"] for each in outputs}

    def parameters(self) -> dict[str, str]:
        """Return the values that the stack has now; none where there is no stack."""
        return values(self.describe())

    def plan(self, body: str, given: Mapping[str, str]) -> list[Change]:
        """Return what would change, and change nothing."""
        before = self.settled()
        if before and before["StackStatus"] in _UNBORN:
            raise StackError(f"{self.name}: {before['StackStatus']}; deploying removes it")
        proposed = self._propose(body, given, before)
        self._api.delete_change_set(ChangeSetName=proposed.id)
        if before is None:  # what is left of it is a stack without anything in it
            self._api.delete_stack(StackName=self.name)
        return proposed.changes

    def apply(self, body: str, given: Mapping[str, str]) -> list[Change]:
        """Make the stack what its template says, and return what was changed.

        Parameters that aren't given keep the values that they have. An operation that is running
        is awaited first, and a stack whose creation failed is made anew.

        Raises:
            StackError: with the first resource that failed and its reason.
        """
        before = self.settled()
        if before and before["StackStatus"] in _UNBORN:
            self._say(f"{self.name}: was never finished; removing it")
            self.delete()
            before = None
        proposed = self._propose(body, given, before)
        if not proposed.changes:
            self._api.delete_change_set(ChangeSetName=proposed.id)
            if before is None:
                self._api.delete_stack(StackName=self.name)
            self._say(f"{self.name}: nothing to change")
            return []
        self._say(f"{self.name}: {len(proposed.changes)} changes")
        had = {**known_parameters(body), **values(before)}
        self._patience_s = max(longest_s(had), longest_s({**had, **given}))
        stack_id = self._begin()
        self._api.execute_change_set(ChangeSetName=proposed.id)
        self._follow(stack_id)
        return proposed.changes

    def delete(self) -> bool:
        """Remove the stack and wait until it is gone; return whether there was one."""
        if self.settled() is None:
            return False
        stack_id = self._begin()
        self._api.delete_stack(StackName=stack_id)
        self._follow(stack_id)
        return True

    def resource(self, logical_id: str) -> str:
        """Return a resource's physical id, or an empty string where there is none."""
        try:
            answer = self._api.describe_stack_resources(
                StackName=self.name, LogicalResourceId=logical_id
            )
        except ClientError as error:
            if error_code(error) == "ValidationError":
                return ""
            raise
        return next((each.get("PhysicalResourceId", "") for each in answer["StackResources"]), "")

    def settled(self, *, deleting: bool = False) -> StackTypeDef | None:
        """Return the stack once nothing runs on it, or None if there is no such stack.

        Args:
            deleting: whether a stack that is being deleted counts as settled.
        """
        seen: list[StackTypeDef | None] = []

        said: list[str] = []

        def still() -> tuple[bool, str]:
            seen[:] = [self.describe()]
            self._patience_s = longest_s(values(seen[0]))
            status = seen[0]["StackStatus"] if seen[0] else ""
            if deleting and status == "DELETE_IN_PROGRESS":
                return True, status
            if status.endswith("_IN_PROGRESS") and status not in said:
                said.append(status)
                self._say(f"{self.name}: {status}, begun by somebody else; waiting for its end")
            return not status.endswith("_IN_PROGRESS"), status

        self._wait(still)
        return seen[0]

    def _propose(
        self, body: str, given: Mapping[str, str], before: StackTypeDef | None
    ) -> ChangeSet:
        if before and before["StackStatus"] not in UPDATABLE:
            raise StackError(
                f"{self.name}: is {before['StackStatus']}, which takes no update; "
                + _REPAIR.get(before["StackStatus"], "delete the stack in CloudFormation first")
            )
        return propose(self._api, self.name, body, given, before, self._wait)

    def _begin(self) -> str:
        """Take note of the newest event, after which an operation's own come; return the id."""
        newest = next(self._events(self.name), None)
        self._last = newest["EventId"] if newest else ""
        found = describe(self._api, self.name)
        return found["StackId"] if found else self.name

    def _follow(self, stack_id: str) -> None:
        """Tell each event of an operation until it is over; raises `StackError` if it failed."""
        failed: list[str] = []
        own: list[StackEventTypeDef] = []  # of the stack itself; its last one ends the operation

        def over() -> tuple[bool, str]:
            found = describe(self._api, stack_id)
            for event in self._new_events(stack_id):
                if event.get("PhysicalResourceId") == stack_id:
                    own.append(event)
                failed.extend(self._tell(event))
            if found is None or found["StackStatus"] == "DELETE_COMPLETE":
                return True, "DELETE_COMPLETE"
            now = own[-1].get("ResourceStatus", "") if own else "waiting"
            return bool(own) and not now.endswith("_IN_PROGRESS"), now

        status = self._wait(over)
        if status not in _GOOD:
            said = own[-1].get("ResourceStatusReason", "no reason was given")
            raise StackError(f"{self.name}: {status}: {failed[0] if failed else said}")

    def _tell(self, event: StackEventTypeDef) -> list[str]:
        """Tell one event, and return the failure that it is, if it is one of its own."""
        status, resource = event.get("ResourceStatus", ""), event["LogicalResourceId"]
        reason = " ".join(event.get("ResourceStatusReason", "").split())
        bad = status.endswith("_FAILED")
        why = f": {reason}" if bad and reason else ""
        self._say(f"  {event['Timestamp']:%H:%M:%S} {status:<20} {resource}{why}")
        return [f"{resource}{why}"] if bad and "cancelled" not in reason else []

    def _wait(self, over: Callable[[], tuple[bool, str]]) -> str:
        """Look ever more rarely until it is over; return what was seen last."""
        pause, begun = FIRST_POLL_S, self._clock()
        while True:
            ended, status = over()
            if ended:
                return status
            if self._clock() >= begun + self._patience_s:
                raise StackError(
                    f"{self.name}: still {status} after {self._patience_s / 60:.0f} minutes; "
                    "CloudFormation goes on with it, so try again later"
                )
            self._sleep(pause)
            pause = min(pause * 1.5, LONGEST_POLL_S)

    def _new_events(self, stack_id: str) -> list[StackEventTypeDef]:
        """Return the events since the last ones that were told, oldest first."""
        new = list(takewhile(lambda event: event["EventId"] != self._last, self._events(stack_id)))
        if new:
            self._last = new[0]["EventId"]
        return new[::-1]

    def _events(self, name_or_id: str) -> Iterator[StackEventTypeDef]:
        """Yield the stack's events, newest first."""
        try:
            pages = self._api.get_paginator("describe_stack_events").paginate(StackName=name_or_id)
            for page in pages:
                yield from page["StackEvents"]
        except ClientError as error:
            if error_code(error) != "ValidationError":  # it is gone
                raise
