"""The credentials of web tier and scaler, as the web host renews them."""

from __future__ import annotations

import json
import os
import stat
import sys
from pathlib import Path

import boto3
import pytest

import cloudformation
from cloud_machine import AWS_WITH_SECRETS, Machine, unit, web_host_at
from imagefleet_core.aws import Aws
from imagefleet_core.errors import Unavailable
from imagefleet_core.s3 import S3Store

# Answers `sts assume-role` as the command does, with credentials that are new each time.
AWS_WITH_ROLES = """\
{python} - "$@" <<'END'
import datetime, json, pathlib, sys
import jmespath
said = dict(zip(sys.argv[3::2], sys.argv[4::2]))
count = pathlib.Path("{root}/count")
count.write_text(str(int(count.read_text()) + 1 if count.exists() else 1))
end = datetime.datetime.now(datetime.timezone.utc) + datetime.timedelta(seconds={life_s})
answer = {{"Credentials": {{
    "AccessKeyId": said["--role-arn"] + "/" + count.read_text(), "SecretAccessKey": "a secret",
    "SessionToken": "a token", "Expiration": end.isoformat(timespec="seconds"),
}}}}
print(json.dumps(jmespath.search(said["--query"], answer)))
END
"""


@pytest.fixture
def web_host(tmp_path: Path) -> Machine:
    return web_host_at(tmp_path)


def with_roles(machine: Machine, *, life_s: int = 3600) -> None:
    machine.program(
        "aws", AWS_WITH_ROLES.format(python=sys.executable, root=machine.root, life_s=life_s)
    )


def session(machine: Machine, tier: str, monkeypatch: pytest.MonkeyPatch) -> boto3.Session:
    """Return a session as a tier's container has it, with its folder at the place of the mount."""
    monkeypatch.delenv("AWS_ACCESS_KEY_ID", raising=False)
    monkeypatch.delenv("AWS_SECRET_ACCESS_KEY", raising=False)
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    mount = machine.root / "run/credentials"
    mount.unlink(missing_ok=True)
    mount.symlink_to(machine.root / "run/imagefleet" / tier)
    monkeypatch.setenv("AWS_CONFIG_FILE", str(mount / "config"))
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", str(mount / "none"))
    return boto3.Session()


@pytest.mark.parametrize("tier", ["web", "scaler"])
def test_each_tier_has_the_credentials_of_its_own_role(
    web_host: Machine, tier: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    with_roles(web_host)

    assert web_host.run("imagefleet-credentials") == 0

    found = session(web_host, tier, monkeypatch).get_credentials()
    assert found
    role, _, _ = found.access_key.rpartition("/")
    assert role == cloudformation.NAMES[f"{tier.title()}Role.Arn"]
    assert found.token == "a token"
    (owner,) = web_host.called("chown 10001:10001", f"/{tier}/")
    assert "role.json" in owner
    file = web_host.root / f"run/imagefleet/{tier}/role.json"
    assert stat.S_IMODE(file.stat().st_mode) == 0o400


def test_a_tier_goes_on_with_new_credentials_before_the_old_ones_end(
    web_host: Machine, monkeypatch: pytest.MonkeyPatch
) -> None:
    # given a tier whose credentials end within the quarter of an hour before which botocore looks
    with_roles(web_host, life_s=14 * 60)
    web_host.run("imagefleet-credentials")
    found = session(web_host, "web", monkeypatch).get_credentials()
    assert found
    before = found.get_frozen_credentials().access_key

    # when the host renews them, in a file that takes the place of the one being read
    with_roles(web_host)
    open_before = (web_host.root / "run/imagefleet/web/role.json").open()
    web_host.run("imagefleet-credentials")

    # then the tier has the new ones, and who was reading has read all of the old ones
    after = found.get_frozen_credentials().access_key
    assert after != before
    with open_before as file:
        assert json.loads(file.read())["AccessKeyId"] == before
    left = {file.name for file in (web_host.root / "run/imagefleet/web").iterdir()}
    assert left == {"config", "role.json"}


def test_credentials_stay_as_they_are_while_a_role_can_not_be_taken(web_host: Machine) -> None:
    with_roles(web_host)
    web_host.run("imagefleet-credentials")
    before = web_host.read("run/imagefleet/web/role.json")

    # Half an answer, of the first role only.
    aws = web_host.bin / "aws"
    half = 'case "$*" in *role/web*) echo "{"; exit 255 ;; esac\n'
    aws.write_text(aws.read_text().replace("#!/bin/sh\n", f"#!/bin/sh\n{half}"))

    assert web_host.run("imagefleet-credentials") == 1
    assert web_host.read("run/imagefleet/web/role.json") == before
    assert json.loads(web_host.read("run/imagefleet/scaler/role.json"))["AccessKeyId"].endswith(
        "/3"
    )


def test_credentials_that_ran_out_are_taken_away(web_host: Machine) -> None:
    with_roles(web_host)
    web_host.run("imagefleet-credentials")
    role = web_host.root / "run/imagefleet/web/role.json"
    long_ago = role.stat().st_mtime - 3600
    os.utime(role, (long_ago, long_ago))
    web_host.program("aws", "exit 255")

    web_host.run("imagefleet-credentials")

    assert not role.exists()
    assert (web_host.root / "run/imagefleet/scaler/role.json").exists()


def test_a_tier_without_credentials_may_go_on_later(
    web_host: Machine, monkeypatch: pytest.MonkeyPatch
) -> None:
    # given a tier whose credentials are about to end
    with_roles(web_host, life_s=9 * 60)
    web_host.run("imagefleet-credentials")
    s3 = Aws(session(web_host, "web", monkeypatch)).s3(1)
    store = S3Store(s3, input_bucket="input", results_bucket="results")

    # when there are none in the place of the old ones
    (web_host.root / "run/imagefleet/web/role.json").unlink()

    # then that may pass, and the reason is said
    with pytest.raises(Unavailable, match=r"role\.json"):
        store.read_note("notes/a")


def test_credentials_are_renewed_long_before_they_end(web_host: Machine) -> None:
    timer = unit(web_host, "imagefleet-credentials.timer")

    assert timer["OnUnitActiveSec"] == timer["OnBootSec"] == "15min"
    started = cloudformation.user_data("WebHostTemplate").partition("enable, --now, ")[2]
    assert "imagefleet-credentials.timer, " in started
    assert unit(web_host, "imagefleet-credentials.service")["Restart"] == "on-failure"


def test_without_credentials_for_the_tiers_nothing_is_started(web_host: Machine) -> None:
    refused = AWS_WITH_SECRETS.replace('case "$*" in', 'case "$*" in *assume-role*) exit 255 ;;')
    web_host.program("aws", refused)

    assert web_host.run("imagefleet-up") != 0

    assert not web_host.called("docker compose")
