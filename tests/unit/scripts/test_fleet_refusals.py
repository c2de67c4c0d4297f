"""Both templates have nothing that AWS itself would refuse, and that linters and emulators take."""

from __future__ import annotations

import base64
import json
import re
from collections.abc import Iterator, Mapping
from contextlib import nullcontext
from typing import Any

import pytest

import filled
from imagefleet_core.settings import Settings, SettingsError, load
from imagefleet_scripts.deploy import template
from refusals import CALLS, TEXTS, refused, schema

REGION = "ap-southeast-1"
BALANCED = {
    "ImageTag": "1.2.0",
    "WebHostCount": "10",
    "CertificateArn": f"arn:aws:acm:{REGION}:{filled.ACCOUNT}:certificate/1",
    "AlarmEmail": "who@pictures.example",
    "MonthlyBudgetUsd": "50",
}
GIVEN_NETWORK = {
    "VpcId": "vpc-0123456789abcdef0",
    "SubnetIds": ",".join(f"subnet-0123456789abcdef{n}" for n in range(6)),
    "RouteTableIds": "rtb-0123456789abcdef0",
}
LONGEST = {
    "Prefix": "a" * 25,
    "BucketSuffix": f"-{filled.ACCOUNT}-{REGION}",
    "ImageTag": "1" * 128,
    "WorkerInstanceTypes": ",".join(["m7i-flex.12xlarge"] * 12),
    "Settings": "A=" + "1" * (template.MAX_SETTINGS_BYTES - 2),
}
STACKS: dict[str, dict[str, str]] = {
    "as it comes": {},
    "a version runs": {"ImageTag": "1.2.0"},
    "behind a balancer": BALANCED,
    "in a given network": BALANCED | GIVEN_NETWORK,
    "with a GPU": {"ImageTag": "1", "WorkerGpu": "true", "WorkerAmi": "ami-0123456789abcdef0"},
    "with the longest names": BALANCED | GIVEN_NETWORK | LONGEST,
}
# https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_iam-quotas.html, without white space
MAX_INLINE_POLICIES, MAX_TRUST = 10_240, 2_048


def stack(about: str) -> dict[str, dict[str, Any]]:
    """Return the resources of the machines' stack in one of the ways above."""
    return filled.resources(filled.fleet(), region=REGION, **STACKS[about])


@pytest.mark.parametrize("about", STACKS)
def test_aws_refuses_nothing_of_the_machines(about: str) -> None:
    made = stack(about)

    found = {name: refused(each["Type"], each["Properties"]) for name, each in made.items()}
    assert {name: problems for name, problems in found.items() if problems} == {}


@pytest.mark.parametrize("given", [{}, {"AllowedOrigins": "https://a.example"}, LONGEST])
def test_aws_refuses_nothing_of_the_data(given: dict[str, str]) -> None:
    made = filled.resources(filled.data(), region=REGION, **given)

    assert {name: refused(each["Type"], each["Properties"]) for name, each in made.items()} == {
        name: [] for name in made
    }


def with_(kind: str, **changes: Any) -> tuple[str, dict[str, Any]]:
    """Return a resource of ours of a type, with some properties changed."""
    made = [*stack("behind a balancer").values(), *filled.resources(filled.data()).values()]
    about = next(each for each in made if each["Type"] == kind)
    return kind, about["Properties"] | changes


def rule(description: str) -> list[dict[str, Any]]:
    """Return what comes out of a security group, by a rule with a description."""
    return [{"IpProtocol": "tcp", "CidrIp": "0.0.0.0/0", "Description": description}]


@pytest.mark.parametrize(
    "broken",
    [
        with_("AWS::EC2::SecurityGroup", SecurityGroupEgress=rule("Debian's packages")),
        with_("AWS::EC2::SecurityGroup", GroupDescription="the web host’s"),
        with_(
            "AWS::ElasticLoadBalancingV2::LoadBalancer",
            Tags=[{"Key": "imagefleet:way-out", "Value": "rtb-1|0.0.0.0/0"}],
        ),
        with_("AWS::EC2::VPC", Tags=[{"Key": "aws:mine", "Value": "1"}]),
        with_("AWS::ElasticLoadBalancingV2::TargetGroup", Name="a" * 33),
        with_("AWS::ElasticLoadBalancingV2::TargetGroup", HealthCheckTimeoutSeconds="1"),
        with_("AWS::ElasticLoadBalancingV2::Listener", Protocol="HTTP/2"),
        with_("AWS::IAM::Role", Description="the worker’s"),
        with_("AWS::IAM::Role", Policies=[{"PolicyName": "two words", "PolicyDocument": {}}]),
        with_("AWS::CloudWatch::Alarm", Namespace=":Imagefleet"),
        with_("AWS::CloudWatch::Alarm", AlarmDescription="a" * 1025),
        with_("AWS::Logs::LogGroup", LogGroupName="image fleet"),
        with_("AWS::Logs::LogGroup", RetentionInDays="8"),
        with_("AWS::Logs::MetricFilter", FilterPattern="a" * 1025),
        with_("AWS::ECR::Repository", RepositoryName="Imagefleet/web"),
        with_("AWS::EC2::LaunchTemplate", LaunchTemplateName="the worker's"),
        with_("AWS::Budgets::Budget", Budget={"BudgetType": "MONEY", "TimeUnit": "MONTHLY"}),
        with_("AWS::SNS::Topic", TopicName="imagefleet alarms"),
        with_("AWS::SQS::Queue", QueueName="a" * 81),
        with_("AWS::SQS::Queue", VisibilityTimeout="43201"),
        with_("AWS::S3::Bucket", BucketName="a" * 64),
    ],
    ids=lambda broken: f"{broken[0]}",
)
def test_what_aws_refuses_is_seen_here(broken: tuple[str, dict[str, Any]]) -> None:
    assert refused(*broken)


def test_every_type_of_resource_is_held_against_the_call_that_makes_it() -> None:
    kinds = {each["Type"] for about in STACKS for each in stack(about).values()}

    # Calls of EC2's whose parameters no model limits.
    unlimited = {each for each in kinds if each.startswith("AWS::EC2::")}
    assert kinds - CALLS.keys() <= unlimited
    assert {kind for kind, _ in TEXTS if not kind.startswith("AWS::SQS")} <= kinds


def test_policies_and_user_data_fit_with_the_longest_names() -> None:
    made = stack("with the longest names")
    roles = {name: each for name, each in made.items() if each["Type"] == "AWS::IAM::Role"}
    sizes = {name: sum(map(size, each["Properties"]["Policies"])) for name, each in roles.items()}
    for each in made.values():
        if each["Type"] == "AWS::IAM::Policy":
            (role,) = each["Properties"]["Roles"]
            sizes[next(name for name in roles if f"-{name}-" in role)] += size(each["Properties"])

    assert max(sizes.values()) <= MAX_INLINE_POLICIES
    for each in roles.values():
        assert len(json.dumps(each["Properties"]["AssumeRolePolicyDocument"])) <= MAX_TRUST
    for name in ("WorkerTemplate", "WebHostTemplate"):
        text = base64.b64decode(made[name]["Properties"]["LaunchTemplateData"]["UserData"])
        assert len(text) <= template.MAX_USER_DATA_BYTES


def size(policy: Mapping[str, Any]) -> int:
    """Return what a policy counts for."""
    return len(re.sub(r"\s", "", json.dumps(policy["PolicyDocument"])))


def test_nothing_with_a_name_of_ours_has_to_be_replaced_when_a_parameter_changes() -> None:
    # CloudFormation makes the new one before the old one goes, and AWS has no two of a name.
    for body in (filled.fleet(), filled.data()):
        for name, about in body["Resources"].items():
            fixed = {
                pointer.removeprefix("/properties/").split("/")[-1]: found
                for pointer in schema(about["Type"]).get("createOnlyProperties", ())
                if (found := at(about.get("Properties", {}), pointer)) is not None
            }
            ours = {each for each in fixed if each.endswith("Name") and each not in OF_OTHERS}
            if ours:
                others = {each: value for each, value in fixed.items() if each not in ours}
                assert {each for each in others if changing(body, others[each])} == set(), name


# Names of what is there already.
OF_OTHERS = {"ServiceName", "LogGroupName"}
FOR_EVER = {"Prefix", "BucketSuffix"}


def at(properties: Any, pointer: str) -> Any:
    """Return the property that a schema points to, None if there is none."""
    for part in pointer.removeprefix("/properties/").split("/"):
        properties = properties.get(part) if isinstance(properties, dict) else None
    return properties


def changing(body: Mapping[str, Any], value: Any) -> bool:
    """Whether a value depends on a parameter that may change in a system's life."""
    return bool(set(named(value)) & (body["Parameters"].keys() - FOR_EVER))


def named(value: Any) -> Iterator[str]:
    """Yield all names in a value."""
    if isinstance(value, dict):
        for key, each in value.items():
            if key == "Ref":
                yield each
            yield from named(each)
    elif isinstance(value, list):
        for each in value:
            yield from named(each)
    elif isinstance(value, str):
        yield from re.findall(r"\$\{(\w+)\}", value)


@pytest.mark.parametrize(
    ("prefix", "taken"),
    [
        ("imagefleet", True),
        ("pix-2", True),
        ("2pix", False),  # no name of a stack
        ("pix-", False),
        ("Pix", False),
        ("ssm-pix", False),  # no name of a parameter
        ("awspix", False),
        ("sg-pix", False),  # no name of a security group
        ("xn--pix", False),  # no name of a bucket
        ("a" * 26, False),
    ],
)
def test_a_prefix_makes_names_that_aws_takes(prefix: str, *, taken: bool) -> None:
    for body in (filled.fleet(), filled.data()):
        pattern = body["Parameters"]["Prefix"]["AllowedPattern"]
        assert bool(re.fullmatch(pattern, prefix)) == taken
    # So that the scripts say so before they begin.
    with nullcontext() if taken else pytest.raises(SettingsError):
        load(Settings, {"IMAGEFLEET_PREFIX": prefix})
