"""The whole system over an emulator that enforces IAM: each tier has its own role's credentials.

MiniStack judges S3, SQS and what a host asks for, with the buckets' policy. Of EC2 it knows neither
all resources of a call nor their tags: that `iam_guard` judges, as AWS does. `test_permissions.py`
compares the policies with all calls that there are in the source.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import boto3
import pytest
from botocore.exceptions import ClientError

from iam_account import PREFIX, ROLES, TAG, GuardedAccount, guarded, outputs
from iam_calls import arn
from iam_life import HOST_MARK, answer_dead, instances, leave_dead, live, made, scale
from iam_policy import Asked, Grant
from imagefleet_scaler.lease import KEY as LEASE
from imagefleet_scaler.providers.ec2 import tags
from imagefleet_scripts import redrive

pytestmark = pytest.mark.embedded

DOCS = Path(__file__).parents[2] / "docs/operations.md"
REFUSALS = {"AccessDenied", "AccessDeniedException", "UnauthorizedOperation"}

# What a role permits and the life here does not need, and why it is permitted.
PAIR = "nobody asks for this pair, it is where two of one statement meet"
SNAPSHOT = "asked for where a template names snapshots, which none of ours does"
UNUSED = {
    "worker": {},
    "web": {},
    "host": {
        ("ssm:GetParametersByPath", f"parameter/{PREFIX}/web/*"): PAIR,
        ("ssm:GetParameter", f"parameter/{PREFIX}/web"): PAIR,
        ("ec2:AssociateAddress", "network-interface/*"): "the emulator's instances have none",
        (
            "autoscaling:SetInstanceHealth",
            f"autoScalingGroupName/{PREFIX}-fleet-WebHosts-*",
        ): "the emulator does not know this call",
    },
    "scaler": {
        ("ec2:RunInstances", "fleet/*"): PAIR,
        ("ec2:CreateFleet", "snapshot/*"): SNAPSHOT,
        ("ec2:RunInstances", "snapshot/*"): SNAPSHOT,
        ("iam:CreateServiceLinkedRole", "role/aws-service-role/*"): "once in an account's life",
    },
}


@dataclass(frozen=True)
class Life:
    """What a full life of the system has left: of each role what it was refused, and has used."""

    refused: dict[str, list[Asked]]
    unused: dict[str, set[Grant]]
    trouble: list[BaseException]


@pytest.fixture(scope="module")
def account(tmp_path_factory: pytest.TempPathFactory) -> Iterator[GuardedAccount]:
    with guarded(tmp_path_factory.mktemp("guarded")) as account:
        yield account


@pytest.fixture(scope="module")
def life(account: GuardedAccount, tmp_path_factory: pytest.TempPathFactory) -> Life:
    guard = account.guard
    try:
        live(account, tmp_path_factory.mktemp("life"))
    except Exception as error:
        error.add_note(f"not permitted: {guard.refused(*ROLES)}")
        raise
    return Life(
        {name: guard.refused(name) for name in ROLES},
        {name: tier.granted - guard.used(name) for name, tier in account.tiers.items()},
        list(guard.trouble),
    )


# The first test, as the long poll of a web process that ran may still take a dead letter.
def test_redriving_needs_what_the_scripts_help_says(
    account: GuardedAccount, capsys: pytest.CaptureFixture[str]
) -> None:
    # given an image that failed, another in the dead-letter queue...
    place = account.place
    failed, dead = answer_dead(place), leave_dead(place)

    # ...and somebody who may do what a worker may, and what the help adds to that
    settings = place.settings
    buckets = [f"arn:aws:s3:::{name}" for name in (settings.input_bucket, settings.results_bucket)]
    queues = [arn("sqs", f"{PREFIX}-{name}") for name in ("requests", "requests-dead")]
    calls = [f"sqs:{name}" for name in re.findall(r"\w+(?:Message|Url)", redrive.HELP)]
    more = [allow("s3:ListBucket", buckets), *(allow(call, queues) for call in calls)]
    policies = [*account.tiers["worker"].policies, {"Version": "2012-10-17", "Statement": more}]
    operator = account.add_role("operator", policies)

    with operator.acting():
        left = redrive.main([])

    said = capsys.readouterr()
    assert left == 0, said.err
    assert {request.job for request in place.queued()} == {failed, dead}
    assert account.guard.refused("operator") == []


def allow(action: str, resources: list[str]) -> dict[str, Any]:
    """Return a statement."""
    name = action.replace(":", "")
    return {"Sid": name, "Effect": "Allow", "Action": action, "Resource": resources}


@pytest.mark.parametrize("role", ROLES)
def test_a_role_permits_all_that_a_full_life_needs(life: Life, role: str) -> None:
    assert life.refused[role] == []


@pytest.mark.parametrize("role", ROLES)
def test_a_role_permits_nothing_that_a_full_life_does_not_need(life: Life, role: str) -> None:
    unused = {(each.action, each.resource.rpartition(":")[2]) for each in life.unused[role]}

    assert unused == set(UNUSED[role])


def test_the_emulator_and_the_rules_of_these_tests_judge_alike(life: Life) -> None:
    assert life.trouble == []


@pytest.mark.parametrize("by_run", [False, True], ids=["fleet", "run"])
def test_the_policy_in_the_docs_is_enough_to_scale(account: GuardedAccount, by_run: bool) -> None:
    section = DOCS.read_text().partition("## What the scaler may do")[2]
    (text, *_) = re.findall(r"```json\n(.*?)```", section, re.DOTALL)
    text = text.replace(
        "arn:aws:iam::123456789012:role/imagefleet-worker", account.tiers["worker"].arn
    )
    text = re.sub(r'"imagefleet"', f'"{PREFIX}"', text)
    told = outputs()
    first, second = told["WorkerSubnets"].split(",")
    for placeholder, name in (
        ("lt-0123456789abcdef0", told["WorkerTemplate"]),
        ("sg-0123456789abcdef0", told["WorkerSecurityGroup"]),
        ("subnet-0123456789abcdef0", first),
        ("subnet-0123456789abcdef1", second),
    ):
        assert placeholder in text
        text = text.replace(placeholder, name)
    documented = account.add_role(f"documented-{by_run}", [json.loads(text)])

    scale(documented, by_run=by_run)

    assert account.guard.refused(documented.name) == []


@dataclass(frozen=True)
class Stranger:
    """Somebody with a tier's credentials who tries what is none of the tier's business."""

    account: GuardedAccount
    role: str

    def client(self, service: str) -> Any:
        """Return a client with the tier's credentials."""
        return self.account.tiers[self.role].client(service)

    def put(self, bucket: str, key: str) -> Any:
        return self.client("s3").put_object(Bucket=self.bucket(bucket), Key=key, Body=b"...")

    def get(self, bucket: str, key: str) -> Any:
        return self.client("s3").get_object(Bucket=self.bucket(bucket), Key=key)

    def delete(self, bucket: str, key: str) -> Any:
        return self.client("s3").delete_object(Bucket=self.bucket(bucket), Key=key)

    def send(self, queue: str) -> Any:
        return self.client("sqs").send_message(QueueUrl=self.queue(queue), MessageBody="...")

    def receive(self, queue: str) -> Any:
        return self.client("sqs").receive_message(QueueUrl=self.queue(queue))

    def secret(self) -> Any:
        return self.client("ssm").get_parameter(Name=f"/{PREFIX}/web/keys.txt", WithDecryption=True)

    def pull(self, image: str) -> Any:
        return self.client("ecr").batch_get_image(
            repositoryName=f"{PREFIX}/imagefleet-{image}", imageIds=[{"imageTag": TAG}]
        )

    def take(self, role: str) -> Any:
        arn = self.account.tiers[role].arn
        return self.client("sts").assume_role(RoleArn=arn, RoleSessionName="stranger")

    def launch(self, **changes: Any) -> Any:
        return made(self.client("ec2"), specification(PREFIX), **changes)

    def end(self, instance: str) -> Any:
        return self.client("ec2").terminate_instances(InstanceIds=[instance])

    def bucket(self, name: str) -> str:
        settings = self.account.place.settings
        return {"input": settings.input_bucket, "results": settings.results_bucket}[name]

    def queue(self, name: str) -> str:
        return f"{self.account.endpoint}/000000000000/{PREFIX}-{name}"


def specification(fleet: str, *more: str) -> list[Any]:
    """Return what tags an instance as one of a fleet, and maybe others."""
    pairs = [{"Key": tags.FLEET, "Value": fleet}]
    return [{"ResourceType": kind, "Tags": pairs} for kind in ("instance", *more)]


@pytest.fixture
def worker_instance(account: GuardedAccount) -> str:
    """An instance of the fleet."""
    return made(boto3.client("ec2"), specification(PREFIX))


@dataclass(frozen=True)
class Templates:
    """What makes a launch one by the workers' template, or by the web host's; and their profiles.

    Attributes:
        profile: the web host's.
        elsewhere: a subnet and a security group of another network.
    """

    ours: dict[str, Any]
    hosts: dict[str, Any]
    profile: dict[str, Any]
    elsewhere: tuple[str, str]


@pytest.fixture(scope="module")
def templates(account: GuardedAccount) -> Templates:
    def by(template: str) -> dict[str, Any]:
        subnet = outputs()["WorkerSubnets"].partition(",")[0]
        return {
            "LaunchTemplate": {"LaunchTemplateName": template, "Version": "1"},
            "SubnetId": subnet,
        }

    ec2 = boto3.client("ec2")
    (version,) = ec2.describe_launch_template_versions(
        LaunchTemplateName=f"{PREFIX}-web", Versions=["1"]
    )["LaunchTemplateVersions"]
    profile = version["LaunchTemplateData"]["IamInstanceProfile"]["Arn"].rpartition("/")[2]
    vpc = ec2.create_vpc(CidrBlock="10.99.0.0/16")["Vpc"]["VpcId"]
    subnet = ec2.create_subnet(VpcId=vpc, CidrBlock="10.99.0.0/24")["Subnet"]["SubnetId"]
    group = ec2.create_security_group(GroupName="other", Description="other", VpcId=vpc)["GroupId"]
    return Templates(
        by(f"{PREFIX}-worker"), by(f"{PREFIX}-web"), {"Name": profile}, (subnet, group)
    )


NONE_OF_ITS_BUSINESS: list[tuple[str, str, Callable[[Stranger], Any]]] = [
    ("worker", "deletes an image", lambda one: one.delete("input", "a/1")),
    ("worker", "replaces an image", lambda one: one.put("input", "a/1")),
    ("worker", "deletes a result", lambda one: one.delete("results", "a/1")),
    ("worker", "writes the scaler's lease", lambda one: one.put("results", LEASE)),
    ("worker", "queues a request", lambda one: one.send("requests")),
    ("worker", "reads dead letters", lambda one: one.receive("requests-dead")),
    ("worker", "reads replies", lambda one: one.receive("replies-test")),
    ("worker", "reads telemetry", lambda one: one.receive("telemetry")),
    ("worker", "reads the keys", lambda one: one.secret()),
    ("worker", "pulls the web tier's image", lambda one: one.pull("web")),
    ("worker", "launches an instance", lambda one: one.launch()),
    ("worker", "takes the scaler's role", lambda one: one.take("scaler")),
    ("web", "writes the scaler's lease", lambda one: one.put("results", LEASE)),
    ("web", "deletes the scaler's lease", lambda one: one.delete("results", LEASE)),
    ("web", "receives requests", lambda one: one.receive("requests")),
    ("web", "reads telemetry", lambda one: one.receive("telemetry")),
    ("web", "reads the keys", lambda one: one.secret()),
    ("web", "launches an instance", lambda one: one.launch()),
    ("web", "takes the scaler's role", lambda one: one.take("scaler")),
    ("web", "pulls an image", lambda one: one.pull("web")),
    ("scaler", "reads an image", lambda one: one.get("input", "a/1")),
    ("scaler", "deletes an image", lambda one: one.delete("input", "a/1")),
    ("scaler", "reads a result", lambda one: one.get("results", "a/1.json")),
    ("scaler", "writes a result", lambda one: one.put("results", "a/1.json")),
    ("scaler", "receives requests", lambda one: one.receive("requests")),
    ("scaler", "queues a request", lambda one: one.send("requests")),
    ("scaler", "reads the keys", lambda one: one.secret()),
    ("scaler", "takes the web tier's role", lambda one: one.take("web")),
    ("host", "reads an image", lambda one: one.get("input", "a/1")),
    ("host", "receives requests", lambda one: one.receive("requests")),
    ("host", "launches an instance", lambda one: one.launch()),
    ("host", "takes the workers' role", lambda one: one.take("worker")),
    ("host", "pulls the workers' image", lambda one: one.pull("worker")),
]


@pytest.mark.parametrize(
    ("role", "deed"),
    [(role, deed) for role, _, deed in NONE_OF_ITS_BUSINESS],
    ids=[f"{role} {what}" for role, what, _ in NONE_OF_ITS_BUSINESS],
)
def test_what_is_none_of_a_tiers_business_is_refused(
    account: GuardedAccount, role: str, deed: Callable[[Stranger], Any]
) -> None:
    with refusal():
        deed(Stranger(account, role))


@pytest.mark.parametrize("role", ["worker", "web", "host"])
def test_nobody_but_the_scaler_ends_an_instance(
    account: GuardedAccount, worker_instance: str, role: str
) -> None:
    with refusal():
        Stranger(account, role).end(worker_instance)

    assert worker_instance in instances()


ONLY_OURS: list[tuple[str, Callable[[Stranger, Templates], Any]]] = [
    (
        "an instance without the fleet's tag",
        lambda one, template: made(one.client("ec2"), [], **template.ours),
    ),
    (
        "an instance for another fleet",
        lambda one, template: made(one.client("ec2"), specification("other"), **template.ours),
    ),
    (
        "a fleet of instances without its tag",
        lambda one, template: fleet(one, template.ours, specification("other", "fleet")),
    ),
    (
        "an instance with another role",
        lambda one, template: changed(one, template, IamInstanceProfile=template.profile),
    ),
    (
        "an instance of another type",
        lambda one, template: changed(one, template, InstanceType="p5.48xlarge"),
    ),
    (
        "an instance in another network",
        lambda one, template: changed(one, template, SubnetId=template.elsewhere[0]),
    ),
    (
        "an instance that others can reach",
        lambda one, template: changed(one, template, SecurityGroupIds=[template.elsewhere[1]]),
    ),
    (
        "an instance by another template",
        lambda one, template: made(
            one.client("ec2"), specification(PREFIX, "volume"), **template.hosts
        ),
    ),
    (
        "a fleet of instances by another template",
        lambda one, template: fleet(one, template.hosts, specification(PREFIX, "fleet")),
    ),
]


def changed(one: Stranger, template: Templates, **changes: Any) -> str:
    """Launch an instance as the scaler may, but for something."""
    launch = template.ours | changes
    return made(one.client("ec2"), specification(PREFIX, "volume"), **launch)


@pytest.mark.parametrize(
    "deed", [deed for _, deed in ONLY_OURS], ids=[what for what, _ in ONLY_OURS]
)
def test_the_scaler_can_not_launch(
    account: GuardedAccount, templates: Templates, deed: Callable[[Stranger, Templates], Any]
) -> None:
    before = machines()

    with refusal():
        deed(Stranger(account, "scaler"), templates)

    assert machines() == before


def test_the_scaler_launches_what_has_its_tag_and_the_workers_role(
    account: GuardedAccount, templates: Templates
) -> None:
    ec2 = account.tiers["scaler"].client("ec2")

    assert made(ec2, specification(PREFIX, "volume"), **templates.ours) in instances()


@pytest.mark.parametrize("does", ["terminate", "stop", "start"])
@pytest.mark.parametrize(
    "marks",
    [[], specification("other"), [{"ResourceType": "instance", "Tags": HOST_MARK}]],
    ids=["no", "other", "host"],
)
def test_the_scaler_does_nothing_to_instances_without_its_tag(
    account: GuardedAccount, worker_instance: str, marks: list[Any], does: str
) -> None:
    other = made(boto3.client("ec2"), marks)
    call = getattr(account.tiers["scaler"].client("ec2"), f"{does}_instances")

    with refusal():
        call(InstanceIds=[worker_instance, other])

    assert {worker_instance, other} <= machines()
    call(InstanceIds=[worker_instance])


def test_the_scaler_gives_its_tag_to_nothing_that_is_there(account: GuardedAccount) -> None:
    other = made(boto3.client("ec2"), [])
    pair = {"Key": tags.FLEET, "Value": PREFIX}

    with refusal():
        account.tiers["scaler"].client("ec2").create_tags(Resources=[other], Tags=[pair])

    assert other not in instances()


def test_who_comes_without_tls_is_refused_whatever_the_role_permits(
    account: GuardedAccount,
) -> None:
    session, web = account.tiers["web"].session, Stranger(account, "web")
    plain: Any = session.client("s3", endpoint_url=account.endpoint)
    bucket = web.bucket("results")
    web.put("results", "notes/a")

    with refusal("explicit deny in a resource-based policy"):
        plain.get_object(Bucket=bucket, Key="notes/a")

    assert web.get("results", "notes/a")["Body"].read() == b"..."


def fleet(one: Stranger, launch: dict[str, Any], marks: list[Any]) -> Any:
    """Launch an instance as the scaler does, but for what it is told."""
    return one.client("ec2").create_fleet(
        Type="instant",
        LaunchTemplateConfigs=[
            {
                "LaunchTemplateSpecification": launch["LaunchTemplate"],
                "Overrides": [{"SubnetId": launch["SubnetId"]}],
            }
        ],
        TargetCapacitySpecification={
            "TotalTargetCapacity": 1,
            "DefaultTargetCapacityType": "on-demand",
        },
        TagSpecifications=marks,
    )


def machines() -> set[str]:
    """Return the ids of all instances there are."""
    found = boto3.client("ec2").describe_instances()["Reservations"]
    return {
        each["InstanceId"]
        for group in found
        for each in group["Instances"]
        if each["State"]["Name"] != "terminated"
    }


def refusal(why: str | None = None) -> Any:
    """Expect AWS to say that this is not permitted."""
    return pytest.raises(
        ClientError, match=why, check=lambda told: told.response["Error"]["Code"] in REFUSALS
    )
