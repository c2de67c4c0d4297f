"""A whole life of a deployment, on an emulator: planned, made, released, upgraded, destroyed."""

from __future__ import annotations

import itertools
import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import boto3
import pytest

from imagefleet_core.aws import Aws
from imagefleet_core.keys import FLEET_REPORT
from imagefleet_core.sqs import SqsQueues
from imagefleet_scripts.deploy import __main__ as deploy
from imagefleet_scripts.deploy import destroy, machines, push, status
from imagefleet_scripts.deploy.account import IMAGES

pytestmark = pytest.mark.embedded

NUMBERS = itertools.count(1)
AMI_PARAMETER = "/test/debian"
# MiniStack has neither elastic addresses in templates nor Debian's own parameter.
EMULATED = ("--parameter", f"DebianAmi={AMI_PARAMETER}", "--parameter", "ElasticIp=false")


@dataclass
class Deployment:
    """A system of a prefix that nobody else uses."""

    prefix: str
    secrets: Path
    capsys: pytest.CaptureFixture[str]

    def run(self, command: Any, *arguments: str) -> str:
        """Run a command, which has to succeed, and return what it said."""
        left = command.main(["--prefix", self.prefix, *arguments])
        said = self.capsys.readouterr()
        assert left == 0, said.err + said.out
        return said.out

    def refused(self, command: Any, *arguments: str) -> str:
        """Run a command that may not succeed, and return why it did not."""
        assert command.main(["--prefix", self.prefix, *arguments]) == 2
        return self.capsys.readouterr().err

    def push(self, tag: str) -> None:
        """Put images into the repositories, as far as an emulator wants to know."""
        for image in IMAGES:
            digest = f"sha256:{image}-{tag}"
            boto3.client("ecr").put_image(  # type: ignore[attr-defined]
                repositoryName=f"{self.prefix}/imagefleet-{image}",
                imageTag=tag,
                imageManifest=json.dumps({"schemaVersion": 2, "config": {"digest": digest}}),
            )

    def release(self, tag: str = "1.0") -> str:
        """Deploy a version, from nothing."""
        self.run(deploy, *EMULATED)
        self.push(tag)
        return self.run(deploy, "--image", tag, "--secrets", str(self.secrets))

    def stacks(self) -> dict[str, str]:
        """Return the status of each of the system's stacks."""
        found = boto3.client("cloudformation").describe_stacks()["Stacks"]
        names = (f"{self.prefix}-data", f"{self.prefix}-fleet")
        return {
            each["StackName"]: each["StackStatus"] for each in found if each["StackName"] in names
        }

    def template_version(self) -> int:
        """Return the newest version of the workers' launch template."""
        (found,) = boto3.client("ec2").describe_launch_templates(
            LaunchTemplateNames=[f"{self.prefix}-worker"]
        )["LaunchTemplates"]
        return found["LatestVersionNumber"]

    def launch(self, count: int) -> None:
        """Launch workers as the scaler does."""
        tags = [{"Key": machines.WORKER_TAG, "Value": self.prefix}]
        boto3.client("ec2").run_instances(
            ImageId="ami-0123456789abcdef0",
            MinCount=count,
            MaxCount=count,
            TagSpecifications=[{"ResourceType": "instance", "Tags": tags}],  # type: ignore[typeddict-item]
        )

    def workers(self) -> list[machines.Machine]:
        """Return the workers that are there."""
        return machines.machines(boto3.client("ec2"), machines.WORKER_TAG, self.prefix)

    def buckets(self) -> list[str]:
        """Return the system's buckets."""
        names = [each["Name"] for each in boto3.client("s3").list_buckets()["Buckets"]]
        return [name for name in names if name.startswith(f"{self.prefix}-")]


@pytest.fixture
def deployment(
    ministack: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> Iterator[Deployment]:
    monkeypatch.setenv("AWS_ENDPOINT_URL", ministack)
    monkeypatch.setenv("AWS_DEFAULT_REGION", "us-east-1")
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "test")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "test")
    monkeypatch.setattr(machines, "POLL_S", 0.05)
    boto3.client("ssm").put_parameter(  # type: ignore[attr-defined]
        Name=AMI_PARAMETER, Value="ami-0123456789abcdef0", Type="String", Overwrite=True
    )
    for name in ("keys.txt", "fullchain.pem", "privkey.pem"):
        (tmp_path / name).write_text(f"what {name} of {tmp_path.name} holds\n")
    made = Deployment(f"life-{next(NUMBERS)}", tmp_path, capsys)
    yield made
    destroy.main(["--prefix", made.prefix, "--yes"])
    boto3.DEFAULT_SESSION = None


def test_a_plan_tells_what_would_be_made_and_makes_nothing(deployment: Deployment) -> None:
    said = deployment.run(deploy, *EMULATED, "--plan")

    assert "Add     RequestsQueue" in said
    assert "Add     WorkerRole" in said
    assert deployment.stacks() == {}
    assert deployment.buckets() == []


def test_a_first_deployment_has_no_machines_and_says_what_is_next(deployment: Deployment) -> None:
    said = deployment.run(deploy, *EMULATED)

    assert set(deployment.stacks().values()) == {"CREATE_COMPLETE"}
    assert f".dkr.ecr.us-east-1.amazonaws.com/{deployment.prefix}/" in said
    assert "next: ./scripts/push-images" in said
    assert len(deployment.buckets()) == 2


def test_a_version_needs_its_images_then_its_secrets_and_then_runs(deployment: Deployment) -> None:
    deployment.run(deploy, *EMULATED)
    assert "no image 1.0 of web" in deployment.refused(deploy, "--image", "1.0")
    deployment.push("1.0")
    assert "needs fullchain.pem, keys.txt" in deployment.refused(deploy, "--image", "1.0")

    deployment.run(deploy, "--image", "1.0", "--secrets", str(deployment.secrets))

    found = boto3.client("ssm").get_parameter(  # type: ignore[attr-defined]
        Name=f"/{deployment.prefix}/web/keys.txt", WithDecryption=True
    )["Parameter"]
    assert found["Type"] == "SecureString"
    assert found["Value"] == (deployment.secrets / "keys.txt").read_text()
    assert deployment.template_version() == 1


def test_what_the_secrets_hold_is_never_said(deployment: Deployment) -> None:
    said = deployment.release()

    assert f"/{deployment.prefix}/web/keys.txt: stored" in said
    assert "what keys.txt of" not in said


def test_deploying_twice_changes_nothing(deployment: Deployment) -> None:
    deployment.release()

    said = deployment.run(deploy, "--image", "1.0", "--secrets", str(deployment.secrets))
    plan = deployment.run(deploy, "--plan")

    for told in (said, plan):
        assert told.count("nothing to change") == 2
        assert "stored" not in told
    assert deployment.template_version() == 1


def test_an_upgrade_and_the_way_back_change_machines_only(deployment: Deployment) -> None:
    deployment.release("1.0")
    deployment.push("1.1")

    upgraded = deployment.run(deploy, "--image", "1.1")
    back = deployment.run(deploy, "--image", "1.0")

    for said in (upgraded, back):
        assert f"{deployment.prefix}-data: nothing to change" in said
    assert "ImageTag             1.0" in back
    assert deployment.template_version() == 3


def test_what_is_not_given_stays_as_it_was(deployment: Deployment, tmp_path: Path) -> None:
    (tmp_path / "env").write_text("IMAGEFLEET_TARGET_S=5\n")
    deployment.run(
        deploy, *EMULATED, "--parameter", "InputDays=3", "--settings", str(tmp_path / "env")
    )

    deployment.run(deploy, "--parameter", "LogDays=7")

    assert parameters(f"{deployment.prefix}-data")["InputDays"] == "3"
    fleet = parameters(f"{deployment.prefix}-fleet")
    assert fleet["Settings"] == "IMAGEFLEET_TARGET_S=5"
    assert fleet["LogDays"] == "7"


def parameters(stack: str) -> dict[str, str]:
    (found,) = boto3.client("cloudformation").describe_stacks(StackName=stack)["Stacks"]
    return {each["ParameterKey"]: each["ParameterValue"] for each in found["Parameters"]}


def test_the_status_tells_of_queues_instances_decisions_and_alarms(
    deployment: Deployment, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "160")
    deployment.release()
    deployment.launch(2)
    SqsQueues(Aws().sqs(1)).open(f"{deployment.prefix}-requests-dead").send(["a", "b", "c"])
    boto3.client("s3").put_object(
        Bucket=f"{deployment.prefix}-results-000000000000-us-east-1",
        Key=FLEET_REPORT,
        Body=json.dumps(REPORT).encode(),
    )

    said = deployment.run(status)

    rows = [line.split() for line in said.splitlines()]
    assert [f"{deployment.prefix}-requests-dead", "3", "0"] in rows
    assert sum(row[1:3] == ["worker", "running"] for row in rows) == 2
    assert "90 images [waiting] need 4 workers" in said
    assert f"{deployment.prefix}-dead-letters" in said


REPORT = {
    "v": 1,
    "at": "2026-01-31T12:00:00.000Z",
    "fresh_s": None,
    "queue": {"visible": 0, "in_flight": 0, "delayed": 0, "oldest_s": None},
    "workers": [],
    "desired": 4,
    "min_workers": 0,
    "max_workers": 20,
    "decisions": [
        {
            "at": "2026-01-31T12:00:00.000Z",
            "desired": 4,
            "launch": 4,
            "retire": 0,
            "why": "90 images [waiting] need 4 workers",
        }
    ],
    "cost": None,
    "history": [],
    "done": 0,
}


def test_a_status_of_what_is_not_there_is_no_error(deployment: Deployment) -> None:
    assert "none" in deployment.run(status)


def test_destroying_leaves_nothing(deployment: Deployment) -> None:
    # given a system with data, workers and a web process's queue
    deployment.release()
    deployment.launch(3)
    fill(deployment)
    queues = SqsQueues(Aws().sqs(1))
    queues.create(f"{deployment.prefix}-replies-1", retention_s=60, tags={})

    # when it is destroyed
    deployment.run(destroy, "--yes")

    # then nothing is there, and doing it again is no error
    assert deployment.stacks() == {}
    assert deployment.workers() == []
    assert deployment.buckets() == []
    assert queues.names(f"{deployment.prefix}-") == []
    assert left(deployment) == []
    deployment.run(destroy, "--yes")


def fill(deployment: Deployment) -> None:
    for bucket in deployment.buckets():
        boto3.client("s3").put_object(Bucket=bucket, Key="a/1", Body=b"...")


def left(deployment: Deployment) -> Sequence[Any]:
    ssm, ecr, ec2, logs = (boto3.client(name) for name in ("ssm", "ecr", "ec2", "logs"))  # type: ignore[call-overload]
    named = [{"Name": "tag:Name", "Values": [f"{deployment.prefix}*", deployment.prefix]}]
    return [
        *ssm.get_parameters_by_path(Path=f"/{deployment.prefix}/web")["Parameters"],
        *[
            each
            for each in ecr.describe_repositories()["repositories"]
            if each["repositoryName"].startswith(f"{deployment.prefix}/")
        ],
        *ec2.describe_vpcs(Filters=named)["Vpcs"],
        *ec2.describe_security_groups(Filters=named)["SecurityGroups"],
        *logs.describe_log_groups(logGroupNamePrefix=deployment.prefix)["logGroups"],
    ]


def test_data_can_outlive_the_machines_and_be_used_by_the_next(deployment: Deployment) -> None:
    deployment.release()
    fill(deployment)

    deployment.run(destroy, "--yes", "--keep-data")

    assert list(deployment.stacks()) == [f"{deployment.prefix}-data"]
    for bucket in deployment.buckets():
        assert boto3.client("s3").head_object(Bucket=bucket, Key="a/1")
    assert "fleet: 3" in deployment.run(deploy, *EMULATED)


def test_images_are_built_and_pushed_once(
    deployment: Deployment, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    deployment.run(deploy, *EMULATED)
    log = stub(
        tmp_path, monkeypatch, "docker", 'echo "$REGISTRY $VERSION"; [ "$1" != login ] || cat'
    )

    said = deployment.run(push, "--tag", "1.0", "--", "--set", "worker.target=torch")

    registry = f"000000000000.dkr.ecr.us-east-1.amazonaws.com/{deployment.prefix}/"
    login, *_ = lines = log.read_text().splitlines()
    assert login.startswith("docker login --username AWS --password-stdin")
    (bake,) = [line for line in lines if "buildx bake" in line]
    assert bake.endswith("--set worker.target=torch web scaler worker proxy")
    assert f"{registry} 1.0" in lines
    assert "next: ./scripts/deploy --image 1.0" in said

    # What is there already is not pushed again.
    deployment.push("1.0")
    log.unlink()
    assert "all images are there as 1.0" in deployment.run(push, "--tag", "1.0")
    assert not log.exists()


def test_a_push_that_fails_says_so(
    deployment: Deployment,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
) -> None:
    deployment.run(deploy, *EMULATED)
    stub(tmp_path, monkeypatch, "docker", '[ "$1" = login ]')

    assert push.main(["--prefix", deployment.prefix, "--tag", "1.0"]) == 1

    assert "`docker buildx bake` failed with status 1" in deployment.capsys.readouterr().err


def stub(folder: Path, monkeypatch: pytest.MonkeyPatch, name: str, does: str) -> Path:
    """Put a program of that name first in the path, which notes its calls in the file returned."""
    log, place = folder / "calls", folder / "bin"
    place.mkdir()
    (place / name).write_text(f'#!/bin/sh\nexec >>{log}\necho "{name} $*"\n{does}\n')
    (place / name).chmod(0o755)
    monkeypatch.setenv("PATH", str(place), prepend=":")
    return log
