"""CloudFormation may do in the deployer's name all that its own code for our resources does."""

from __future__ import annotations

import json
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any

import pytest

import filled
from iam_policy import Asked, allowing
from refusals import schema

POLICY = json.loads((Path(__file__).parents[3] / "infra/deployer-policy.json").read_text())
TYPES = sorted(
    {
        each["Type"]
        for body in (filled.fleet(), filled.data())
        for each in body["Resources"].values()
    }
)
# What that code does for properties that none of our resources has.
UNUSED = {
    "*:vpc-lattice:*",
    "*:vpce:*",  # endpoints across regions
    "*:managed-fleets:*",
    "*:kms:*",
    "*:cognito-idp:*",
    "*:firehose:*",
    "*:s3tables:*",
    "AWS::AutoScaling::AutoScalingGroup:ec2:Get*",  # what a template that it makes itself needs
    "AWS::AutoScaling::AutoScalingGroup:ssm:Get*",
    "AWS::EC2::VPCGatewayAttachment:ec2:*VpnGateway",
    "AWS::IAM::Policy:iam:*GroupPolicy",
    "AWS::IAM::Policy:iam:*UserPolicy",
    "AWS::IAM::Role:iam:*PermissionsBoundary",
    "AWS::Logs::LogGroup:logs:*DataProtectionPolicy",
    "AWS::Logs::LogGroup:logs:*IndexPolicy",
    "AWS::Logs::LogGroup:logs:*KmsKey",
    "AWS::Logs::LogGroup:logs:*LogDelivery",
    "AWS::Logs::LogGroup:logs:*ResourcePolicy",
    "AWS::Logs::LogGroup:logs:PutBearerTokenAuthentication",
    "AWS::Logs::LogGroup:s3:REST.PUT.OBJECT",
    "AWS::S3::Bucket:s3:PutObjectAcl",
}
# Stand-ins for what these services' actions are on, where the policy limits that by name.
ON = {
    "ecr": "arn:aws:ecr:us-east-1:123456789012:repository/imagefleet/imagefleet-web",
    "s3": "arn:aws:s3:::imagefleet-input-123456789012-us-east-1",
    "sns": "arn:aws:sns:us-east-1:123456789012:imagefleet-alarms",
    "sqs": "arn:aws:sqs:us-east-1:123456789012:imagefleet-requests",
}


@pytest.mark.parametrize("kind", TYPES)
def test_cloudformation_may_do_all_that_a_type_of_resource_needs(kind: str) -> None:
    assert {each for each in needed(kind) if not unused(kind, each) and not may(each)} == set()


def test_each_excuse_is_needed() -> None:
    refused = {f"{kind}:{each}" for kind in TYPES for each in needed(kind) if not may(each)}

    assert {
        form for form in UNUSED if not any(fnmatchcase(each, form) for each in refused)
    } == set()


@pytest.mark.parametrize("tag", ["imagefleet:fleet", "imagefleet:host"])
def test_destroy_may_end_workers_and_web_hosts_of_this_system_alone(tag: str) -> None:
    instance = "arn:aws:ec2:us-east-1:123456789012:instance/i-0123456789abcdef0"

    def may_end(**tags: str) -> bool:
        context = {f"aws:ResourceTag/{name}": value for name, value in tags.items()}
        return bool(allowing([POLICY], Asked("ec2:TerminateInstances", instance, context)))

    assert may_end(**{tag: "imagefleet"})
    assert not may_end(**{tag: "another"})
    assert not may_end(Name="imagefleet-web")


def needed(kind: str) -> set[str]:
    """Return the actions by which CloudFormation makes, reads, changes, tags and deletes one."""
    about: dict[str, Any] = schema(kind)
    found: set[str] = set(about.get("tagging", {}).get("permissions", ()))
    for handler, does in about.get("handlers", {}).items():
        if handler != "list":  # for other tools
            found |= set(does["permissions"])
    assert found, f"{kind}: its schema doesn't say"
    return found


def unused(kind: str, action: str) -> bool:
    """Whether an action is for properties that none of our resources has."""
    return any(fnmatchcase(f"{kind}:{action}", form) for form in UNUSED)


def may(action: str) -> bool:
    """Whether CloudFormation may do something in the deployer's name, on one thing of ours."""
    service = action.partition(":")[0]
    resources = [ON.get(service, "*")]
    if service == "iam":
        resources = [
            f"arn:aws:iam::123456789012:{each}"
            for each in (
                "role/imagefleet-fleet-WebRole-1",
                "instance-profile/imagefleet-fleet-A-1",
                "role/aws-service-role/autoscaling.amazonaws.com/AWSServiceRoleForAutoScaling",
            )
        ]
    context = {
        "aws:CalledVia": "cloudformation.amazonaws.com",
        "iam:AWSServiceName": "autoscaling.amazonaws.com",
    }
    return any(allowing([POLICY], Asked(action, each, context)) for each in resources)
