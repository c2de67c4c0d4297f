"""What the commands that deploy say comes next, and how they build images."""

from __future__ import annotations

import re
import shutil
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import boto3
import pytest
from moto import mock_aws

from imagefleet_core.errors import ImagefleetError
from imagefleet_scripts.deploy import builds, next_step, release
from imagefleet_scripts.deploy.account import open_account
from imagefleet_scripts.deploy.cli import Wrong

MOTOS = "123456789012"
DIGESTS = {"python": f"sha256:{'1' * 64}", "nginx": f"sha256:{'2' * 64}"}

needs_jq = pytest.mark.skipif(not shutil.which("jq"), reason="no jq on this machine")


# --- the next command -----------------------------------------------------------------------------


@pytest.fixture(autouse=True)
def aws(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "test")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "test")
    monkeypatch.setenv("AWS_DEFAULT_REGION", "eu-central-1")
    monkeypatch.setattr(boto3, "DEFAULT_SESSION", None)
    with mock_aws():
        yield


def test_the_next_command_is_about_the_same_system() -> None:
    usual = open_account("imagefleet")
    other = open_account("pix", region="eu-west-1", expected=MOTOS)

    assert next_step.command(usual, "status") == "./scripts/status"
    assert next_step.command(other, "push-images", "--tag", "1 0") == (
        f"./scripts/push-images --prefix pix --account {MOTOS} --region eu-west-1 --tag '1 0'"
    )


def test_a_first_release_brings_its_secrets_and_a_later_one_needs_none() -> None:
    account = open_account("pix")

    first, later = (next_step.release(account, "1.0", first=each) for each in (True, False))

    assert first == "./scripts/deploy --prefix pix --image 1.0 --secrets DIR"
    assert later == "./scripts/deploy --prefix pix --image 1.0"


def told(
    capsys: pytest.CaptureFixture[str],
    parameters: dict[str, str],
    outputs: dict[str, str],
    *,
    secrets_given: bool = False,
) -> str:
    """Return what is told at the end of a deployment."""
    fleet = SimpleNamespace(outputs=lambda: outputs, parameters=lambda: parameters)
    next_step.tell(open_account("pix"), cast(Any, fleet), secrets_given=secrets_given)
    return capsys.readouterr().out


def test_who_deployed_hears_that_alarms_reach_nobody_until_they_do(
    capsys: pytest.CaptureFixture[str],
) -> None:
    nobody = told(capsys, {"ImageTag": "1.0", "AlarmEmail": ""}, {})
    somebody = told(capsys, {"ImageTag": "1.0", "AlarmEmail": "ops@example.com"}, {})

    assert (
        "alarms reach nobody yet: "
        "./scripts/deploy --prefix pix --parameter AlarmEmail=you@example.com" in nobody
    )
    assert "alarms" not in somebody


def test_secrets_that_were_given_are_not_asked_for_again(
    capsys: pytest.CaptureFixture[str],
) -> None:
    without = told(capsys, {}, {})
    given = told(capsys, {}, {}, secrets_given=True)

    assert without.endswith("--image TAG --secrets DIR\n")
    assert given.endswith("./scripts/deploy --prefix pix --image TAG\n")


def test_a_missing_image_is_to_be_pushed_to_the_system_that_lacks_it() -> None:
    with pytest.raises(Wrong, match=r"\./scripts/push-images --prefix pix --tag 1\.0 "):
        release.require_images(open_account("pix"), "1.0")


# --- building -------------------------------------------------------------------------------------

INSPECT = 'printf "Name: b\\nDriver: %s\\n" '
RESOLVE = "\n".join(
    f'case "$*" in *imagetools*{name}*) echo \'{{"digest":"{digest}"}}\' ;; esac'
    for name, digest in DIGESTS.items()
)


@pytest.fixture
def docker(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A `docker` first in the path, for tests to write."""
    for name in ("PYTHON_IMAGE", "NGINX_IMAGE", "ATTEST", "SOURCE_DATE_EPOCH"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("PATH", str(tmp_path), prepend=":")
    return tmp_path / "docker"


def does(docker: Path, *, resolve: str, driver: str) -> None:
    """Say what `docker` does when digests are looked up, and which builder it has."""
    builder = f'case "$*" in "buildx inspect") {INSPECT} "{driver}" ;; esac'
    docker.write_text(f"#!/bin/sh\n{resolve}\n{builder}\n")
    docker.chmod(0o755)


@needs_jq
def test_images_are_built_as_the_release_builds_them_where_the_builder_can(docker: Path) -> None:
    does(docker, resolve=RESOLVE, driver="docker-container")

    how = builds.build_for("registry.example/pix/")

    assert how.environ["PYTHON_IMAGE"] == f"python:3.13-slim-trixie@{DIGESTS['python']}"
    assert how.environ["NGINX_IMAGE"] == f"nginx:1.29-alpine@{DIGESTS['nginx']}"
    assert how.environ["ATTEST"] == "true"
    assert re.fullmatch(r"\d{10}", how.environ["SOURCE_DATE_EPOCH"])
    assert how.options == ["--set", "*.output=type=image,push=true,rewrite-timestamp=true"]
    assert DIGESTS["nginx"] in " ".join(how.said)


@needs_jq
def test_the_engines_own_builder_makes_no_attestations_and_it_is_said(docker: Path) -> None:
    does(docker, resolve=RESOLVE, driver="docker")

    how = builds.build_for("registry.example/pix/")

    assert "ATTEST" not in how.environ
    assert how.options == ["--push"]
    assert "no SBOM, no provenance" in " ".join(how.said)
    assert "PYTHON_IMAGE" in how.environ


def test_where_no_digest_can_be_looked_up_it_is_said_and_tags_are_built_on(docker: Path) -> None:
    refused = 'case "$*" in *imagetools*) echo "toomanyrequests: wait" >&2; exit 1 ;; esac'
    does(docker, resolve=refused, driver="docker")

    how = builds.build_for("registry.example/pix/")

    assert how.environ.keys() == {"SOURCE_DATE_EPOCH"}
    assert "base images by their tags" in how.said[0]


def test_whoever_wants_no_attestations_gets_none(
    docker: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ATTEST", "false")
    does(docker, resolve="", driver="docker-container")

    assert builds.build_for("registry.example/pix/").environ["ATTEST"] == "false"


def test_a_docker_without_buildx_is_told_what_to_install(docker: Path) -> None:
    docker.write_text("#!/bin/sh\necho 'docker: unknown command: docker buildx' >&2\nexit 1\n")
    docker.chmod(0o755)

    with pytest.raises(ImagefleetError, match="docker-buildx-plugin"):
        builds.require_builder()
