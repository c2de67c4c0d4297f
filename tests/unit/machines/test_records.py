"""EC2's records by boto3's own client, over moto; credentials likewise."""

from __future__ import annotations

import base64
import json
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import boto3
import pytest
from moto import mock_aws

from imagefleet_machines.imds.credentials import CredentialsError, RoleCredentials
from imagefleet_machines.records import FLEET_TAG, VERSION_TAG, Ec2Records, RecordsError

AMI = "ami-12c6146b"
USER_DATA = b"#cloud-config\n"


@pytest.fixture
def aws(monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    """A session of an account in memory."""
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.setenv(name, "test")
    monkeypatch.delenv("AWS_ENDPOINT_URL", raising=False)
    with mock_aws():
        yield boto3.Session(region_name="us-east-1")


@pytest.fixture
def ec2(aws: Any) -> Any:
    """EC2 with a launch template of two versions, the first with user data."""
    ec2 = aws.client("ec2")
    first = {"UserData": base64.b64encode(USER_DATA).decode(), "InstanceType": "t3.micro"}
    ec2.create_launch_template(LaunchTemplateName="imagefleet-worker", LaunchTemplateData=first)
    ec2.create_launch_template_version(
        LaunchTemplateName="imagefleet-worker", LaunchTemplateData={"InstanceType": "t3.small"}
    )
    return ec2


@pytest.fixture
def records(ec2: Any) -> Ec2Records:
    return Ec2Records(ec2, "imagefleet", "imagefleet-worker")


def launch(ec2: Any, fleet: str, version: str = "1") -> str:
    tags = [{"Key": FLEET_TAG, "Value": fleet}, {"Key": VERSION_TAG, "Value": version}]
    (found,) = ec2.run_instances(
        ImageId=AMI,
        MinCount=1,
        MaxCount=1,
        TagSpecifications=[{"ResourceType": "instance", "Tags": tags}],
    )["Instances"]
    instance: str = found["InstanceId"]
    return instance


def test_only_the_fleets_own_instances_are_listed(ec2: Any, records: Ec2Records) -> None:
    ours = launch(ec2, "imagefleet")
    launch(ec2, "other")

    (found,) = records.list()

    assert (found.id, found.state, found.version) == (ours, "running", "1")
    assert found.image_id == AMI


def test_what_was_terminated_is_told_so(ec2: Any, records: Ec2Records) -> None:
    instance = launch(ec2, "imagefleet")

    records.terminate(instance)

    assert [each.state for each in records.list()] == ["terminated"]


def test_terminating_what_is_not_there_is_no_error(records: Ec2Records) -> None:
    records.terminate("i-0123456789abcdef0")


def test_a_version_that_is_no_number_is_none(ec2: Any, records: Ec2Records) -> None:
    launch(ec2, "imagefleet", version="$Latest; rm")

    assert [each.version for each in records.list()] == [""]


def test_user_data_are_those_of_the_version(records: Ec2Records) -> None:
    assert records.template("1").user_data == USER_DATA
    assert records.template("2").user_data == b""
    assert records.template("").user_data == b""


def test_a_template_that_is_missing_is_said_in_a_line(ec2: Any) -> None:
    with pytest.raises(RecordsError, match="reading no-such"):
        Ec2Records(ec2, "imagefleet", "no-such").template("1")


def test_credentials_are_kept_until_shortly_before_they_end(aws: Any) -> None:
    iam, now = aws.client("iam"), datetime.now(UTC)
    profile = profile_of(iam)
    credentials = RoleCredentials(iam, aws.client("sts"), lambda: now)

    first = credentials.document(profile, "i-0123456789abcdef0")
    assert credentials.document(profile, "i-0123456789abcdef0") == first
    now += timedelta(minutes=55)
    renewed = credentials.document(profile, "i-0123456789abcdef0")

    assert json.loads(first)["Code"] == "Success"
    assert json.loads(renewed)["AccessKeyId"] != json.loads(first)["AccessKeyId"]
    assert credentials.role(profile) == "worker"


def test_a_profile_that_is_missing_is_said_in_a_line(aws: Any) -> None:
    credentials = RoleCredentials(aws.client("iam"), aws.client("sts"))

    with pytest.raises(CredentialsError, match="looking at no-such"):
        credentials.role("arn:aws:iam::000000000000:instance-profile/no-such")


def profile_of(iam: Any) -> str:
    policy = {"Version": "2012-10-17", "Statement": []}
    iam.create_role(RoleName="worker", AssumeRolePolicyDocument=json.dumps(policy))
    profile = iam.create_instance_profile(InstanceProfileName="worker")["InstanceProfile"]
    iam.add_role_to_instance_profile(InstanceProfileName="worker", RoleName="worker")
    arn: str = profile["Arn"]
    return arn
