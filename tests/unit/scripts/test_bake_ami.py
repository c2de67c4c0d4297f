"""scripts/bake-ami: what it leaves in an account, whatever goes wrong on the way."""

from __future__ import annotations

import ast
import json
import re
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from functools import cache, cached_property
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import boto3
import pytest
import yaml
from moto import mock_aws

from clock import Clock
from ec2_faults import FaultyEc2, Refused, client_error, lost_after
from imagefleet_core.errors import ImagefleetError
from imagefleet_scripts.bake_ami import __main__ as bake_ami
from imagefleet_scripts.bake_ami import images, machine, userdata, waiting
from imagefleet_scripts.deploy.account import Account
from imagefleet_scripts.deploy.cli import Wrong

ROOT = Path(__file__).parents[3]
PREFIX, VERSION, DEBIAN = "pix", "1.2.0", "ami-0123456789abcdef0"
TEMPLATE = {
    "Parameters": {
        name: {"Type": "String", "Default": default}
        for name, default in {"ImageTag": VERSION, "WorkerAmi": "", "DebianAmi": "/debian"}.items()
    },
    "Resources": {
        "Role": {
            "Type": "AWS::IAM::Role",
            "Properties": {"AssumeRolePolicyDocument": {"Version": "2012-10-17", "Statement": []}},
        },
        "WorkerProfile": {
            "Type": "AWS::IAM::InstanceProfile",
            "Properties": {"Roles": [{"Ref": "Role"}]},
        },
        "Vpc": {"Type": "AWS::EC2::VPC", "Properties": {"CidrBlock": "10.0.0.0/16"}},
        **{
            f"Subnet{number}": {
                "Type": "AWS::EC2::Subnet",
                "Properties": {"VpcId": {"Ref": "Vpc"}, "CidrBlock": f"10.0.{number}.0/24"},
            }
            for number in (1, 2)
        },
        "Group": {
            "Type": "AWS::EC2::SecurityGroup",
            "Properties": {"GroupDescription": "workers", "VpcId": {"Ref": "Vpc"}},
        },
    },
    "Outputs": {
        "Registry": {"Value": "123456789012.dkr.ecr.us-east-1.amazonaws.com/pix/"},
        "WorkerSubnets": {"Value": {"Fn::Join": [",", [{"Ref": "Subnet1"}, {"Ref": "Subnet2"}]]}},
        "WorkerSecurityGroup": {"Value": {"Fn::GetAtt": ["Group", "GroupId"]}},
    },
}


@cache
def client(service: str) -> Any:
    """Return one client for all of moto's accounts, as making it takes long."""
    return cast(Any, boto3).Session("test", "test", region_name="us-east-1").client(service)


class Ec2(FaultyEc2):
    """moto's, with what it lacks: snapshots that are tagged, and images that know their age."""

    def create_image(self, **request: Any) -> Any:
        ours, theirs = request.pop("TagSpecifications")
        assert (ours["ResourceType"], theirs["ResourceType"]) == ("image", "snapshot")
        real = client("ec2")
        answer = real.create_image(**request, TagSpecifications=[ours])
        (made,) = real.describe_images(ImageIds=[answer["ImageId"]])["Images"]
        self.born.append(answer["ImageId"])
        disks = [each["Ebs"]["SnapshotId"] for each in made["BlockDeviceMappings"]]
        real.create_tags(Resources=disks, Tags=theirs["Tags"])
        return answer

    def describe_images(self, **request: Any) -> Any:
        answer = self.__getattr__("describe_images")(**request)
        for each in answer["Images"]:
            each["CreationDate"] = f"{self.born.index(each['ImageId']):03}"
        return answer

    @cached_property
    def born(self) -> list[str]:
        """The images, oldest first."""
        return []


class Bakery:
    """An account with a fleet's stack, and EC2 in front of it that can have bad days."""

    def __init__(self, capsys: pytest.CaptureFixture[str]) -> None:
        self._capsys = capsys
        self._real = client("ec2")
        self.ec2 = Ec2(self._real)
        client("cloudformation").create_stack(
            StackName=f"{PREFIX}-fleet", TemplateBody=json.dumps(TEMPLATE)
        )
        client("ssm").put_parameter(Name="/debian", Value=DEBIAN, Type="String")
        ecr = client("ecr")
        ecr.create_repository(repositoryName=f"{PREFIX}/imagefleet-worker")
        ecr.put_image(
            repositoryName=f"{PREFIX}/imagefleet-worker",
            imageTag=VERSION,
            imageManifestMediaType="application/vnd.docker.distribution.manifest.v2+json",
            imageManifest=json.dumps({"schemaVersion": 2, "config": {"digest": "sha256:1"}}),
        )

    def bakes(self, *arguments: str, result: str = "done") -> tuple[int, str]:
        """Run the command, with an instance that powers off at the second look."""
        self.ec2.plan("describe_instances", carried_out, carried_out, self._powers_off)
        self.ec2.plan("get_console_output", lambda *_: {}, self._console(result))
        return self.runs(*arguments)

    def runs(self, *arguments: str) -> tuple[int, str]:
        """Run the command; return its status and all that it said."""
        left = bake_ami.main(["--prefix", PREFIX, *arguments])
        said = self._capsys.readouterr()
        return left, said.out + said.err

    def instances(self) -> list[Any]:
        """Return the instances that cost something."""
        answer = self._real.describe_instances(
            Filters=[
                {"Name": "instance-state-name", "Values": ["pending", "running", "stopped"]},
            ]
        )
        return [each for found in answer["Reservations"] for each in found["Instances"]]

    def images(self) -> list[images.Baked]:
        """Return the images that were baked."""
        return images.baked(self.ec2.client, PREFIX)

    def snapshots(self) -> set[str]:
        """Return all snapshots."""
        found = self._real.describe_snapshots(OwnerIds=["self"])["Snapshots"]
        return {each["SnapshotId"] for each in found}

    def _powers_off(self, call: Callable[..., Any], request: dict[str, Any]) -> Any:
        self._real.stop_instances(InstanceIds=request["InstanceIds"])
        return call(**request)

    def _console(self, result: str) -> Callable[..., Any]:
        def told(*_: Any) -> Any:
            (tags, _) = self.ec2.requests("run_instances")[-1]["TagSpecifications"]
            mark = {tag["Key"]: tag["Value"] for tag in tags["Tags"]}[machine.ONE_TAG]
            return {"Output": f"booting\nprovision: no such thing\n{mark}: {result}\r\n"}

        return told


def carried_out(call: Callable[..., Any], request: dict[str, Any]) -> Any:
    """Change nothing."""
    return call(**request)


@pytest.fixture
def bakery(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Iterator[Bakery]:
    """An account in which nothing was baked yet."""
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "test")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "test")
    monkeypatch.setenv("AWS_DEFAULT_REGION", "us-east-1")
    monkeypatch.delenv("AWS_ENDPOINT_URL", raising=False)
    # A thousand images that nobody launches take moto half a second.
    monkeypatch.setenv("MOTO_EC2_LOAD_DEFAULT_AMIS", "false")
    monkeypatch.setattr(waiting, "POLL_S", 0.0)
    monkeypatch.setattr(machine, "PAUSES_S", (0.0,) * 3)
    with mock_aws():
        made = Bakery(capsys)
        monkeypatch.setattr(Account, "ec2", made.ec2)
        yield made


# --- an image -------------------------------------------------------------------------------------


def test_an_image_is_baked_and_the_next_command_told(bakery: Bakery) -> None:
    left, said = bakery.bakes()

    (image,) = bakery.images()
    assert left == 0, said
    assert said.rstrip().endswith(
        f"next: ./scripts/deploy --prefix {PREFIX} --parameter WorkerAmi={image.id}"
    )
    assert (image.version, image.state) == (VERSION, "available")
    assert bakery.instances() == []


def test_the_instance_is_the_workers_own_kind_of_machine_and_no_worker(bakery: Bakery) -> None:
    bakery.bakes()

    (request,) = bakery.ec2.requests("run_instances")
    assert request["ImageId"] == DEBIAN
    assert request["MetadataOptions"]["HttpTokens"] == "required"
    assert request["InstanceInitiatedShutdownBehavior"] == "stop"
    assert "KeyName" not in request
    assert all(each["Ebs"]["Encrypted"] for each in request["BlockDeviceMappings"])
    for tags in request["TagSpecifications"]:
        names = {tag["Key"] for tag in tags["Tags"]}
        assert {"imagefleet:bake", "imagefleet:system"} <= names
        assert not {"imagefleet:fleet", "imagefleet:host"} & names  # it is not the scaler's


def test_a_plan_launches_nothing(bakery: Bakery) -> None:
    left, said = bakery.runs("--plan")

    assert left == 0
    assert f"from {DEBIAN}" in said
    assert f"{PREFIX}/imagefleet-worker:{VERSION}" in said
    assert not bakery.ec2.requests("run_instances")


def test_the_newest_images_are_kept_and_the_disks_of_others_go_with_them(bakery: Bakery) -> None:
    # given three bakes
    before = bakery.snapshots()
    for _ in range(3):
        assert bakery.bakes("--keep", "2")[0] == 0

    # then the first one is gone
    kept = bakery.images()
    assert [image.id for image in kept] == bakery.ec2.born[:0:-1]
    disks = {snapshot for image in kept for snapshot in image.snapshots}
    assert bakery.snapshots() - before == disks


@pytest.mark.parametrize(
    ("keep", "used", "gone"),
    [
        pytest.param(3, "", "f", id="failed ones go"),
        pytest.param(1, "", "fba", id="the newest is kept"),
        pytest.param(1, "a", "fb", id="the one in use is kept"),
    ],
)
def test_of_older_images_those_go_that_nobody_needs(keep: int, used: str, gone: str) -> None:
    newest_first = [
        images.Baked(name, "1", "", "failed" if name == "f" else "available", [])
        for name in ("f", "c", "b", "a")
    ]

    assert "".join(each.id for each in images.superfluous(newest_first, keep, {used})) == gone


def test_nothing_of_a_system_is_left_when_its_images_are_removed(bakery: Bakery) -> None:
    before = bakery.snapshots()
    bakery.bakes()

    images.remove_all(bakery.ec2.client, PREFIX, print)

    assert bakery.images() == []
    assert bakery.snapshots() == before


def test_a_snapshot_that_still_counts_as_its_images_is_deleted_a_moment_later(
    bakery: Bakery,
) -> None:
    before = bakery.snapshots()
    bakery.bakes()
    bakery.ec2.plan("delete_snapshot", *[Refused("InvalidSnapshot.InUse", "in use")] * 3)

    images.remove_all(bakery.ec2.client, PREFIX, print)

    assert bakery.snapshots() == before


def test_what_an_earlier_removal_left_goes_with_the_next_one_however_young(
    bakery: Bakery, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    # given a snapshot that others hold for longer than anybody waits
    before = bakery.snapshots()
    bakery.bakes()
    (image,) = bakery.images()
    in_use = Refused("InvalidSnapshot.InUse", "in use")
    with monkeypatch.context() as patched:
        patched.setattr(images, "RELEASED_WITHIN_S", 0.0)
        bakery.ec2.plan("delete_snapshot", in_use, in_use)
        images.remove_all(bakery.ec2.client, PREFIX, print)
    assert f"{image.snapshots[0]}: still in use" in capsys.readouterr().out
    assert images.left(bakery.ec2.client, PREFIX) == [*image.snapshots]

    images.remove_all(bakery.ec2.client, PREFIX, print)

    assert images.left(bakery.ec2.client, PREFIX) == []
    assert bakery.snapshots() == before


# --- what goes wrong ------------------------------------------------------------------------------


def test_what_can_not_be_provisioned_becomes_no_image_and_its_console_is_told(
    bakery: Bakery,
) -> None:
    left, said = bakery.bakes(result="failed")

    assert left == 1
    assert "provision: no such thing" in said
    assert "its console says why" in said.splitlines()[-1]
    assert bakery.images() == bakery.instances() == []


def test_a_subnet_without_capacity_is_passed_over(bakery: Bakery) -> None:
    bakery.ec2.plan("run_instances", Refused("InsufficientInstanceCapacity", "none left"))

    left, said = bakery.bakes()

    assert left == 0, said
    first, second = bakery.ec2.requests("run_instances")
    assert first["SubnetId"] != second["SubnetId"]
    assert first["ClientToken"] != second["ClientToken"]


def test_without_capacity_anywhere_it_is_told_what_helps(bakery: Bakery) -> None:
    lacking = Refused("InsufficientInstanceCapacity", "none left")
    bakery.ec2.plan("run_instances", lacking, lacking)

    left, said = bakery.runs()

    assert left == 1
    assert "no t3.medium to be had, try --type" in said.splitlines()[-1]


def test_a_call_that_is_not_permitted_is_named(bakery: Bakery) -> None:
    bakery.ec2.plan("run_instances", Refused("UnauthorizedOperation", "no", "RunInstances"))

    left, said = bakery.runs()

    assert left == 4
    assert "do not permit RunInstances" in said.splitlines()[-1]


def test_an_instance_whose_launch_was_never_answered_is_terminated(bakery: Bakery) -> None:
    bakery.ec2.plan("run_instances", lost_after)

    left, _ = bakery.runs()

    assert left == 1
    assert bakery.instances() == []


def test_an_instance_that_ec2_tells_of_late_is_terminated_too(bakery: Bakery) -> None:
    def nobody(*_: Any) -> Any:
        return {"Reservations": []}

    bakery.ec2.plan("run_instances", lost_after)
    bakery.ec2.plan("describe_instances", carried_out, nobody, nobody)

    left, _ = bakery.runs()

    assert left == 1
    assert bakery.instances() == []


def test_an_interruption_terminates_the_instance(bakery: Bakery) -> None:
    def interrupted(*_: Any) -> Any:
        raise KeyboardInterrupt

    bakery.ec2.plan("describe_instances", carried_out, interrupted)

    left, _ = bakery.runs()

    assert left == 130
    assert bakery.instances() == []


def test_a_termination_that_is_refused_is_tried_again(bakery: Bakery) -> None:
    bakery.bakes()
    recipe = machine.Recipe(
        prefix=PREFIX,
        base=DEBIAN,
        kind="t3.medium",
        subnets=[bakery.ec2.requests("run_instances")[0]["SubnetId"]],
        group=bakery.ec2.requests("run_instances")[0]["SecurityGroupIds"][0],
        profile=bakery.ec2.requests("run_instances")[0]["IamInstanceProfile"]["Name"],
        disk_gib=8,
        user_data="",
        mark="m",
    )
    bakery.ec2.plan("terminate_instances", Refused("RequestLimitExceeded"))

    with machine.launched(bakery.ec2.client, recipe, print):
        assert len(bakery.instances()) == 1

    assert bakery.instances() == []


def test_an_instance_that_others_terminate_is_no_image(bakery: Bakery) -> None:
    def terminated(call: Callable[..., Any], request: dict[str, Any]) -> Any:
        client("ec2").terminate_instances(InstanceIds=request["InstanceIds"])
        return call(**request)

    bakery.ec2.plan("describe_instances", carried_out, terminated)

    left, said = bakery.runs()

    assert left == 1
    assert "was terminated before it was done" in said.splitlines()[-1]
    assert bakery.images() == []


def test_an_instance_that_ec2_does_not_know_yet_is_waited_for(bakery: Bakery) -> None:
    unknown = Refused("InvalidInstanceID.NotFound", "no such instance")
    bakery.ec2.plan("describe_instances", carried_out, unknown, unknown)

    left, said = bakery.bakes()

    assert left == 0, said


def test_an_image_whose_making_was_answered_only_to_a_second_try_is_found_by_its_name(
    bakery: Bakery, monkeypatch: pytest.MonkeyPatch
) -> None:
    make = bakery.ec2.create_image

    def tried_again(**request: Any) -> Any:
        make(**request)
        raise client_error("InvalidAMIName.Duplicate", "that name is in use", "CreateImage")

    monkeypatch.setattr(bakery.ec2, "create_image", tried_again)

    def not_listed_yet(*_: Any) -> Any:
        return {"Images": []}

    bakery.ec2.plan("describe_images", not_listed_yet)

    left, said = bakery.bakes()

    (image,) = bakery.images()
    assert left == 0, said
    assert said.rstrip().endswith(f"WorkerAmi={image.id}")
    assert image.state == "available"


def test_the_longest_prefix_and_version_make_a_name_that_ec2_takes() -> None:
    name = images.new_name("p" * 25, "1" * 128, "i-0123456789abcdef0")

    # https://docs.aws.amazon.com/AWSEC2/latest/APIReference/API_CreateImage.html
    assert re.fullmatch(r"[a-zA-Z0-9()\[\]./@'_ -]{3,128}", name)


def test_an_image_that_fails_is_removed(bakery: Bakery) -> None:
    def failed(call: Callable[..., Any], request: dict[str, Any]) -> Any:
        answer = call(**request)
        answer["Images"][0].update(State="failed", StateReason={"Message": "the disk broke"})
        return answer

    bakery.ec2.plan("describe_images", Refused("InvalidAMIID.NotFound", "not yet"), failed)
    before = bakery.snapshots()

    left, said = bakery.bakes()

    assert left == 1
    assert said.splitlines()[-1].endswith("failed: the disk broke")
    assert bakery.images() == bakery.instances() == []
    assert bakery.snapshots() == before


def test_what_an_earlier_bake_left_is_terminated_once_nobody_waits_for_it() -> None:
    now = datetime.now(UTC)
    longest_s = (
        machine.STOPS_WITHIN_S + machine.CONSOLE_WITHIN_S + waiting.LAG_S
    ) + images.AVAILABLE_WITHIN_S
    there = [
        {"InstanceId": "i-left", "LaunchTime": now - timedelta(hours=3)},
        {"InstanceId": "i-at-work", "LaunchTime": now - timedelta(seconds=longest_s)},
    ]
    answer = {"Reservations": [{"Instances": there}]}
    ec2: Any = SimpleNamespace(describe_instances=lambda **_: answer)

    assert machine.left_behind(ec2, PREFIX) == ["i-left"]


def test_nobody_waits_for_ever() -> None:
    clock = Clock()

    def running(**_: Any) -> Any:
        return {"Reservations": [{"Instances": [{"State": {"Name": "running"}}]}]}

    def sleep(_: float) -> None:
        clock.now += 60

    ec2: Any = SimpleNamespace(describe_instances=running)
    with pytest.raises(ImagefleetError, match="i-1: not done after 35 minutes"):
        machine.finished(ec2, "i-1", "m", print, clock=clock, sleep=sleep)


# --- what is asked for ----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("arguments", "why"),
    [
        (["--image", "9.9"], "there is no image 9.9 of worker in ECR"),
        (["--keep", "0"], "--keep: expected 1 or more"),
        (["--gpu", "--apt-source", "/nowhere"], "--apt-source /nowhere"),
    ],
)
def test_what_can_not_be_is_refused_before_anything_is_launched(
    bakery: Bakery, arguments: list[str], why: str
) -> None:
    left, said = bakery.runs(*arguments)

    assert left == 2
    assert why in said.splitlines()[-1]
    assert not bakery.ec2.requests("run_instances")


def test_without_a_stack_it_is_told_what_makes_one(bakery: Bakery) -> None:
    left = bake_ami.main(["--prefix", "other"])

    assert left == 2


# --- what the instance is told --------------------------------------------------------------------


def files(text: str) -> dict[str, str]:
    config = yaml.safe_load(text)
    return {each["path"]: each["content"] for each in config["write_files"]}


def test_the_instance_provisions_itself_says_how_that_went_and_powers_off() -> None:
    text = userdata.of("the-mark", "registry/worker:1")

    script = files(text)["/opt/imagefleet-bake/run"].splitlines()
    assert any("provision --image registry/worker:1 " in line for line in script)
    assert script[-2:] == ['echo "the-mark: $result" >/dev/console', "systemctl poweroff"]
    assert "${" not in "".join(script)
    assert len(text.encode()) < 16_384


def test_shell_in_braces_stays_what_it_is() -> None:
    assert userdata.filled("${Mark} ${!HOME} $x", {"Mark": "m"}) == "m ${HOME} $x"
    assert "db:Status-Abbrev}" in files(userdata.of("m", "i"))["/opt/imagefleet-bake/provision"]


def test_an_apt_source_comes_as_it_is(tmp_path: Path) -> None:
    source = "Types: deb\nURIs: https://packages.example\nSigned-By:\n -----BEGIN\n .\n abc\n"
    (tmp_path / "s").write_text(source)

    text = userdata.of("m", "i", gpu=True, apt_source=tmp_path / "s")

    place = "/opt/imagefleet-bake/apt.sources"
    assert files(text)[place] == source
    assert f"--gpu --apt-source {place}" in files(text)["/opt/imagefleet-bake/run"]


def test_an_apt_source_that_user_data_can_not_hold_is_refused(tmp_path: Path) -> None:
    (tmp_path / "s").write_text("x" * 16_000)

    with pytest.raises(Wrong, match="too large"):
        userdata.of("m", "i", gpu=True, apt_source=tmp_path / "s")


# --- what it takes --------------------------------------------------------------------------------

BAKER = json.loads((ROOT / "infra/baker-policy.json").read_text())["Statement"]


def test_the_policy_for_baking_has_the_calls_that_are_made_and_no_others() -> None:
    allowed = {
        action.removeprefix("ec2:")
        for statement in BAKER
        for action in listed(statement["Action"])
        if action.startswith("ec2:")
    }

    assert allowed == called_of_ec2() | {"CreateTags"}  # within the calls that make


def test_the_policy_for_baking_ends_and_removes_only_what_was_baked() -> None:
    ours = {"StringEquals": {"aws:ResourceTag/imagefleet:bake": "imagefleet"}}
    for statement in BAKER:
        if {"ec2:TerminateInstances", "ec2:DeregisterImage", "ec2:DeleteSnapshot"} & set(
            listed(statement["Action"])
        ):
            assert statement["Condition"] == ours
        if statement["Resource"] == "*":
            assert statement["Sid"] == "Look"


def listed(value: str | list[str]) -> list[str]:
    return [value] if isinstance(value, str) else value


def called_of_ec2() -> set[str]:
    """Return the operations of EC2 that the source names."""
    known = client("ec2").meta.method_to_api_mapping
    trees = [
        ast.parse(file.read_text())
        for file in (ROOT / "scripts/imagefleet_scripts/bake_ami").glob("*.py")
    ]
    names = {
        node.attr for tree in trees for node in ast.walk(tree) if isinstance(node, ast.Attribute)
    }
    return {known[name] for name in names if name in known}
