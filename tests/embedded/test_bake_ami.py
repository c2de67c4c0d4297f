"""scripts/bake-ami over a deployed fleet, on an emulator, whose instances do nothing by themselves.

It has no consoles and makes no images, so all that can be baked here fails; moto's account in the
unit tests has both.
"""

from __future__ import annotations

import itertools
import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, cast

import boto3
import pytest

from imagefleet_scripts.bake_ami import __main__ as bake_ami
from imagefleet_scripts.bake_ami import images, machine, waiting
from imagefleet_scripts.deploy import __main__ as deploy
from imagefleet_scripts.deploy import destroy, machines

pytestmark = pytest.mark.embedded

NUMBERS = itertools.count(1)
AMI, AMI_PARAMETER, TAG = "ami-0123456789abcdef0", "/test/debian", "1.0"


def client(service: str) -> Any:
    """Return a client of the emulator."""
    return cast(Any, boto3).client(service)


@pytest.fixture(scope="module")
def prefix(ministack: str) -> Iterator[str]:
    """A system whose worker's image was pushed, and which is destroyed in the end."""
    name = f"bake-{next(NUMBERS)}"
    with pytest.MonkeyPatch.context() as patched:
        patched.setenv("AWS_ENDPOINT_URL", ministack)
        patched.setenv("AWS_DEFAULT_REGION", "us-east-1")
        patched.setenv("AWS_ACCESS_KEY_ID", "test")
        patched.setenv("AWS_SECRET_ACCESS_KEY", "test")
        patched.setattr(machines, "POLL_S", 0.05)
        patched.setattr(waiting, "POLL_S", 0.05)
        patched.setattr(boto3, "DEFAULT_SESSION", None)
        client("ssm").put_parameter(Name=AMI_PARAMETER, Value=AMI, Type="String", Overwrite=True)
        options = ("--parameter", f"DebianAmi={AMI_PARAMETER}", "--parameter", "ElasticIp=false")
        assert deploy.main(["--prefix", name, *options]) == 0
        client("ecr").put_image(
            repositoryName=f"{name}/imagefleet-worker",
            imageTag=TAG,
            imageManifest=json.dumps({"schemaVersion": 2, "config": {"digest": "sha256:1"}}),
        )
        yield name
        assert destroy.main(["--prefix", name, "--yes"]) == 0


@contextmanager
def powering_off(prefix: str) -> Iterator[None]:
    """Stop the instance that is launched meanwhile, as it would stop itself."""
    over = threading.Event()

    def play() -> None:
        ec2 = client("ec2")
        while not over.wait(0.05):
            for each in machines.machines(ec2, machine.BAKE_TAG, prefix):
                if each.state == "running":
                    ec2.stop_instances(InstanceIds=[each.id])

    thread = threading.Thread(target=play)
    thread.start()
    try:
        yield
    finally:
        over.set()
        thread.join()


def test_a_plan_tells_what_the_stack_has(prefix: str, capsys: pytest.CaptureFixture[str]) -> None:
    left = bake_ami.main(["--prefix", prefix, "--image", TAG, "--plan"])

    said, failure = capsys.readouterr()
    assert left == 0, failure
    assert f"from {AMI}" in said
    assert f"{prefix}/imagefleet-worker:{TAG}" in said


def test_before_a_version_runs_one_has_to_be_named(
    prefix: str, capsys: pytest.CaptureFixture[str]
) -> None:
    left = bake_ami.main(["--prefix", prefix])

    assert left == 2
    assert "name one that ./scripts/push-images pushed with --image" in capsys.readouterr().err


def test_the_instance_is_one_of_the_stack_and_is_gone_when_baking_failed(
    prefix: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with powering_off(prefix):
        left = bake_ami.main(["--prefix", prefix, "--image", TAG])

    # then it went until the console was wanted
    said = capsys.readouterr()
    assert left == 1, said.err
    assert "is stopped" in said.out
    assert "GetConsoleOutput" in said.err
    assert machines.machines(client("ec2"), machine.BAKE_TAG, prefix) == []


def test_destroying_takes_images_too(prefix: str) -> None:
    ec2 = client("ec2")
    made = ec2.register_image(Name=f"{prefix}-worker", ImageLocation="debian:13")["ImageId"]
    ec2.create_tags(Resources=[made], Tags=[{"Key": machine.BAKE_TAG, "Value": prefix}])
    assert [each.id for each in images.baked(ec2, prefix)] == [made]

    assert destroy.main(["--prefix", prefix, "--yes", "--keep-data"]) == 0

    assert images.baked(ec2, prefix) == []
