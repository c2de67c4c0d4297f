"""An emulated account that enforces IAM, with a system that `scripts/deploy` has put there."""

from __future__ import annotations

import io
import json
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, redirect_stderr, redirect_stdout
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar, cast

import boto3
import pytest

import iam_guard
from iam_calls import ACCOUNT, REGION
from iam_ec2 import Ec2Rules
from iam_guard import Guard, Role
from iam_policy import Document, Grant, grants
from imagefleet_core.aws import Aws
from imagefleet_core.settings import Settings
from imagefleet_scripts import emulator
from imagefleet_scripts.deploy import __main__ as deploy
from imagefleet_scripts.deploy.account import IMAGES
from place import Place, place_at

T = TypeVar("T")

PREFIX, TAG = "guarded", "1.0"
AMI, AMI_PARAMETER = "ami-0123456789abcdef0", "/test/debian"
# MiniStack has neither elastic addresses in templates nor Debian's own parameter.
EMULATED = ("--parameter", f"DebianAmi={AMI_PARAMETER}", "--parameter", "ElasticIp=false")
ROOT = {"AWS_ACCESS_KEY_ID": "test", "AWS_SECRET_ACCESS_KEY": "test"}
# The resources of infra/fleet.yaml, and who hands out the role: EC2 itself, or the web host.
ROLES = {
    "worker": "WorkerRole",
    "host": "WebHostRole",
    "web": "WebRole",
    "scaler": "ScalerRole",
}
# What MiniStack takes for actions of their own is permitted on AWS by these.
BATCHES = {
    "sqs:SendMessage": "sqs:SendMessageBatch",
    "sqs:DeleteMessage": "sqs:DeleteMessageBatch",
    "sqs:ChangeMessageVisibility": "sqs:ChangeMessageVisibilityBatch",
}


@dataclass
class Tier:
    """A role of the system, and credentials of a session that has taken it.

    Attributes:
        environ: boto3's variables for a process of the tier.
    """

    name: str
    arn: str
    policies: list[Document]
    environ: dict[str, str] = field(default_factory=dict)
    _clients: dict[str, Any] = field(default_factory=dict)

    @property
    def session(self) -> boto3.Session:
        """A session of the tier's, for calls that no process makes by itself."""
        return boto3.Session(
            self.environ["AWS_ACCESS_KEY_ID"],
            self.environ["AWS_SECRET_ACCESS_KEY"],
            self.environ["AWS_SESSION_TOKEN"],
            REGION,
        )

    def client(self, service: str) -> Any:
        """Return a client of the tier's; it goes through the guard."""
        if service not in self._clients:
            guard = self.environ["AWS_ENDPOINT_URL"]
            self._clients[service] = self.session.client(service, endpoint_url=guard)  # type: ignore[call-overload]
        return self._clients[service]

    @contextmanager
    def acting(self) -> Iterator[None]:
        """Give this process the tier's environment, as a process of the tier has it."""
        with pytest.MonkeyPatch.context() as patched:
            for name, value in self.environ.items():
                patched.setenv(name, value)
            yield

    def our(self, make: Callable[[Aws], T]) -> T:
        """Return a client of our own making."""
        with self.acting():
            return make(Aws())

    @property
    def granted(self) -> set[Grant]:
        """All that the tier may do."""
        return {grant for each in self.policies for grant in grants(each)}


@dataclass
class GuardedAccount:
    """The account, and who is in it.

    Attributes:
        place: buckets and queues, as root sees them; what it starts goes through the guard.
        tiers: by their names; `environ` is the environment that makes a process one of them.
    """

    endpoint: str
    guard: Guard
    place: Place
    tiers: dict[str, Tier]

    @property
    def stack_id(self) -> str:
        """The id of the stack of machines."""
        name = f"{PREFIX}-fleet"
        (found,) = boto3.client("cloudformation").describe_stacks(StackName=name)["Stacks"]
        return found["StackId"]

    def add_role(self, name: str, policies: Sequence[Document]) -> Tier:
        """Make a role that root may take, and take it."""
        trusted = {"Effect": "Allow", "Principal": {"AWS": ACCOUNT}, "Action": "sts:AssumeRole"}
        iam = boto3.client("iam")
        iam.create_role(RoleName=name, AssumeRolePolicyDocument=_document([trusted]))
        for number, policy in enumerate(policies):
            document = _document(policy["Statement"])
            iam.put_role_policy(RoleName=name, PolicyName=str(number), PolicyDocument=document)
        made = _tier(name, name)
        environ = self.tiers["worker"].environ
        made.environ = environ | _taken(boto3.client("sts"), made, self.guard)
        return made


@contextmanager
def guarded(folder: Path) -> Iterator[GuardedAccount]:
    """Start an emulator, deploy to it, and take the roles; this process is root meanwhile."""
    with pytest.MonkeyPatch.context() as patched:
        patched.setenv("AUTH", "true")
        started = emulator.start(folder / "emulator", keep=False)
        try:
            for name, value in (started.environment | ROOT).items():
                patched.setenv(name, value)
            patched.setattr(boto3, "DEFAULT_SESSION", None)
            boto3.client("ssm").put_parameter(Name=AMI_PARAMETER, Value=AMI, Type="String")
            deploy_to(PREFIX, folder)
            with _entered(started.endpoint, folder) as account:
                yield account
        finally:
            started.process.terminate()
            started.process.wait(10)


@contextmanager
def _entered(endpoint: str, folder: Path) -> Iterator[GuardedAccount]:
    rules = Ec2Rules(boto3.client("ec2"), boto3.client("iam"))
    with Guard(endpoint, rules.needed) as guard:
        stack = _resources(f"{PREFIX}-fleet")
        tiers = {name: _tier(name, stack[logical]) for name, logical in ROLES.items()}
        buckets = _resources(f"{PREFIX}-data")
        ours = {
            "AWS_ENDPOINT_URL": guard.url,
            "AWS_DEFAULT_REGION": REGION,
            "NO_PROXY": "127.0.0.1",
            "IMAGEFLEET_PREFIX": PREFIX,
            "IMAGEFLEET_INPUT_BUCKET_NAME": buckets["InputBucket"],
            "IMAGEFLEET_RESULTS_BUCKET_NAME": buckets["ResultsBucket"],
            "IMAGEFLEET_SUBNETS": outputs()["WorkerSubnets"],
        }
        for name in ("worker", "host"):  # EC2 hands these out, and only root may stand in for it
            tiers[name].environ = ours | _taken(boto3.client("sts"), tiers[name], guard)
        for name in ("web", "scaler"):
            tiers[name].environ = ours | _taken(tiers["host"].client("sts"), tiers[name], guard)
        settings = Settings(
            prefix=PREFIX,
            input_bucket_name=buckets["InputBucket"],
            results_bucket_name=buckets["ResultsBucket"],
        )
        # The tests themselves go past the guard, as root.
        root = ROOT | {"AWS_ENDPOINT_URL": endpoint, "AWS_DEFAULT_REGION": REGION}
        with place_at(root, folder, settings, endpoint=guard.url) as place:
            yield GuardedAccount(endpoint, guard, place, tiers)


def _tier(name: str, role: str) -> Tier:
    """Return a role with its policies, before any of them is changed for the emulator's sake."""
    iam = boto3.client("iam")
    policies = [
        cast(Document, iam.get_role_policy(RoleName=role, PolicyName=each)["PolicyDocument"])
        for each in iam.list_role_policies(RoleName=role)["PolicyNames"]
    ]
    extra = [each for policy in policies for each in _for_the_emulator(policy)]
    if extra:
        iam.put_role_policy(RoleName=role, PolicyName="emulator", PolicyDocument=_document(extra))
    return Tier(name, iam.get_role(RoleName=role)["Role"]["Arn"], policies)


def _document(statements: Sequence[Document]) -> str:
    return json.dumps({"Version": "2012-10-17", "Statement": list(statements)})


def _for_the_emulator(policy: Document) -> Iterator[dict[str, Any]]:
    """Yield what a policy lacks for MiniStack to allow what AWS allows by it."""
    for grant in grants(policy):
        action, resource = grant.action, grant.resource
        if action in BATCHES:
            action = BATCHES[action]
        elif action.startswith("logs:"):  # AWS takes a group's ARN with ":*"
            resource = resource.removesuffix(":*")
        elif iam_guard.LEFT_TO_IT.match(action):
            resource = "*"
        else:
            continue
        yield {"Effect": "Allow", "Action": action, "Resource": resource}


def _taken(sts: Any, tier: Tier, guard: Guard) -> dict[str, str]:
    """Take a role, and tell the guard whose calls these are."""
    taken = sts.assume_role(RoleArn=tier.arn, RoleSessionName=f"the-{tier.name}")["Credentials"]
    guard.know(taken["AccessKeyId"], Role(tier.name, tier.policies))
    return {
        "AWS_ACCESS_KEY_ID": taken["AccessKeyId"],
        "AWS_SECRET_ACCESS_KEY": taken["SecretAccessKey"],
        "AWS_SESSION_TOKEN": taken["SessionToken"],
    }


def deploy_to(prefix: str, folder: Path) -> None:
    """Deploy a version, from nothing."""
    secrets = folder / "secrets"
    secrets.mkdir()
    for name in ("keys.txt", "fullchain.pem", "privkey.pem"):
        (secrets / name).write_text(f"the {name} that nobody may see\n")
    run(deploy, prefix, *EMULATED)
    for image in IMAGES:
        boto3.client("ecr").put_image(
            repositoryName=f"{prefix}/imagefleet-{image}",
            imageTag=TAG,
            imageManifest=json.dumps({"config": {"digest": f"sha256:{image}"}}),
        )
    run(deploy, prefix, "--image", TAG, "--secrets", str(secrets))


def run(command: Any, prefix: str, *arguments: str) -> str:
    """Run a script, which has to succeed, and return what it said."""
    said = io.StringIO()
    with redirect_stdout(said), redirect_stderr(said):
        left = command.main(["--prefix", prefix, *arguments])
    assert left == 0, said.getvalue()
    return said.getvalue()


def outputs() -> dict[str, str]:
    """Return what the stack of machines tells."""
    found = boto3.client("cloudformation").describe_stacks(StackName=f"{PREFIX}-fleet")
    return {each["OutputKey"]: each["OutputValue"] for each in found["Stacks"][0]["Outputs"]}


def _resources(stack: str) -> dict[str, str]:
    found = boto3.client("cloudformation").describe_stack_resources(StackName=stack)
    return {
        each["LogicalResourceId"]: each["PhysicalResourceId"] for each in found["StackResources"]
    }
