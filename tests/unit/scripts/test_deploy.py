"""The commands that deploy: what they refuse, with which status, and how they follow a stack."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import nullcontext
from datetime import UTC, datetime, timedelta
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import boto3
import pytest
from botocore.client import BaseClient
from botocore.exceptions import ClientError, UnauthorizedSSOTokenError
from botocore.stub import Stubber
from moto import mock_aws

import cloudformation
from clock import Clock
from imagefleet_core.errors import ImagefleetError
from imagefleet_core.stack import StackError
from imagefleet_scripts.bake_ami import __main__ as bake_ami
from imagefleet_scripts.bake_ami import images, waiting
from imagefleet_scripts.bake_ami.machine import BAKE_TAG
from imagefleet_scripts.deploy import __main__ as deploy
from imagefleet_scripts.deploy import (
    destroy,
    machines,
    patience,
    push,
    release,
    status,
    template,
)
from imagefleet_scripts.deploy.account import open_account
from imagefleet_scripts.deploy.cli import Wrong
from imagefleet_scripts.deploy.settings import parsed, read_settings, require_hosts_own
from imagefleet_scripts.deploy.stacks import Stack

ACCOUNT = "123456789012"  # moto's
COMMANDS = [deploy.main, push.main, status.main, destroy.main, bake_ami.main]
NAMES = ["deploy", "push-images", "status", "destroy", "bake-ami"]


@pytest.fixture
def nowhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """An environment without an account."""
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_PROFILE", "AWS_ENDPOINT_URL"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", str(tmp_path / "none"))
    monkeypatch.setenv("AWS_CONFIG_FILE", str(tmp_path / "none"))
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    monkeypatch.setenv("AWS_DEFAULT_REGION", "eu-central-1")


@pytest.fixture
def account(nowhere: None, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """An account with nothing in it."""
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "test")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "test")
    with mock_aws():
        yield


def failure(
    capsys: pytest.CaptureFixture[str], command: Callable[..., int], *arguments: str
) -> tuple[int, str]:
    """Run a command, see that it failed with one line, and return its status and the line."""
    left = command(list(arguments))
    said = capsys.readouterr().err
    assert said.count("\n") == 1, said
    assert said.startswith("scripts/")
    return left, said


# --- whose account it is --------------------------------------------------------------------------


@pytest.mark.parametrize("command", COMMANDS, ids=NAMES)
def test_without_credentials_each_command_says_so(
    nowhere: None, command: Callable[..., int], capsys: pytest.CaptureFixture[str]
) -> None:
    left, said = failure(capsys, command)

    assert left == 3
    assert "no AWS credentials" in said


def test_without_a_region_it_is_asked_for(
    account: None, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.delenv("AWS_DEFAULT_REGION")

    left, said = failure(capsys, deploy.main)

    assert left == 3
    assert "--region" in said


@pytest.mark.parametrize("command", COMMANDS, ids=NAMES)
def test_credentials_of_another_account_change_nothing(
    account: None, command: Callable[..., int], capsys: pytest.CaptureFixture[str]
) -> None:
    left, said = failure(capsys, command, "--account", "999999999999")

    assert left == 3
    assert f"of account {ACCOUNT}, and not of 999999999999" in said
    assert boto3.client("cloudformation").list_stacks()["StackSummaries"] == []


def test_credentials_that_aws_does_not_know_are_of_no_account(
    account: None, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    refuse(monkeypatch, "GetCallerIdentity", "InvalidClientTokenId", "The token is invalid.")

    assert failure(capsys, deploy.main)[0] == 3


def refuse(monkeypatch: pytest.MonkeyPatch, refused: str, code: str, message: str = "No.") -> None:
    """Have AWS refuse an operation."""
    error = ClientError({"Error": {"Code": code, "Message": message}}, refused)
    answer_with(monkeypatch, refused, error)


def answer_with(
    monkeypatch: pytest.MonkeyPatch,
    answered: str,
    error: BaseException,
    when: Callable[[dict[str, Any]], bool] = lambda _asked: True,
) -> None:
    """Have an operation end with an error, where what it asks for is such."""
    api_call = BaseClient._make_api_call  # type: ignore[attr-defined]

    def call(self: Any, operation: str, asked: dict[str, Any]) -> Any:
        if operation == answered and when(asked):
            raise error
        return api_call(self, operation, asked)

    monkeypatch.setattr(BaseClient, "_make_api_call", call)


@pytest.mark.parametrize(
    ("operation", "code"),
    [
        ("DescribeStacks", "AccessDenied"),
        ("CreateChangeSet", "AccessDeniedException"),
        ("GetParametersByPath", "UnauthorizedOperation"),
    ],
)
def test_a_call_that_is_not_permitted_is_named(
    operation: str,
    code: str,
    account: None,
    secrets: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    message = "Not you. Encoded authorization failure message: " + "x" * 500
    refuse(monkeypatch, operation, code, message)

    left, said = failure(capsys, deploy.main, "--secrets", str(secrets))

    assert left == 4
    assert f"do not permit {operation}: Not you." in said
    assert "xxx" not in said


def test_what_cloudformation_may_not_do_in_our_name_is_told_with_its_action(
    account: None, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    reason = "WorkerRole: User: someone is not authorized to perform: iam:CreateRole"

    def refused(_stack: Stack, _body: str, _given: object) -> None:
        raise StackError(f"imagefleet-fleet: ROLLBACK_COMPLETE: {reason}")

    monkeypatch.setattr(Stack, "apply", refused)

    left, said = failure(capsys, deploy.main)

    assert left == 4
    assert "iam:CreateRole" in said


@pytest.mark.parametrize("code", ["ExpiredToken", "ExpiredTokenException", "RequestExpired"])
def test_credentials_that_expire_in_the_middle_are_said_to(
    code: str,
    account: None,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    refuse(monkeypatch, "DescribeStacks", code)

    left, said = failure(capsys, deploy.main)

    assert left == 3
    assert "expired: log in again" in said


def test_a_login_that_is_over_is_said_to_be(
    nowhere: None, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def over(_self: object, _operation: str, _asked: object) -> None:
        raise UnauthorizedSSOTokenError

    monkeypatch.setattr(BaseClient, "_make_api_call", over)

    left, said = failure(capsys, deploy.main)

    assert left == 3
    assert "SSO session" in said


# --- what is asked for ----------------------------------------------------------------------------


@pytest.fixture
def secrets(tmp_path: Path) -> Path:
    folder = tmp_path / "secrets"
    folder.mkdir()
    for name in ("keys.txt", "fullchain.pem", "privkey.pem"):
        (folder / name).write_text(f"what {name} holds\n")
    return folder


def test_a_parameter_that_no_template_has_is_refused_with_those_there_are(
    account: None, capsys: pytest.CaptureFixture[str]
) -> None:
    left, said = failure(capsys, deploy.main, "--parameter", "WebInstanceTipe=t3.large")

    assert left == 2
    assert "WebInstanceTipe" in said
    assert "WebInstanceType" in said


def test_a_prefix_that_no_bucket_may_have_is_refused(
    account: None, capsys: pytest.CaptureFixture[str]
) -> None:
    left, said = failure(capsys, deploy.main, "--prefix", "Pictures_of_mine")

    assert left == 2
    assert "IMAGEFLEET_PREFIX" in said


def test_a_version_without_images_is_refused_before_anything_changes(
    account: None, capsys: pytest.CaptureFixture[str]
) -> None:
    left, said = failure(capsys, deploy.main, "--image", "1.2.3")

    assert left == 2
    assert "no image 1.2.3 of web, scaler, worker, proxy" in said
    assert boto3.client("cloudformation").list_stacks()["StackSummaries"] == []


def test_images_can_not_be_pushed_before_there_are_repositories(
    account: None, capsys: pytest.CaptureFixture[str]
) -> None:
    left, said = failure(capsys, push.main, "--tag", "1")

    assert left == 2
    assert "run ./scripts/deploy first" in said


def test_nothing_is_destroyed_if_nobody_can_be_asked(
    account: None, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("sys.stdin", SimpleNamespace(isatty=lambda: False))

    left, said = failure(capsys, destroy.main)

    assert left == 2
    assert "--yes" in said


def test_nothing_is_destroyed_if_the_name_is_typed_wrong(
    account: None, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    boto3.client("ssm").put_parameter(Name="/imagefleet/web/keys.txt", Value="a", Type="String")
    monkeypatch.setattr("sys.stdin", SimpleNamespace(isatty=lambda: True))
    monkeypatch.setattr("builtins.input", lambda _prompt: "yes")

    assert failure(capsys, destroy.main)[0] == 2

    assert boto3.client("ssm").get_parameter(Name="/imagefleet/web/keys.txt")


# As infra/data.yaml does, whose queues moto does not make.
KEEPS_BUCKETS = """
Parameters: {BucketSuffix: {Type: String}}
Resources: {Queue: {Type: AWS::SQS::Queue}}
"""


@pytest.mark.parametrize("at", ["DeleteObjects", "DeleteBucket", "DeleteStack"])
def test_destroying_goes_on_where_it_was_interrupted_whatever_the_buckets_are_called(
    at: str, account: None, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    # given data in buckets whose names only their stack knows
    made = boto3.client("cloudformation")
    made.create_stack(
        StackName="imagefleet-data",
        TemplateBody=KEEPS_BUCKETS,
        Parameters=[{"ParameterKey": "BucketSuffix", "ParameterValue": "-acme"}],
    )
    s3 = boto3.client("s3")
    for bucket in ("imagefleet-input-acme", "imagefleet-results-acme"):
        s3.create_bucket(
            Bucket=bucket, CreateBucketConfiguration={"LocationConstraint": "eu-central-1"}
        )
        s3.put_object(Bucket=bucket, Key="a/1", Body=b"...")

    # when it is interrupted there, and done again
    with monkeypatch.context() as interrupted:
        answer_with(interrupted, at, KeyboardInterrupt())
        assert destroy.main(["--yes"]) == 130
    assert destroy.main(["--yes"]) == 0

    # then nothing is left
    assert s3.list_buckets()["Buckets"] == []
    assert made.describe_stacks()["Stacks"] == []
    assert "no imagefleet-data" not in capsys.readouterr().out


def test_whoever_destroys_without_a_stack_hears_which_buckets_were_looked_for(
    account: None, capsys: pytest.CaptureFixture[str]
) -> None:
    assert destroy.main(["--yes"]) == 0

    said = capsys.readouterr().out
    assert (
        f"no imagefleet-data: only buckets that end in -{ACCOUNT}-eu-central-1 were looked for"
        in said
    )


def test_destroying_waits_for_a_deployment_that_goes_on_before_it_ends_anything(
    account: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    # given a deployment whose command was broken off, and with which CloudFormation goes on
    launch(1, machines.HOST_TAG)
    launch(1)
    fake = FakeCloudFormation("UPDATE_IN_PROGRESS")
    meanwhile, describe = [], fake.describe_stacks

    def describe_stacks(**asked: Any) -> Any:
        if fake.status == "UPDATE_IN_PROGRESS":
            meanwhile.append(states())
            if len(meanwhile) == 3:
                fake.status = "UPDATE_COMPLETE"
        return describe(**asked)

    fake.describe_stacks = describe_stacks  # type: ignore[method-assign]

    assert destroy_fleet_of(fake, monkeypatch) == 0

    # then nothing is ended before that is over, and all is in the end
    assert meanwhile == [["running", "running"]] * 3
    assert states() == ["terminated", "terminated"]
    assert fake.done == ["delete"]


@pytest.mark.parametrize(
    ("said", "passes"),
    [
        ("AutoScalingGroup name not found - null", True),
        ("The AutoScaling group may not be modified while it is pending delete.", True),
        ("User is not authorized to perform this", False),
    ],
)
def test_a_group_that_is_gone_or_going_is_empty_enough(said: str, passes: bool) -> None:
    client = boto3.client("autoscaling", region_name="eu-central-1")
    answers = Stubber(client)
    answers.add_client_error("update_auto_scaling_group", "ValidationError", said)
    answers.activate()
    account: Any = SimpleNamespace(client=lambda _service: client)

    with nullcontext() if passes else pytest.raises(ClientError, match="not authorized"):
        destroy._empty_group(account, "hosts")

    answers.assert_no_pending_responses()


def test_destroying_ends_machines_while_cloudformation_deletes_what_they_hold(
    account: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    # given a deletion by somebody else, that waits for the subnets which a worker is in
    launch(1)
    fake = FakeCloudFormation("DELETE_IN_PROGRESS")
    describe = fake.describe_stacks

    def describe_stacks(**asked: Any) -> Any:
        if fake.status == "DELETE_IN_PROGRESS" and states() == ["terminated"]:
            fake.status = None
        return describe(**asked)

    fake.describe_stacks = describe_stacks  # type: ignore[method-assign]

    assert destroy_fleet_of(fake, monkeypatch) == 0

    assert states() == ["terminated"]


def destroy_fleet_of(fake: FakeCloudFormation, monkeypatch: pytest.MonkeyPatch) -> int:
    """Destroy a system whose fleet is a stack of the fake's; return the command's status."""

    def stack(api: Any, name: str, *, say: Callable[[str], None]) -> Stack:
        return stack_of(fake) if name == "imagefleet-fleet" else Stack(api, name, say=say)

    monkeypatch.setattr(destroy, "Stack", stack)
    monkeypatch.setattr(machines, "POLL_S", 0)
    return destroy.main(["--yes"])


def states() -> list[str]:
    found = boto3.client("ec2").describe_instances()["Reservations"]
    return [each["State"]["Name"] for group in found for each in group["Instances"]]


def test_nobody_is_told_that_all_is_gone_while_a_snapshot_is_left_that_costs(
    account: None, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    # given a snapshot of a baked image that EC2 counts as in use for longer than is waited
    ec2 = boto3.client("ec2")
    volume = ec2.create_volume(AvailabilityZone="eu-central-1a", Size=8)["VolumeId"]
    snapshot = ec2.create_snapshot(VolumeId=volume)["SnapshotId"]
    ec2.create_tags(Resources=[snapshot], Tags=[{"Key": BAKE_TAG, "Value": "imagefleet"}])
    monkeypatch.setattr(images, "RELEASED_WITHIN_S", 0)
    monkeypatch.setattr(waiting, "LAG_S", 0)
    with monkeypatch.context() as in_use:
        refuse(in_use, "DeleteSnapshot", "InvalidSnapshot.InUse")

        left = destroy.main(["--yes"])

    # then it is named, and given again it goes
    said = capsys.readouterr()
    assert left == 1
    assert f"machine images or snapshots are left, and cost: {snapshot}" in said.err
    assert "is gone" not in said.out
    assert destroy.main(["--yes"]) == 0
    assert "imagefleet is gone\n" in capsys.readouterr().out


def test_volumes_that_are_left_are_named_where_all_else_is_gone(
    account: None, capsys: pytest.CaptureFixture[str]
) -> None:
    ec2 = boto3.client("ec2")
    volume = ec2.create_volume(AvailabilityZone="eu-central-1a", Size=8)["VolumeId"]
    ec2.create_tags(Resources=[volume], Tags=[{"Key": "imagefleet:system", "Value": "imagefleet"}])

    assert destroy.main(["--yes"]) == 0

    told = f"imagefleet is gone, but for volumes, which go within minutes or by hand: {volume}\n"
    assert capsys.readouterr().out.endswith(told)


@pytest.mark.parametrize("command", COMMANDS, ids=NAMES)
def test_help_tells_the_exit_statuses(
    command: Callable[..., int], capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as left:
        command(["--help"])

    assert left.value.code == 0
    assert "exit status:" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("# a comment\n\nIMAGEFLEET_TARGET_S=5\n", "IMAGEFLEET_TARGET_S=5"),
        ("A=1\nIMAGEFLEET_B=2 3\n", "A=1|IMAGEFLEET_B=2 3"),
        ("A=1\nA=2\n", "A=2"),
        ("IMAGEFLEET_TAG=old\nIMAGEFLEET_INPUT_BUCKET_NAME=other\nA=1\n", "A=1"),
        ("# nothing\n", ""),
        ("A= 1 \nB=a#b\n", "A=1|B=a#b"),
    ],
    ids=["a comment", "several", "twice", "what the stack says", "none", "blanks"],
)
def test_settings_are_read_from_an_env_file(text: str, expected: str, tmp_path: Path) -> None:
    (tmp_path / "env").write_text(text)

    assert read_settings(tmp_path / "env") == expected


@pytest.mark.parametrize(
    "text",
    [
        *["export A=1", "A", "a=1", "A=1|2", "A=ä", "A=" + "x" * 4096],
        # Compose takes these for something else than docker run does.
        *['A="1"', "A='1'", "A=$HOME", "A=${B}", "A=1 # one", "A= # none"],
    ],
    ids=lambda text: text[:9],
)
def test_settings_that_no_stack_takes_are_refused_where_they_stand(
    text: str, tmp_path: Path
) -> None:
    (tmp_path / "env").write_text(f"B=1\n{text}\n")

    with pytest.raises(Wrong, match=r"env(:2: expected NAME=value|: more than 3,072 bytes)"):
        read_settings(tmp_path / "env")


@pytest.mark.parametrize("name", ["IMAGEFLEET_PROXY_SPOOL", "IMAGEFLEET_WEB_SPOOL"])
def test_a_setting_that_is_none_any_more_is_told(name: str, tmp_path: Path) -> None:
    (tmp_path / "env").write_text(f"A=1\n{name}=1g\n")

    with pytest.raises(Wrong, match=rf"env:2: {name} is no setting any more.*leave it out"):
        read_settings(tmp_path / "env")


@pytest.mark.parametrize("kept", [False, True], ids=["asked for", "of the stack that is there"])
@pytest.mark.parametrize(
    ("line", "usual"),
    [
        ("IMAGEFLEET_ADDRESS=10.0.0.5", "0.0.0.0"),
        ("IMAGEFLEET_HTTP_PORT=8080", "80"),
        ("IMAGEFLEET_HTTPS_PORT=8443", "443"),
        ("IMAGEFLEET_ACME_DIR=/mnt/acme", "/var/lib/imagefleet/acme"),
        ("IMAGEFLEET_PROXY_SPOOL_DIR=/mnt/spool", "proxy-spool"),
        ("IMAGEFLEET_WEB_SPOOL_DIR=/mnt/spool", "web-spool"),
    ],
)
def test_a_web_host_that_would_be_looked_for_in_vain_is_refused(
    line: str,
    usual: str,
    kept: bool,
    account: None,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    (tmp_path / "env").write_text(line)
    if kept:
        monkeypatch.setattr(Stack, "parameters", lambda _stack: {"Settings": f"A=1|{line}"})

    asked = [] if kept else ["--settings", str(tmp_path / "env")]
    left, said = failure(capsys, deploy.main, "--plan", *asked)

    assert left == 2
    assert f"{line}: on AWS expected {usual}, as without this setting" in said


def test_the_settings_of_the_example_are_taken(tmp_path: Path) -> None:
    example = Path(deploy.__file__).parents[3] / "compose/production.env.example"
    lines = example.read_text().splitlines()
    shown = [
        line.removeprefix("# ") if line.startswith("# IMAGEFLEET_") else line for line in lines
    ]
    (tmp_path / "env").write_text("\n".join(shown))

    read = read_settings(tmp_path / "env")
    assert "IMAGEFLEET_TARGET_S=10" in read.split("|")
    require_hosts_own(parsed(read))


@pytest.mark.parametrize(
    ("settings", "idle"),
    [("", "360"), ("IMAGEFLEET_MAX_WAIT_S=600", "660"), ("IMAGEFLEET_MAX_WAIT_S=2.5", "63")],
    ids=["usual", "longer", "no whole number"],
)
def test_a_load_balancer_is_more_patient_than_the_longest_wait(
    settings: str,
    idle: str,
    account: None,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    (tmp_path / "env").write_text(settings)
    given: list[dict[str, str]] = []

    def plan(_stack: Stack, _body: str, asked: dict[str, str]) -> list[Any]:
        given.append(asked)
        return []

    monkeypatch.setattr(Stack, "plan", plan)
    certificate = "CertificateArn=arn:aws:acm:eu-central-1:123456789012:certificate/1"

    options = ["--plan", "--settings", str(tmp_path / "env"), "--parameter"]
    assert deploy.main([*options, certificate]) == 0
    assert deploy.main([*options, "LogDays=7"]) == 0

    assert given[1]["BalancerIdleSeconds"] == idle
    assert "BalancerIdleSeconds" not in given[3]


@pytest.mark.parametrize("wait", ["3600", "long", "1e999"])
def test_a_wait_that_no_load_balancer_bears_is_refused(
    wait: str, account: None, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "env").write_text(f"IMAGEFLEET_MAX_WAIT_S={wait}")
    certificate = "CertificateArn=arn:aws:acm:eu-central-1:123456789012:certificate/1"

    left, said = failure(
        capsys, deploy.main, "--settings", str(tmp_path / "env"), "--parameter", certificate
    )

    assert left == 2
    assert f"IMAGEFLEET_MAX_WAIT_S={wait}: behind a load balancer expected 0 to 3,540" in said


def test_a_secret_that_was_long_once_can_be_replaced_by_a_short_one(
    account: None, secrets: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # given a certificate of more than 4 KB, in a tier from which SSM refuses the way back
    ssm, here = boto3.client("ssm"), open_account("imagefleet")
    (secrets / "fullchain.pem").write_text("x" * 5000)
    release.store_secrets(here, release.read_secrets(secrets))
    message = "This parameter uses the advanced-parameter tier. You can't downgrade it"
    answer_with(
        monkeypatch,
        "PutParameter",
        ClientError({"Error": {"Code": "ValidationException", "Message": message}}, "PutParameter"),
        when=lambda asked: asked["Tier"] == "Standard" and tiers()[asked["Name"]] == "Advanced",
    )

    def tiers() -> dict[str, str]:
        return {each["Name"]: each["Tier"] for each in ssm.describe_parameters()["Parameters"]}

    # when shorter ones come, twice
    for text in ("y" * 3500, "z" * 3500):
        (secrets / "fullchain.pem").write_text(text)
        (secrets / "keys.txt").write_text(text)
        release.store_secrets(here, release.read_secrets(secrets))

    # then they are there, and nothing else became advanced
    assert release.stored_secrets(here)["fullchain.pem"] == "z" * 3500
    assert release.stored_secrets(here)["keys.txt"] == "z" * 3500
    assert {name for name, tier in tiers().items() if tier == "Advanced"} == {
        "/imagefleet/web/fullchain.pem"
    }


# --- following a stack ----------------------------------------------------------------------------


class FakeCloudFormation:
    """A stack on which an operation takes several looks.

    Args:
        status: the stack's before, None for no stack.
        steps: what each look after the start brings: events as (resource, status, reason). The
            stack's own are those of `data`.
        changes: how many a change set holds; a reason where it fails.
        late: looks that pass before anything is begun, as AWS may take a moment.
        parameters: those that the stack has.
    """

    def __init__(
        self,
        status: str | None = "CREATE_COMPLETE",
        *,
        steps: Sequence[Sequence[tuple[str, str, str]]] = (),
        changes: int | str = 1,
        late: int = 0,
        parameters: Mapping[str, str] | None = None,
    ) -> None:
        self.status = status
        self._parameters = parameters or {}
        self.done: list[str] = []
        self.sent: dict[str, Any] = {}
        self._steps: list[Sequence[tuple[str, str, str]]] = [*[()] * late, *steps]
        self._changes = changes
        self._numbers = itertools.count()
        self._events: list[dict[str, Any]] = []
        self._running = False
        if status:
            self._happen("data", status, "of long ago")

    def _happen(self, resource: str, status: str, reason: str) -> None:
        number = next(self._numbers)
        event = {
            "EventId": str(number),
            "LogicalResourceId": resource,
            "PhysicalResourceId": "id" if resource == "data" else resource,
            "ResourceStatus": status,
            "ResourceStatusReason": reason,
            "Timestamp": datetime(2026, 1, 31, tzinfo=UTC) + timedelta(seconds=number),
        }
        self._events.insert(0, event)
        if resource == "data":
            self.status = status

    def describe_stacks(self, **_: Any) -> Any:
        if self.status is None:
            message = "Stack data does not exist"
            error: Any = {"Error": {"Code": "ValidationError", "Message": message}}
            raise ClientError(error, "DescribeStacks")
        had = [
            {"ParameterKey": name, "ParameterValue": value}
            for name, value in self._parameters.items()
        ]
        stack = {"StackName": "data", "StackId": "id", "StackStatus": self.status}
        return {"Stacks": [{**stack, "Parameters": had}]}

    def describe_stack_resources(self, **_: Any) -> Any:
        return {"StackResources": []}

    def create_change_set(self, **asked: Any) -> Any:
        self.sent = asked
        self.status = self.status or "REVIEW_IN_PROGRESS"
        return {"Id": "change-set"}

    def describe_change_set(self, **_: Any) -> Any:
        if isinstance(self._changes, str):
            return {"Status": "FAILED", "StatusReason": self._changes}
        return {"Status": "CREATE_COMPLETE"}

    def delete_change_set(self, **_: Any) -> None:
        self.done.append("forget")

    def execute_change_set(self, **_: Any) -> None:
        self.done.append("execute")
        self._running = True

    def delete_stack(self, **_: Any) -> None:
        self.done.append("delete")
        self.status = None

    def get_paginator(self, name: str) -> Any:
        return SimpleNamespace(paginate=lambda **_: self._pages(name))

    def _pages(self, name: str) -> list[Any]:
        if name == "describe_change_set":
            change = {"Action": "Modify", "LogicalResourceId": "Queue", "ResourceType": "A::B::C"}
            return [{"Changes": [{"ResourceChange": change}]}] * cast(int, self._changes)
        if self._running and self._steps:
            for event in self._steps.pop(0):
                self._happen(*event)
        return [{"StackEvents": [event]} for event in self._events]


BODY = "Parameters: {Size: {Default: 1}, Colour: {Default: red}}"
BEGUN = ("data", "UPDATE_IN_PROGRESS", "User Initiated")


def stack_of(fake: FakeCloudFormation, said: list[str] | None = None) -> Stack:
    clock = Clock()
    lines = said if said is not None else []

    def sleep(seconds: float) -> None:
        clock.now += seconds

    return Stack(cast(Any, fake), "data", say=lines.append, clock=clock, sleep=sleep)


def test_each_event_of_an_operation_is_told_once_and_none_of_an_older_one() -> None:
    said: list[str] = []
    fake = FakeCloudFormation(
        steps=[
            [BEGUN],
            [("Queue", "UPDATE_IN_PROGRESS", "")],
            [("Queue", "UPDATE_COMPLETE", ""), ("data", "UPDATE_COMPLETE", "")],
        ]
    )

    stack_of(fake, said).apply(BODY, {"Size": "2"})

    told = [line.split()[1:] for line in said if line.startswith("  ")]
    assert told == [
        ["UPDATE_IN_PROGRESS", "data"],
        ["UPDATE_IN_PROGRESS", "Queue"],
        ["UPDATE_COMPLETE", "Queue"],
        ["UPDATE_COMPLETE", "data"],
    ]


def test_an_operation_that_begins_late_is_awaited_all_the_same() -> None:
    said: list[str] = []
    fake = FakeCloudFormation(steps=[[BEGUN], [("data", "UPDATE_COMPLETE", "")]], late=3)

    stack_of(fake, said).apply(BODY, {})

    assert said[-1].endswith("UPDATE_COMPLETE      data")


def test_what_failed_first_is_told_and_not_what_was_cancelled_for_it() -> None:
    fake = FakeCloudFormation(
        steps=[
            [BEGUN, ("Other", "UPDATE_FAILED", "Resource update cancelled")],
            [
                ("WebHosts", "UPDATE_FAILED", "Received 0 SUCCESS signals"),
                ("A", "UPDATE_FAILED", ""),
            ],
            [("data", "UPDATE_ROLLBACK_IN_PROGRESS", "")],
            [("data", "UPDATE_ROLLBACK_COMPLETE", "")],
        ]
    )

    with pytest.raises(StackError, match=r"UPDATE_ROLLBACK_COMPLETE: WebHosts: Received 0 SUCC"):
        stack_of(fake).apply(BODY, {})


def test_an_operation_that_somebody_else_began_is_awaited_and_told_once() -> None:
    said: list[str] = []
    fake = FakeCloudFormation("UPDATE_IN_PROGRESS", changes="no changes")
    looks, describe = itertools.count(), fake.describe_stacks

    def describe_stacks(**asked: Any) -> Any:
        if next(looks) == 3:
            fake.status = "UPDATE_COMPLETE"
        return describe(**asked)

    fake.describe_stacks = describe_stacks  # type: ignore[method-assign]

    stack_of(fake, said).apply(BODY, {})

    assert said == [
        "data: UPDATE_IN_PROGRESS, begun by somebody else; waiting for its end",
        "data: nothing to change",
    ]


def test_an_operation_that_never_ends_is_given_up_with_a_word() -> None:
    fake = FakeCloudFormation(steps=[[BEGUN]])

    with pytest.raises(StackError, match="still UPDATE_IN_PROGRESS after 45 minutes"):
        stack_of(fake).apply(BODY, {})


@pytest.mark.parametrize(
    ("given", "minutes"),
    [
        ({}, 45),
        ({"WebHostCount": "1", "BalancerIdleSeconds": "3600"}, 45),
        ({"CertificateArn": "arn", "WebHostCount": "2"}, 45 + 2 * 2 * (10 + 6)),
        (
            {"CertificateArn": "arn", "WebHostCount": "10", "BalancerIdleSeconds": "3600"},
            45 + 2 * 10 * (10 + 60),
        ),
    ],
    ids=["one host", "nothing to be let go", "two", "as many as there may be"],
)
def test_hosts_that_are_replaced_one_after_the_other_are_awaited_for_longer(
    given: dict[str, str], minutes: int
) -> None:
    fake = FakeCloudFormation(steps=[[BEGUN]])

    with pytest.raises(StackError, match=f"still UPDATE_IN_PROGRESS after {minutes} minutes"):
        stack_of(fake).apply(template.fleet(), given)


def test_the_hosts_that_there_are_count_where_there_are_to_be_fewer() -> None:
    fake = FakeCloudFormation(
        steps=[[BEGUN]], parameters={"CertificateArn": "arn", "WebHostCount": "5"}
    )

    with pytest.raises(StackError, match=f"after {45 + 2 * 5 * (10 + 6)} minutes"):
        stack_of(fake).apply(template.fleet(), {"WebHostCount": "1", "CertificateArn": ""})


def test_as_long_is_given_to_a_host_as_the_template_gives_it() -> None:
    update = cloudformation.fleet()["Resources"]["WebHosts"]["UpdatePolicy"]

    assert update["AutoScalingRollingUpdate"]["PauseTime"] == f"PT{patience.HOST_S // 60}M"


def test_nothing_is_executed_where_nothing_changes() -> None:
    fake = FakeCloudFormation(changes="The submitted information didn't contain changes.")

    assert stack_of(fake).apply(BODY, {}) == []

    assert fake.done == ["forget"]


def test_a_template_that_is_refused_is_told_with_the_reason() -> None:
    with pytest.raises(StackError, match="data: Size must be 1 to 9"):
        stack_of(FakeCloudFormation(changes="Size must be\n 1 to 9")).apply(BODY, {})


@pytest.mark.parametrize(("status", "left"), [(None, ["forget", "delete"]), ("X_COMPLETE", [])])
def test_a_plan_leaves_nothing_behind(status: str | None, left: list[str]) -> None:
    fake = FakeCloudFormation("CREATE_COMPLETE" if status else None)

    (change,) = stack_of(fake).plan(BODY, {})

    assert change.resource == "Queue"
    assert fake.done == (left or ["forget"])


def test_a_stack_whose_creation_failed_is_made_anew() -> None:
    fake = FakeCloudFormation(
        "ROLLBACK_COMPLETE",
        steps=[[("data", "CREATE_IN_PROGRESS", "")], [("data", "CREATE_COMPLETE", "")]],
    )

    stack_of(fake).apply(BODY, {})

    assert fake.done == ["delete", "execute"]
    assert fake.sent["ChangeSetType"] == "CREATE"


@pytest.mark.parametrize(
    ("status", "helps"),
    [
        ("UPDATE_ROLLBACK_FAILED", "continue-update-rollback"),
        ("DELETE_FAILED", "scripts/destroy again"),
    ],
)
def test_a_stack_that_needs_repair_is_left_alone_and_what_helps_is_said(
    status: str, helps: str
) -> None:
    fake = FakeCloudFormation(status)

    with pytest.raises(StackError, match=f"{status}, which takes no update; .*{helps}"):
        stack_of(fake).apply(BODY, {})

    assert fake.done == []


# --- machines -------------------------------------------------------------------------------------


def launch(count: int, tag: str = machines.WORKER_TAG, prefix: str = "imagefleet") -> list[str]:
    answer = boto3.client("ec2").run_instances(
        ImageId="ami-12c6146b",
        MinCount=count,
        MaxCount=count,
        TagSpecifications=[
            {"ResourceType": "instance", "Tags": [{"Key": tag, "Value": prefix}]},
        ],
    )
    return [each["InstanceId"] for each in answer["Instances"]]


def test_all_instances_of_a_fleet_are_terminated_and_no_others(account: None) -> None:
    ec2 = boto3.client("ec2")
    mine, stopped, others = launch(2), launch(1), launch(1, prefix="other")
    ec2.stop_instances(InstanceIds=stopped)

    count = machines.end_all(ec2, machines.WORKER_TAG, "imagefleet", print, sleep=no_sleep)

    assert count == 3
    states = {
        each["InstanceId"]: each["State"]["Name"]
        for reservation in ec2.describe_instances()["Reservations"]
        for each in reservation["Instances"]
    }
    assert {states[each] for each in [*mine, *stopped]} == {"terminated"}
    assert {states[each] for each in others} == {"running"}


def no_sleep(_seconds: float) -> None:
    pass


class SlowEc2:
    """An EC2 whose instances take their time to go, or never do; one comes up late."""

    def __init__(self, looks: list[list[str]]) -> None:
        self.looks = looks
        self.terminated: list[str] = []

    def get_paginator(self, _name: str) -> Any:
        return SimpleNamespace(paginate=lambda **_: [self._page()])

    def terminate_instances(self, InstanceIds: list[str]) -> None:  # noqa: N803
        self.terminated += InstanceIds

    def _page(self) -> Any:
        there = self.looks.pop(0) if len(self.looks) > 1 else self.looks[0]
        about = {"InstanceType": "t", "LaunchTime": datetime(2026, 1, 31, tzinfo=UTC)}
        found = [{"InstanceId": each, "State": {"Name": "running"}, **about} for each in there]
        return {"Reservations": [{"Instances": found}]}


def test_an_instance_that_ec2_tells_of_late_is_terminated_too() -> None:
    ec2 = SlowEc2([["i-1"], ["i-1", "i-2"], []])

    machines.end_all(cast(Any, ec2), "tag", "imagefleet", print, sleep=no_sleep)

    assert ec2.terminated == ["i-1", "i-2"]


def test_instances_that_do_not_go_are_named() -> None:
    clock = Clock()

    def sleep(seconds: float) -> None:
        clock.now += seconds

    with pytest.raises(ImagefleetError, match="i-1 are still not gone"):
        machines.end_all(
            cast(Any, SlowEc2([["i-1"]])), "tag", "imagefleet", print, clock=clock, sleep=sleep
        )
