"""Whoever has infra/deployer-policy.json and nothing else can deploy, look, upgrade and destroy."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import boto3
import pytest

from iam_account import TAG, GuardedAccount, Tier, deploy_to, guarded, run
from iam_calls import ACCOUNT, REGION
from iam_life import made
from iam_policy import Asked, allowing
from imagefleet_scripts.deploy import __main__ as deploy
from imagefleet_scripts.deploy import destroy, machines, push, status, template

pytestmark = pytest.mark.embedded

POLICY = Path(__file__).parents[2] / "infra/deployer-policy.json"
# https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_iam-quotas.html, without white space
MAX_POLICY_BYTES = 6144
PREFIX = "deployed"
BY_CLOUDFORMATION = {"aws:CalledVia": "cloudformation.amazonaws.com"}
# What the scripts themselves don't do: Docker pushes.
BY_DOCKER = {
    f"ecr:{call}"
    for call in (
        "BatchCheckLayerAvailability",
        "BatchGetImage",
        "CompleteLayerUpload",
        "GetAuthorizationToken",
        "GetDownloadUrlForLayer",
        "InitiateLayerUpload",
        "PutImage",
        "UploadLayerPart",
    )
}
# AWS's reference says that these are on a stack, and not how they are judged where only the ARN of
# the change set is given; so the policy has both.
BY_CHANGE_SET = {f"cloudformation:{call}ChangeSet" for call in ("Describe", "Execute", "Delete")}
# For S3's reference does not say whether deleting the version `null` in a bucket that never had
# versions is one of an object or of a version.
BY_NULL_VERSION = {"s3:DeleteObject"}
# By CloudFormation, in the deployer's name; and by AWS, once in an account's life.
OTHERS = {"CloudFormationMakesAnything", "CloudFormationMakesWhatHasOurName", "AwsMakesItsOwnRoles"}
# Of each type of resource a call that makes one, and on what, where that can be limited by name.
MAKES = {
    "AWS::AutoScaling::AutoScalingGroup": "autoscaling:CreateAutoScalingGroup",
    "AWS::Budgets::Budget": "budgets:ModifyBudget",
    "AWS::CloudWatch::Alarm": "cloudwatch:PutMetricAlarm",
    "AWS::EC2::EIP": "ec2:AllocateAddress",
    "AWS::EC2::InternetGateway": "ec2:CreateInternetGateway",
    "AWS::EC2::LaunchTemplate": "ec2:CreateLaunchTemplateVersion",
    "AWS::EC2::Route": "ec2:CreateRoute",
    "AWS::EC2::RouteTable": "ec2:CreateRouteTable",
    "AWS::EC2::SecurityGroup": "ec2:CreateSecurityGroup",
    "AWS::EC2::SecurityGroupIngress": "ec2:AuthorizeSecurityGroupIngress",
    "AWS::EC2::Subnet": "ec2:CreateSubnet",
    "AWS::EC2::SubnetRouteTableAssociation": "ec2:AssociateRouteTable",
    "AWS::EC2::VPC": "ec2:CreateVpc",
    "AWS::EC2::VPCEndpoint": "ec2:CreateVpcEndpoint",
    "AWS::EC2::VPCGatewayAttachment": "ec2:AttachInternetGateway",
    "AWS::ECR::Repository": "ecr:CreateRepository repository/{0}/imagefleet-web",
    "AWS::ElasticLoadBalancingV2::Listener": "elasticloadbalancing:CreateListener",
    "AWS::ElasticLoadBalancingV2::LoadBalancer": "elasticloadbalancing:CreateLoadBalancer",
    "AWS::ElasticLoadBalancingV2::TargetGroup": "elasticloadbalancing:CreateTargetGroup",
    "AWS::IAM::InstanceProfile": "iam:AddRoleToInstanceProfile instance-profile/{0}-fleet-A-1",
    "AWS::IAM::Policy": "iam:PutRolePolicy role/{0}-fleet-WebRole-1",
    "AWS::IAM::Role": "iam:CreateRole role/{0}-fleet-WebRole-1",
    "AWS::Logs::LogGroup": "logs:PutRetentionPolicy",
    "AWS::Logs::MetricFilter": "logs:PutMetricFilter",
    "AWS::S3::Bucket": "s3:PutLifecycleConfiguration {0}-input-000000000000-us-east-1",
    "AWS::S3::BucketPolicy": "s3:PutBucketPolicy {0}-input-000000000000-us-east-1",
    "AWS::SNS::Topic": "sns:CreateTopic {0}-alarms",
    "AWS::SQS::Queue": "sqs:CreateQueue {0}-requests",
    "AWS::SQS::QueuePolicy": "sqs:SetQueueAttributes {0}-requests",
}


def policy(prefix: str) -> dict[str, Any]:
    """Return the policy as somebody has it whose systems have another prefix."""
    text = re.sub(r'(?<=[:/"])imagefleet(?=[-/"])', prefix, POLICY.read_text())
    read: dict[str, Any] = json.loads(text)
    return read


@pytest.fixture(scope="module")
def account(tmp_path_factory: pytest.TempPathFactory) -> Iterator[GuardedAccount]:
    with guarded(tmp_path_factory.mktemp("guarded")) as account:
        yield account


@pytest.fixture(scope="module")
def deployer(account: GuardedAccount, tmp_path_factory: pytest.TempPathFactory) -> Tier:
    """Somebody who has deployed a system and destroyed it."""
    deployer = account.add_role("deployer", [policy(PREFIX)])
    with pytest.MonkeyPatch.context() as patched, deployer.acting():
        patched.setattr(machines, "POLL_S", 0.05)
        deploy_to(PREFIX, tmp_path_factory.mktemp("deployment"))
        leave_what_works()
        run(push, PREFIX, "--tag", TAG)
        run(deploy, PREFIX, "--plan", "--parameter", "LogDays=7")
        run(status, PREFIX)
        run(destroy, PREFIX, "--yes")
    return deployer


def leave_what_works() -> None:
    """Leave a host, a worker, a replies queue and an image, as a system does that works."""
    for mark in (machines.HOST_TAG, machines.WORKER_TAG):
        tags = [{"Key": mark, "Value": PREFIX}]
        made(boto3.client("ec2"), [{"ResourceType": "instance", "Tags": tags}])
    boto3.client("sqs").create_queue(QueueName=f"{PREFIX}-replies-1")
    bucket = f"{PREFIX}-input-{ACCOUNT}-{REGION}"
    boto3.client("s3").put_object(Bucket=bucket, Key="a/0001-a.jpg", Body=b"...")


def test_the_policy_permits_all_that_the_scripts_do(
    account: GuardedAccount, deployer: Tier
) -> None:
    assert account.guard.refused(deployer.name) == []
    assert account.guard.trouble == []


def test_the_policy_permits_nothing_that_the_scripts_do_not_do(
    account: GuardedAccount, deployer: Tier
) -> None:
    unused = deployer.granted - account.guard.used(deployer.name)

    excused = BY_DOCKER | BY_CHANGE_SET | BY_NULL_VERSION
    assert {each.action for each in unused if each.sid not in OTHERS} == excused


@pytest.mark.parametrize("kind", sorted(MAKES))
def test_cloudformation_may_make_it_and_the_deployer_alone_may_not(kind: str) -> None:
    action, _, name = MAKES[kind].partition(" ")
    service = action.partition(":")[0]
    ours, others = (f"arn:aws:{service}:::{name.format(each)}" for each in (PREFIX, "other"))
    if service in ("ecr", "sns", "sqs"):
        ours, others = (each.replace(":::", ":us-east-1:000000000000:") for each in (ours, others))
    elif service == "iam":
        ours, others = (each.replace(":::", "::000000000000:") for each in (ours, others))

    assert allowing([policy(PREFIX)], Asked(action, ours, BY_CLOUDFORMATION))
    assert not allowing([policy(PREFIX)], Asked(action, ours))
    assert not name or not allowing([policy(PREFIX)], Asked(action, others, BY_CLOUDFORMATION))


def test_every_type_of_resource_is_thought_of() -> None:
    types = set(re.findall(r"AWS::\w+::\w+(?=[\"'\s])", template.data() + template.fleet()))

    assert {each for each in types if not each.startswith("AWS::SSM")} - MAKES.keys() == set()


def test_the_policy_is_as_short_as_aws_wants_it() -> None:
    assert len(json.dumps(policy("a" * 25), separators=(",", ":"))) <= MAX_POLICY_BYTES
