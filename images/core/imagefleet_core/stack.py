"""A CloudFormation stack, created or updated in one call: on AWS and on the emulators alike.

`python -m imagefleet_core.stack infra/data.yaml` applies a template from the command line.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from botocore.exceptions import BotoCoreError, ClientError

from imagefleet_core.aws import Aws, error_code, explain
from imagefleet_core.errors import ImagefleetError

if TYPE_CHECKING:
    from mypy_boto3_cloudformation import CloudFormationClient
    from mypy_boto3_cloudformation.type_defs import ParameterTypeDef, StackTypeDef

# A template that is sent along; a larger one would have to lie in S3.
# https://docs.aws.amazon.com/AWSCloudFormation/latest/UserGuide/cloudformation-limits.html
MAX_TEMPLATE_BYTES = 51_200
# An emulator is done in a tenth of a second, AWS in a minute.
FIRST_POLL_S, LONGEST_POLL_S = 0.2, 3.0

_DONE = {"CREATE_COMPLETE", "UPDATE_COMPLETE"}
UPDATABLE = _DONE | {"UPDATE_ROLLBACK_COMPLETE", "IMPORT_COMPLETE", "IMPORT_ROLLBACK_COMPLETE"}
# Never finished: such a stack takes no update, and no data was ever put into it.
_UNBORN = {"REVIEW_IN_PROGRESS", "CREATE_FAILED", "ROLLBACK_COMPLETE", "ROLLBACK_FAILED"}
_STARTED = {"CREATE_IN_PROGRESS", "UPDATE_IN_PROGRESS", "DELETE_IN_PROGRESS"}


class StackError(ImagefleetError):
    """The stack is not as its template says; the message names the first thing that failed."""


def apply(
    cloudformation: CloudFormationClient,
    name: str,
    template_body: str,
    parameters: Mapping[str, str],
    *,
    timeout_s: float = 300.0,
    say: Callable[[str], None] = lambda _line: None,
    clock: Callable[[], float] = time.monotonic,
    sleep: Callable[[float], None] = time.sleep,
) -> dict[str, str]:
    """Create or update a stack, wait until it is ready, and return its outputs.

    Applying the same twice changes nothing. An operation that is running is awaited first, and a
    stack whose creation never finished is replaced.

    Args:
        parameters: values by name; one not given takes the template's default, also on an update.
        timeout_s: seconds for all of it.
        say: told one line a step.

    Raises:
        StackError: with the first resource that failed and its reason, or what else went wrong.
    """
    if len(template_body.encode()) > MAX_TEMPLATE_BYTES:
        raise StackError(f"{name}: the template is larger than {MAX_TEMPLATE_BYTES:,} bytes")
    stack = _Stack(cloudformation, name, clock() + timeout_s, clock, sleep)
    try:
        found = stack.settled(name)
        if found and found["StackStatus"] in _UNBORN:
            say(f"{name}: {found['StackStatus']}, never finished; removing it")
            stack.remove(found)
            found = None
        if found is None:
            say(f"{name}: creating")
            found = stack.create(template_body, parameters)
        else:
            say(f"{name}: updating")
            found = stack.update(found, template_body, parameters)
    except (BotoCoreError, ClientError) as error:
        raise StackError(f"{name}: {_one_line(explain(error))}") from error
    say(f"{name}: ready")
    return {each["OutputKey"]: each["OutputValue"] for each in found.get("Outputs", ())}


def describe(cloudformation: CloudFormationClient, name_or_id: str) -> StackTypeDef | None:
    """Return a stack as it stands, or None if there is no such stack."""
    try:
        return cloudformation.describe_stacks(StackName=name_or_id)["Stacks"][0]
    except ClientError as error:
        if error_code(error) == "ValidationError" and "does not exist" in str(error):
            return None
        raise


class _Stack:
    """One stack by its name, and the time there is to get it ready."""

    def __init__(
        self,
        cloudformation: CloudFormationClient,
        name: str,
        deadline: float,
        clock: Callable[[], float],
        sleep: Callable[[float], None],
    ) -> None:
        self._api = cloudformation
        self._name = name
        self._deadline = deadline
        self._clock = clock
        self._sleep = sleep

    def settled(self, name_or_id: str) -> StackTypeDef | None:
        """Return the stack once nothing runs on it, or None if there is no such stack."""
        pause = FIRST_POLL_S
        while (found := describe(self._api, name_or_id)) and _is_running(found["StackStatus"]):
            if self._clock() >= self._deadline:
                raise StackError(
                    f"{self._name}: still {found['StackStatus']} when the time was over; "
                    "CloudFormation goes on with it, so try again later or allow more time"
                )
            self._sleep(pause)
            pause = min(pause * 1.5, LONGEST_POLL_S)
        return found

    def create(self, template_body: str, parameters: Mapping[str, str]) -> StackTypeDef:
        """Create the stack and return it."""
        answer = self._api.create_stack(
            StackName=self._name, TemplateBody=template_body, Parameters=_as_list(parameters)
        )
        return self._finished(answer["StackId"])

    def update(
        self, found: StackTypeDef, template_body: str, parameters: Mapping[str, str]
    ) -> StackTypeDef:
        """Update the stack if anything differs, and return it."""
        if found["StackStatus"] not in UPDATABLE:
            raise StackError(
                f"{self._name}: is {found['StackStatus']}, which takes no update; "
                "repair or delete the stack in CloudFormation first"
            )
        try:
            self._api.update_stack(
                StackName=self._name, TemplateBody=template_body, Parameters=_as_list(parameters)
            )
        except ClientError as error:
            if "No updates are to be performed" in str(error):
                return found
            raise
        return self._finished(found["StackId"])

    def remove(self, found: StackTypeDef) -> None:
        """Delete the stack and return once it is gone."""
        self._api.delete_stack(StackName=found["StackId"])
        left = self.settled(found["StackId"])
        if left and left["StackStatus"] != "DELETE_COMPLETE":
            raise self._failure(left)

    def _finished(self, stack_id: str) -> StackTypeDef:
        found = self.settled(stack_id)
        if found is None:
            raise StackError(f"{self._name}: somebody deleted the stack meanwhile")
        if found["StackStatus"] not in _DONE:
            raise self._failure(found)
        return found

    def _failure(self, found: StackTypeDef) -> StackError:
        """Return the error that tells why the last operation failed."""
        resource, reason = self._first_failure(found["StackId"]) or (
            "the stack",
            found.get("StackStatusReason", "no reason was given"),
        )
        return StackError(f"{self._name}: {found['StackStatus']}: {resource}: {_one_line(reason)}")

    def _first_failure(self, stack_id: str) -> tuple[str, str] | None:
        """Return the resource that failed first in the last operation, and why."""
        first = None
        pages = self._api.get_paginator("describe_stack_events").paginate(StackName=stack_id)
        for event in (event for page in pages for event in page["StackEvents"]):  # newest first
            of_stack = event["LogicalResourceId"] == self._name
            status = event.get("ResourceStatus", "")
            if of_stack and status in _STARTED:
                break
            if status.endswith("_FAILED"):
                reason = event.get("ResourceStatusReason", "no reason was given")
                first = self._invalid(stack_id) if of_stack else None
                first = first or (event["LogicalResourceId"], reason)
        return first

    def _invalid(self, stack_id: str) -> tuple[str, str] | None:
        """Return what CloudFormation found wrong before it began, which has events of its own.

        https://docs.aws.amazon.com/AWSCloudFormation/latest/APIReference/API_OperationEvent.html
        """
        try:
            answer = self._api.describe_events(StackName=stack_id, Filters={"FailedEvents": True})
        except ClientError:  # an emulator without it, or a role that may not ask
            return None
        for event in answer["OperationEvents"]:
            if event.get("EventType") == "VALIDATION_ERROR":
                return event["LogicalResourceId"], event["ValidationStatusReason"]
        return None


def _is_running(status: str) -> bool:
    return status.endswith("_IN_PROGRESS") and status != "REVIEW_IN_PROGRESS"


def _as_list(parameters: Mapping[str, str]) -> list[ParameterTypeDef]:
    return [{"ParameterKey": key, "ParameterValue": value} for key, value in parameters.items()]


def _one_line(text: str) -> str:
    return " ".join(text.split())


def main(arguments: list[str] | None = None) -> None:
    """Apply a template: exit 0 when the stack is ready, 1 with one line when it is not."""
    parser = _parser()
    options = parser.parse_args(arguments)
    try:
        template_body = options.template.read_text(encoding="utf-8")
    except (OSError, UnicodeError) as error:
        parser.exit(1, f"error: the template cannot be read: {error}\n")
    try:
        apply(
            Aws().cloudformation(),
            options.name,
            template_body,
            dict(options.parameter),
            timeout_s=options.timeout,
            say=partial(print, flush=True),
        )
    except BotoCoreError as error:
        parser.exit(1, f"error: {explain(error)}\n")
    except (ImagefleetError, ValueError) as error:  # boto3 refuses a malformed endpoint so
        parser.exit(1, f"error: {error}\n")
    except KeyboardInterrupt:
        parser.exit(130, "interrupted; CloudFormation goes on with what it began\n")


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="imagefleet-stack",
        description="Create or update a CloudFormation stack and wait until it is ready.",
        epilog="Where it goes is up to AWS_ENDPOINT_URL, AWS_DEFAULT_REGION and the credentials.",
    )
    parser.add_argument("template", type=Path, help="the template's file, as infra/data.yaml")
    parser.add_argument("--name", default="imagefleet-data", help="default %(default)s")
    parser.add_argument(
        "--parameter",
        type=_key_and_value,
        action="append",
        default=[],
        metavar="KEY=VALUE",
        help="a parameter of the template; give it once for each",
    )
    parser.add_argument(
        "--timeout",
        type=float,
        default=300.0,
        metavar="SECONDS",
        help="give up after so long, default %(default)g",
    )
    return parser


def _key_and_value(text: str) -> tuple[str, str]:
    key, equals, value = text.partition("=")
    if not (key and equals):
        raise argparse.ArgumentTypeError(f"{text!r}: expected KEY=VALUE, as Prefix=imagefleet")
    return key, value


if __name__ == "__main__":
    main()
