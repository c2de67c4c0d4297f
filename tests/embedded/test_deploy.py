"""A whole life of a deployment, on an emulator: planned, made, released, upgraded, destroyed."""

from __future__ import annotations

import io
import itertools
import json
from collections.abc import Callable, Iterator, Sequence
from contextlib import redirect_stderr, redirect_stdout
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, cast

import boto3
import pytest

from imagefleet_core.aws import Aws
from imagefleet_core.keys import FLEET_REPORT
from imagefleet_core.sqs import SqsQueues
from imagefleet_scripts.deploy import __main__ as deploy
from imagefleet_scripts.deploy import builds, destroy, machines, push, status, template
from imagefleet_scripts.deploy.account import IMAGES
from imagefleet_scripts.deploy.stacks import Stack

pytestmark = pytest.mark.embedded

NUMBERS = itertools.count(1)
AMI_PARAMETER = "/test/debian"
# MiniStack has neither elastic addresses in templates nor Debian's own parameter.
EMULATED = ("--parameter", f"DebianAmi={AMI_PARAMETER}", "--parameter", "ElasticIp=false")


def client(service: str) -> Any:
    """Return a client of the emulator."""
    return cast(Any, boto3).client(service)


@dataclass
class Deployment:
    """A system of a prefix that nobody else uses."""

    prefix: str
    secrets: Path
    said: str = ""

    def run(self, command: Any, *arguments: str) -> str:
        """Run a command, which has to succeed, and return what it said."""
        left, said = self.tried(command, *arguments)
        assert left == 0, said
        return said

    def tried(self, command: Any, *arguments: str) -> tuple[int, str]:
        """Run a command; return its status and what it said."""
        said = io.StringIO()
        with redirect_stdout(said), redirect_stderr(said):
            left = command.main(["--prefix", self.prefix, *arguments])
        return left, said.getvalue()

    def push(self, tag: str, images: Sequence[str] = IMAGES) -> None:
        """Put images into the repositories, as far as an emulator wants to know."""
        for image in images:
            digest = f"sha256:{image}-{tag}"
            boto3.client("ecr").put_image(
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
        client("ec2").run_instances(
            ImageId="ami-0123456789abcdef0",
            MinCount=count,
            MaxCount=count,
            TagSpecifications=[{"ResourceType": "instance", "Tags": tags}],
        )

    def workers(self) -> list[machines.Machine]:
        """Return the workers that are there."""
        return machines.machines(boto3.client("ec2"), machines.WORKER_TAG, self.prefix)

    def buckets(self) -> list[str]:
        """Return the system's buckets."""
        names = [each["Name"] for each in boto3.client("s3").list_buckets()["Buckets"]]
        return [name for name in names if name.startswith(f"{self.prefix}-")]


@pytest.fixture(scope="module")
def emulated(ministack: str) -> Iterator[None]:
    """An account on the emulator."""
    with pytest.MonkeyPatch.context() as patched:
        patched.setenv("AWS_ENDPOINT_URL", ministack)
        patched.setenv("AWS_DEFAULT_REGION", "us-east-1")
        patched.setenv("AWS_ACCESS_KEY_ID", "test")
        patched.setenv("AWS_SECRET_ACCESS_KEY", "test")
        patched.setenv("COLUMNS", "160")
        patched.setattr(machines, "POLL_S", 0.05)
        patched.setattr(boto3, "DEFAULT_SESSION", None)
        boto3.client("ssm").put_parameter(
            Name=AMI_PARAMETER, Value="ami-0123456789abcdef0", Type="String", Overwrite=True
        )
        yield


@pytest.fixture(scope="module")
def new(emulated: None, tmp_path_factory: pytest.TempPathFactory) -> Callable[[], Deployment]:
    """Makes systems that nobody else uses."""

    def make() -> Deployment:
        folder = tmp_path_factory.mktemp("secrets")
        for name in ("keys.txt", "fullchain.pem", "privkey.pem"):
            (folder / name).write_text(f"the {name} that nobody may see\n")
        return Deployment(f"life-{next(NUMBERS)}", folder)

    return make


@pytest.fixture(scope="module")
def released(new: Callable[[], Deployment]) -> Deployment:
    """A system of version 1.0, which tests change only where they say what they want."""
    made = new()
    made.said = made.release()
    return made


def test_a_plan_tells_what_would_be_made_and_makes_nothing(new: Callable[[], Deployment]) -> None:
    deployment = new()

    said = deployment.run(deploy, *EMULATED, "--plan")

    assert "Add     RequestsQueue" in said
    assert "Add     WorkerRole" in said
    assert deployment.stacks() == {}
    assert deployment.buckets() == []


def test_a_version_needs_its_images_and_its_secrets_before_it_runs(
    new: Callable[[], Deployment],
) -> None:
    # given a first deployment, which has no machines and says what is next
    deployment = new()
    said = deployment.run(deploy, *EMULATED)
    assert f".dkr.ecr.us-east-1.amazonaws.com/{deployment.prefix}/" in said
    other = f"--prefix {deployment.prefix}"
    release = f"./scripts/deploy {other} --image TAG --secrets DIR"
    assert f"next: ./scripts/push-images {other}, then {release}\n" in said

    # when a version is asked for without images, and without secrets, nothing changes
    without_images = deployment.tried(deploy, "--image", "1.0")
    deployment.push("1.0")
    without_secrets = deployment.tried(deploy, "--image", "1.0")

    # then it is said what is missing
    assert without_images[0] == without_secrets[0] == 2
    assert "no image 1.0 of web" in without_images[1]
    assert "needs fullchain.pem, keys.txt, privkey.pem" in without_secrets[1]
    assert set(deployment.stacks().values()) == {"CREATE_COMPLETE"}
    assert "nothing to change" in deployment.run(deploy)


def test_secrets_lie_encrypted_and_are_never_said(released: Deployment) -> None:
    found = boto3.client("ssm").get_parameter(
        Name=f"/{released.prefix}/web/keys.txt", WithDecryption=True
    )["Parameter"]

    assert found["Type"] == "SecureString"
    assert found["Value"] == (released.secrets / "keys.txt").read_text()
    assert f"/{released.prefix}/web/keys.txt: stored" in released.said
    assert "nobody may see" not in released.said


def test_deploying_twice_changes_nothing(released: Deployment) -> None:
    before = released.template_version()

    said = released.run(deploy, "--image", "1.0", "--secrets", str(released.secrets))
    plan = released.run(deploy, "--plan")

    for told in (said, plan):
        assert told.count("nothing to change") == 2
        assert "stored" not in told
    assert released.template_version() == before


def test_an_upgrade_and_the_way_back_change_machines_only(released: Deployment) -> None:
    before = released.template_version()
    released.push("1.1")

    upgraded = released.run(deploy, "--image", "1.1")
    back = released.run(deploy, "--image", "1.0")

    for said in (upgraded, back):
        assert f"{released.prefix}-data: nothing to change" in said
    assert "ImageTag             1.0" in back
    assert released.template_version() == before + 2


def test_what_is_not_given_stays_as_it_was(released: Deployment, tmp_path: Path) -> None:
    (tmp_path / "env").write_text("IMAGEFLEET_TARGET_S=5\n")
    released.run(deploy, "--parameter", "InputDays=3", "--settings", str(tmp_path / "env"))

    released.run(deploy, "--parameter", "LogDays=7")

    assert parameters(f"{released.prefix}-data")["InputDays"] == "3"
    fleet = parameters(f"{released.prefix}-fleet")
    assert fleet["Settings"] == "IMAGEFLEET_TARGET_S=5"
    assert fleet["LogDays"] == "7"


def parameters(stack: str) -> dict[str, str]:
    (found,) = boto3.client("cloudformation").describe_stacks(StackName=stack)["Stacks"]
    return {each["ParameterKey"]: each["ParameterValue"] for each in found["Parameters"]}


def test_the_status_tells_of_queues_instances_decisions_and_alarms(
    released: Deployment,
) -> None:
    deployment = released
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


def test_a_status_of_what_is_not_there_is_no_error(
    new: Callable[[], Deployment],
) -> None:
    assert "none" in new().run(status)


def test_destroying_leaves_nothing(new: Callable[[], Deployment]) -> None:
    # given a system with data, workers and a web process's queue
    deployment = new()
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


def test_destroying_takes_every_version_with_it(
    new: Callable[[], Deployment], monkeypatch: pytest.MonkeyPatch
) -> None:
    # given versions were turned on, and there are more than a page has, deleted ones among them
    monkeypatch.setattr(destroy, "VERSIONS_AT_ONCE", 3)
    deployment = new()
    deployment.run(deploy, *EMULATED)
    fill(deployment)
    s3 = boto3.client("s3")
    for bucket in deployment.buckets():
        on = {"Status": "Enabled"}
        s3.put_bucket_versioning(Bucket=bucket, VersioningConfiguration=cast(Any, on))
        for number in range(4):
            s3.put_object(Bucket=bucket, Key=f"a/{number}", Body=b"new")
            s3.put_object(Bucket=bucket, Key=f"a/{number}", Body=b"newer")
        s3.delete_object(Bucket=bucket, Key="a/1")
        s3.delete_object(Bucket=bucket, Key="a/3")

    said = deployment.run(destroy, "--yes")

    assert said.count(": 11 objects, and the bucket") == 2
    assert deployment.buckets() == []


def left(deployment: Deployment) -> Sequence[Any]:
    ssm, ecr, ec2, logs = (client(name) for name in ("ssm", "ecr", "ec2", "logs"))
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


def test_a_load_balancer_comes_and_goes_with_its_certificate(
    new: Callable[[], Deployment], monkeypatch: pytest.MonkeyPatch
) -> None:
    # given a system behind a load balancer, whose hosts need no certificate
    monkeypatch.setattr(template, "fleet", without("FromTheBalancer"))
    deployment = new()
    for name in ("fullchain.pem", "privkey.pem"):
        (deployment.secrets / name).unlink()
    certificate = "arn:aws:acm:us-east-1:000000000000:certificate/12345678"
    hosts = ("--parameter", f"CertificateArn={certificate}", "--parameter", "WebHostCount=2")
    deployment.run(deploy, *EMULATED, *hosts)
    deployment.push("1.0")

    said = deployment.run(deploy, "--image", "1.0", "--secrets", str(deployment.secrets))

    balancer = client("elbv2").describe_load_balancers()["LoadBalancers"][0]
    assert f"let the name that clients use lead to {balancer['DNSName']}" in said
    assert parameters(f"{deployment.prefix}-fleet")["BalancerIdleSeconds"] == "360"

    # when the balancer is to go, hosts need a certificate again, and it is gone with the rest
    alone = ("--parameter", "CertificateArn=", "--parameter", "WebHostCount=1")
    left, refused = deployment.tried(deploy, *alone)
    assert left == 2
    assert "fullchain.pem, privkey.pem" in refused
    deployment.run(destroy, "--yes")
    assert client("elbv2").describe_load_balancers()["LoadBalancers"] == []


def without(resource: str) -> Callable[[], str]:
    """Return what makes the template without a resource that MiniStack does not know."""
    body = json.loads(template.fleet())
    del body["Resources"][resource]
    return lambda: json.dumps(body, separators=(",", ":"))  # as short as AWS wants it


def test_data_can_outlive_the_machines_and_be_used_by_the_next(
    new: Callable[[], Deployment],
) -> None:
    deployment = new()
    deployment.run(deploy, *EMULATED)
    fill(deployment)

    deployment.run(destroy, "--yes", "--keep-data")

    assert list(deployment.stacks()) == [f"{deployment.prefix}-data"]
    for bucket in deployment.buckets():
        assert boto3.client("s3").head_object(Bucket=bucket, Key="a/1")
    assert f"{deployment.prefix}-data: nothing to change" in deployment.run(deploy, *EMULATED)


# --- all of it in one go --------------------------------------------------------------------------

COMMIT = "0123456789ab"


@dataclass
class Builder:
    """What builds and pushes, without Docker.

    Attributes:
        pushed: the images that lie in the repositories by its work.
        breaks_after: how many more it pushes before somebody interrupts it; None for nobody.
    """

    deployment: Deployment
    pushed: list[str] = field(default_factory=list)
    breaks_after: int | None = None

    def build(
        self, _account: Any, _registry: str, tag: str, images: Sequence[str], _options: Any
    ) -> None:
        for number, image in enumerate(images):
            if number == self.breaks_after:
                raise KeyboardInterrupt
            self.deployment.push(tag, [image])
            self.pushed.append(image)


@pytest.fixture
def building(
    new: Callable[[], Deployment], monkeypatch: pytest.MonkeyPatch
) -> tuple[Deployment, Builder]:
    """A system of which nothing is there, and what builds for it."""
    deployment = new()
    builder = Builder(deployment)
    monkeypatch.setattr(push, "build", builder.build)
    monkeypatch.setattr(push, "commit", lambda _option: COMMIT)
    monkeypatch.setattr(builds, "require_builder", lambda: None)
    return deployment, builder


def test_one_command_makes_a_service_however_often_it_is_broken_off(
    building: tuple[Deployment, Builder], monkeypatch: pytest.MonkeyPatch
) -> None:
    deployment, builder = building
    all_of_it = (*EMULATED, "--all", "--secrets", str(deployment.secrets))

    # given it was interrupted between the stacks, amid the images, and before the release
    with monkeypatch.context() as patched:
        interrupt_at_fleet(patched)
        assert deployment.tried(deploy, *all_of_it)[0] == 130
        assert list(deployment.stacks()) == [f"{deployment.prefix}-data"]
    builder.breaks_after = 2
    assert deployment.tried(deploy, *all_of_it)[0] == 130
    builder.breaks_after = None
    with monkeypatch.context() as patched:
        interrupt_at_fleet(patched)
        assert deployment.tried(deploy, *all_of_it)[0] == 130
    assert parameters(f"{deployment.prefix}-fleet").get("ImageTag", "") == ""

    # when it is done again
    said = deployment.run(deploy, *all_of_it)

    # then the commit runs, and every image was pushed once
    assert parameters(f"{deployment.prefix}-fleet")["ImageTag"] == COMMIT
    assert sorted(builder.pushed) == sorted(IMAGES)
    assert f"next: ./scripts/status --prefix {deployment.prefix}" in said
    assert (
        f"alarms reach nobody yet: ./scripts/deploy --prefix {deployment.prefix} "
        "--parameter AlarmEmail=you@example.com" in said
    )

    # and once more changes nothing
    again = deployment.run(deploy, "--all")
    assert again.count("nothing to change") == 2
    assert len(builder.pushed) == len(IMAGES)


def interrupt_at_fleet(patched: pytest.MonkeyPatch) -> None:
    """Have somebody interrupt the next change of the machines' stack before it begins."""
    apply = Stack.apply

    def applied(self: Stack, body: str, given: Any) -> Any:
        if self.name.endswith("-fleet"):
            raise KeyboardInterrupt
        return apply(self, body, given)

    patched.setattr(Stack, "apply", applied)


def test_a_plan_of_all_tells_the_steps_and_makes_nothing(
    building: tuple[Deployment, Builder],
) -> None:
    deployment, builder = building

    said = deployment.run(
        deploy, *EMULATED, "--all", "--plan", "--secrets", str(deployment.secrets)
    )

    steps = [line for line in said.splitlines() if " of 3: " in line]
    assert steps == [
        "1 of 3: buckets, queues, network, roles, repositories",
        f"2 of 3: builds and pushes web, scaler, worker, proxy, as {COMMIT}",
        f"3 of 3: the web host and the workers, as {COMMIT}",
    ]
    assert "Add     RequestsQueue" in said
    assert (deployment.stacks(), deployment.buckets(), builder.pushed) == ({}, [], [])


def test_what_only_a_human_has_is_asked_for_before_anything_is_made(
    building: tuple[Deployment, Builder],
) -> None:
    deployment, builder = building

    left, said = deployment.tried(deploy, *EMULATED, "--all")

    assert left == 2
    assert "needs fullchain.pem, keys.txt, privkey.pem" in said
    assert (deployment.stacks(), builder.pushed) == ({}, [])


# --- images ---------------------------------------------------------------------------------------


def test_images_are_built_and_pushed_once(
    released: Deployment, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    does = 'echo "$REGISTRY $VERSION"; [ "$1" != login ] || cat'
    log = stub(tmp_path, monkeypatch, "docker", does)

    said = released.run(push, "--tag", "2.0", "--", "--set", "worker.target=torch")

    registry = f"000000000000.dkr.ecr.us-east-1.amazonaws.com/{released.prefix}/"
    lines = log.read_text().splitlines()
    assert any(line.startswith("docker login --username AWS --password-stdin") for line in lines)
    (bake,) = [line for line in lines if line.startswith("docker buildx bake")]
    assert bake.endswith("--set worker.target=torch web scaler worker proxy")
    assert f"{registry} 2.0" in lines
    assert f"next: ./scripts/deploy --prefix {released.prefix} --image 2.0\n" in said


def test_images_that_are_there_are_not_pushed_again(
    released: Deployment, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    log = stub(tmp_path, monkeypatch, "docker", "")

    assert "all images are there as 1.0" in released.run(push, "--tag", "1.0")

    assert log.read_text() == ""


def test_a_push_that_fails_says_so(
    released: Deployment, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    stub(tmp_path, monkeypatch, "docker", '[ "$2" != bake ]')

    left, said = released.tried(push, "--tag", "2.0")

    assert left == 1
    assert "`docker buildx bake` failed with status 1" in said


def stub(folder: Path, monkeypatch: pytest.MonkeyPatch, name: str, does: str) -> Path:
    """Put a program of that name first in the path, which notes its calls in the file returned."""
    log, place = folder / "calls", folder / "bin"
    log.touch()
    place.mkdir()
    (place / name).write_text(f'#!/bin/sh\nexec >>{log}\necho "{name} $*"\n{does}\n')
    (place / name).chmod(0o755)
    monkeypatch.setenv("PATH", str(place), prepend=":")
    return log
