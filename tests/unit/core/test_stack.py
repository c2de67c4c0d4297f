from __future__ import annotations

import socket
from collections.abc import Iterator, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

import pytest
from botocore.exceptions import ClientError

from imagefleet_core import stack
from imagefleet_core.aws import Aws
from imagefleet_core.stack import StackError, apply

if TYPE_CHECKING:
    from mypy_boto3_cloudformation import CloudFormationClient

TEMPLATE = """
Parameters:
  Seconds: {Type: Number, Default: 60}
Resources:
  Queue:
    Type: AWS::SQS::Queue
    Properties: {QueueName: requests, VisibilityTimeout: !Ref Seconds}
Outputs:
  Name: {Value: !GetAtt Queue.QueueName}
"""


class Clock:
    """A clock that only sleeping moves on."""

    def __init__(self) -> None:
        self.now = 1000.0
        self.pauses: list[float] = []

    def time(self) -> float:
        return self.now

    def sleep(self, seconds: float) -> None:
        self.pauses.append(seconds)
        self.now += seconds


class FakeCloudFormation:
    """One stack that passes through given statuses, one a look; the last one stays.

    Args:
        status: the stack's when it is found, or None for no stack.
        then: what follows on it by itself.
        on: the statuses that each operation leads through; None is a stack that is gone.
        events: the stack's events as (resource, status, reason), newest first, one a page.
        validation: what it says of a template it would not even begin with, None if it can't.
        unchanged: whether an update finds that nothing differs.
    """

    def __init__(
        self,
        status: str | None = None,
        *,
        then: Sequence[str | None] = (),
        on: Mapping[str, Sequence[str | None]] | None = None,
        events: Sequence[tuple[str, str, str]] = (),
        validation: Sequence[tuple[str, str]] | None = None,
        unchanged: bool = False,
    ) -> None:
        self.coming = [status, *then]
        self.done: list[str] = []
        self.applied: dict[str, str] = {}
        self._on = on or {}
        self._events = events
        self._validation = validation
        self._unchanged = unchanged

    @property
    def client(self) -> CloudFormationClient:
        return cast("CloudFormationClient", self)

    @property
    def status(self) -> str | None:
        return self.coming[0]

    def describe_stacks(self, StackName: str) -> dict[str, Any]:  # noqa: N803
        status = self.status
        if len(self.coming) > 1:
            self.coming.pop(0)
        if status is None:
            raise refusal("DescribeStacks", f"Stack with id {StackName} does not exist")
        outputs = [{"OutputKey": key, "OutputValue": value} for key, value in self.applied.items()]
        return {"Stacks": [{"StackId": "id", "StackStatus": status, "Outputs": outputs}]}

    def create_stack(self, **request: Any) -> dict[str, str]:
        if self.status is not None:
            raise refusal("CreateStack", "Stack [data] already exists")
        return self._begin("create", request)

    def update_stack(self, **request: Any) -> dict[str, str]:
        if self._unchanged:
            raise refusal("UpdateStack", "No updates are to be performed.")
        return self._begin("update", request)

    def delete_stack(self, **request: Any) -> dict[str, str]:
        return self._begin("delete", request)

    def get_paginator(self, operation: str) -> FakeCloudFormation:
        assert operation == "describe_stack_events"
        return self

    def paginate(self, StackName: str) -> Iterator[dict[str, Any]]:  # noqa: N803
        for resource, status, reason in self._events:
            event = {
                "LogicalResourceId": resource,
                "ResourceStatus": status,
                "ResourceStatusReason": reason,
            }
            yield {"StackEvents": [event]}

    def describe_events(self, **request: Any) -> dict[str, Any]:
        if self._validation is None:
            raise refusal("DescribeEvents", "not emulated", code="InternalFailure")
        events = [
            {
                "EventType": "VALIDATION_ERROR",
                "LogicalResourceId": resource,
                "ValidationStatusReason": reason,
            }
            for resource, reason in self._validation
        ]
        return {"OperationEvents": [{"EventType": "STACK_EVENT"}, *events]}

    def _begin(self, operation: str, request: dict[str, Any]) -> dict[str, str]:
        self.done.append(operation)
        self.coming = list(self._on[operation])
        self.applied |= {
            each["ParameterKey"]: each["ParameterValue"] for each in request.get("Parameters", ())
        }
        return {"StackId": "id"}


def refusal(operation: str, message: str, code: str = "ValidationError") -> ClientError:
    return ClientError({"Error": {"Code": code, "Message": message}}, operation)


CREATES = {"create": ["CREATE_IN_PROGRESS", "CREATE_COMPLETE"]}
UPDATES = {
    "update": ["UPDATE_IN_PROGRESS", "UPDATE_COMPLETE_CLEANUP_IN_PROGRESS", "UPDATE_COMPLETE"]
}


def apply_to(fake: FakeCloudFormation, clock: Clock | None = None, **more: Any) -> dict[str, str]:
    clock = clock or Clock()
    return apply(
        fake.client, "data", "{}", {"Key": "value"}, clock=clock.time, sleep=clock.sleep, **more
    )


def test_a_new_stack_is_created_and_its_outputs_are_returned(aws: Aws) -> None:
    outputs = apply(aws.cloudformation(), "data", TEMPLATE, {"Seconds": "61"})

    assert outputs == {"Name": "requests"}
    assert visibility(aws) == "61"


def test_applying_again_changes_what_differs(aws: Aws) -> None:
    apply(aws.cloudformation(), "data", TEMPLATE, {})

    apply(aws.cloudformation(), "data", TEMPLATE, {"Seconds": "61"})

    assert visibility(aws) == "61"


def visibility(aws: Aws) -> str:
    sqs = aws.sqs(1)
    url = sqs.get_queue_url(QueueName="requests")["QueueUrl"]
    answer = sqs.get_queue_attributes(QueueUrl=url, AttributeNames=["VisibilityTimeout"])
    return answer["Attributes"]["VisibilityTimeout"]


def test_a_stack_that_has_nothing_to_change_is_ready() -> None:
    fake = FakeCloudFormation("UPDATE_COMPLETE", unchanged=True)

    apply_to(fake)

    assert fake.status == "UPDATE_COMPLETE"
    assert fake.done == []


def test_a_stack_whose_last_update_was_rolled_back_is_updated() -> None:
    fake = FakeCloudFormation("UPDATE_ROLLBACK_COMPLETE", on=UPDATES)

    assert apply_to(fake) == {"Key": "value"}
    assert fake.status == "UPDATE_COMPLETE"


@pytest.mark.parametrize(
    "status", ["REVIEW_IN_PROGRESS", "CREATE_FAILED", "ROLLBACK_COMPLETE", "ROLLBACK_FAILED"]
)
@pytest.mark.parametrize(
    "removal",
    [["DELETE_IN_PROGRESS", "DELETE_COMPLETE", None], ["DELETE_IN_PROGRESS", None]],
    ids=["seen to be gone", "gone at once"],
)
def test_a_stack_that_was_never_finished_is_replaced(
    status: str, removal: list[str | None]
) -> None:
    fake = FakeCloudFormation(status, on={"delete": removal, **CREATES})
    lines: list[str] = []

    assert apply_to(fake, say=lines.append) == {"Key": "value"}

    assert fake.done == ["delete", "create"]
    assert lines == [
        f"data: {status}, never finished; removing it",
        "data: creating",
        "data: ready",
    ]


def test_an_unfinished_stack_that_cannot_be_removed_is_an_error() -> None:
    fake = FakeCloudFormation(
        "ROLLBACK_FAILED",
        on={"delete": ["DELETE_IN_PROGRESS", "DELETE_FAILED"]},
        events=[
            ("data", "DELETE_FAILED", "The following resource(s) failed to delete: [Bucket]."),
            ("Bucket", "DELETE_FAILED", "The bucket you tried to delete is not empty"),
            ("data", "DELETE_IN_PROGRESS", "User Initiated"),
        ],
    )

    with pytest.raises(StackError, match="Bucket: The bucket you tried to delete is not empty"):
        apply_to(fake)


@pytest.mark.parametrize(
    ("running", "outcome", "then"),
    [
        ("CREATE_IN_PROGRESS", "CREATE_COMPLETE", "update"),
        ("UPDATE_ROLLBACK_COMPLETE_CLEANUP_IN_PROGRESS", "UPDATE_ROLLBACK_COMPLETE", "update"),
        ("DELETE_IN_PROGRESS", None, "create"),
    ],
)
def test_an_operation_that_runs_already_is_awaited_first(
    running: str, outcome: str | None, then: str
) -> None:
    fake = FakeCloudFormation(running, then=[running, running, outcome], on=CREATES | UPDATES)
    clock = Clock()

    apply_to(fake, clock)

    assert fake.done == [then]
    assert clock.pauses[:3] == pytest.approx([0.2, 0.3, 0.45])


def test_a_stack_that_takes_too_long_is_given_up() -> None:
    fake = FakeCloudFormation(on={"create": ["CREATE_IN_PROGRESS"]})
    clock = Clock()

    with pytest.raises(StackError, match="data: still CREATE_IN_PROGRESS"):
        apply_to(fake, clock, timeout_s=60)

    assert 60 <= clock.now - 1000 <= 63
    assert clock.pauses[0] == 0.2
    assert max(clock.pauses) == 3


def test_a_failed_creation_names_the_first_resource_that_failed() -> None:
    # given a creation that failed after an earlier, unrelated failure of the same stack's
    fake = FakeCloudFormation(
        on={"create": ["CREATE_IN_PROGRESS", "ROLLBACK_IN_PROGRESS", "ROLLBACK_COMPLETE"]},
        events=[
            ("data", "ROLLBACK_COMPLETE", ""),
            ("data", "ROLLBACK_IN_PROGRESS", "The following resource(s) failed to create"),
            ("OtherQueue", "CREATE_FAILED", "Resource creation cancelled"),
            ("Bucket", "CREATE_FAILED", "imagefleet-input already\n exists"),
            ("Bucket", "CREATE_IN_PROGRESS", ""),
            ("data", "CREATE_IN_PROGRESS", "User Initiated"),
            ("Elsewhere", "CREATE_FAILED", "long ago"),
        ],
    )

    # when it is applied, then the error is one line with resource and reason
    with pytest.raises(StackError) as raised:
        apply_to(fake)
    assert str(raised.value) == "data: ROLLBACK_COMPLETE: Bucket: imagefleet-input already exists"


def test_a_failed_update_names_the_first_resource_that_failed() -> None:
    fake = FakeCloudFormation(
        "CREATE_COMPLETE",
        on={"update": ["UPDATE_IN_PROGRESS", "UPDATE_ROLLBACK_COMPLETE"]},
        events=[
            ("data", "UPDATE_ROLLBACK_COMPLETE", ""),
            ("Queue", "UPDATE_FAILED", "Value must be between 0 and 43200."),
            ("data", "UPDATE_IN_PROGRESS", "User Initiated"),
            ("data", "CREATE_COMPLETE", ""),
        ],
    )

    with pytest.raises(StackError, match=r"UPDATE_ROLLBACK_COMPLETE: Queue: Value must be between"):
        apply_to(fake)


INVALID: dict[str, Any] = {
    "on": {"create": ["ROLLBACK_COMPLETE"]},
    "events": [
        ("data", "ROLLBACK_COMPLETE", ""),
        ("data", "CREATE_FAILED", "Validation failed with 2 error(s). Call DescribeEvents"),
        ("data", "CREATE_IN_PROGRESS", "User Initiated"),
    ],
}


def test_a_resource_refused_before_the_start_is_named_too() -> None:
    fake = FakeCloudFormation(
        validation=[("Input", "imagefleet-input already exists."), ("Results", "as well")],
        **INVALID,
    )

    with pytest.raises(StackError, match=r"Input: imagefleet-input already exists\."):
        apply_to(fake)


@pytest.mark.parametrize("validation", [None, []], ids=["not supported", "nothing to say"])
def test_without_details_the_stacks_own_reason_is_given(
    validation: list[tuple[str, str]] | None,
) -> None:
    with pytest.raises(StackError, match=r"data: Validation failed with 2 error"):
        apply_to(FakeCloudFormation(validation=validation, **INVALID))


def test_a_failure_without_events_still_tells_the_status() -> None:
    fake = FakeCloudFormation(on={"create": ["CREATE_FAILED"]})

    with pytest.raises(StackError, match="data: CREATE_FAILED: the stack: no reason was given"):
        apply_to(fake)


def test_a_stack_that_somebody_deletes_meanwhile_is_an_error() -> None:
    fake = FakeCloudFormation("CREATE_COMPLETE", on={"update": ["UPDATE_IN_PROGRESS", None]})

    with pytest.raises(StackError, match="somebody deleted the stack meanwhile"):
        apply_to(fake)


@pytest.mark.parametrize("status", ["UPDATE_ROLLBACK_FAILED", "DELETE_FAILED"])
def test_a_stack_that_needs_repair_is_left_alone(status: str) -> None:
    fake = FakeCloudFormation(status)

    with pytest.raises(StackError, match=f"is {status}, which takes no update; repair or delete"):
        apply_to(fake)

    assert fake.done == []


def test_a_template_too_large_to_send_is_refused_with_the_limit() -> None:
    clock = Clock()

    with pytest.raises(StackError, match="larger than 51,200 bytes"):
        apply(FakeCloudFormation().client, "data", "é" * 25_601, {}, clock=clock.time)


@pytest.fixture
def template(tmp_path: Path) -> Path:
    file = tmp_path / "template.yaml"
    file.write_text(TEMPLATE)
    return file


@pytest.fixture
def nowhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """An environment that leads to no AWS at all."""
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_PROFILE", "AWS_ENDPOINT_URL"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", str(tmp_path / "none"))
    monkeypatch.setenv("AWS_CONFIG_FILE", str(tmp_path / "none"))
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    monkeypatch.setenv("AWS_DEFAULT_REGION", "eu-central-1")
    monkeypatch.setattr(stack, "Aws", partial(Aws, attempts=1))


@pytest.fixture
def credentials(nowhere: None, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "test")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "test")


def failure(capsys: pytest.CaptureFixture[str], *arguments: object) -> str:
    """Run the command, see it fail with status 1 and one line, and return the line."""
    with pytest.raises(SystemExit) as left:
        stack.main([str(argument) for argument in arguments])
    said = capsys.readouterr().err
    assert left.value.code == 1
    assert said.startswith("error: ")
    assert said.count("\n") == 1
    return said


def test_the_command_applies_a_template_and_tells_each_step(
    credentials: None, aws: Aws, template: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    stack.main([str(template), "--name", "data", "--parameter", "Seconds=61"])

    assert capsys.readouterr().out.splitlines() == ["data: creating", "data: ready"]
    assert visibility(aws) == "61"


def test_the_command_says_which_file_it_cannot_read(
    credentials: None, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert "missing.yaml" in failure(capsys, tmp_path / "missing.yaml")


def test_the_command_says_that_nothing_answers(
    credentials: None,
    template: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    with socket.socket() as taken:  # bound and not listening: whoever connects is refused
        taken.bind(("127.0.0.1", 0))
        endpoint = f"http://127.0.0.1:{taken.getsockname()[1]}"
        monkeypatch.setenv("AWS_ENDPOINT_URL", endpoint)

        assert f"nothing answers at {endpoint}" in failure(capsys, template)


def test_the_command_says_that_an_endpoint_is_no_url(
    credentials: None,
    template: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setenv("AWS_ENDPOINT_URL", "localhost:4566")

    assert "localhost:4566" in failure(capsys, template)


def test_the_command_says_that_credentials_are_missing(
    nowhere: None, template: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert "no AWS credentials" in failure(capsys, template)


def test_the_command_says_that_a_profile_is_not_there(
    credentials: None,
    template: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setenv("AWS_PROFILE", "somebody")

    assert "somebody" in failure(capsys, template)


def test_the_command_shows_how_a_parameter_is_written(
    template: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit):
        stack.main([str(template), "--parameter", "Seconds"])

    assert "'Seconds': expected KEY=VALUE" in capsys.readouterr().err
