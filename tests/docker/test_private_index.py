"""Images built where no public index is to be had."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from uuid import uuid4

import docker
import pytest

import laptop
from certificate import sign
from image_layers import everything_in
from private_index import HOST, PrivateIndex, serving, wheel_of

pytestmark = pytest.mark.docker

# Only what pip installs matters here, so one stage of the smallest tier is enough.
OVERRIDE = """
services:
  scaler:
    image: {tag}
    build: {{target: dependencies}}
"""


@pytest.fixture
def engine() -> Iterator[docker.DockerClient]:
    with closing(laptop.require_compose()) as client:
        yield client


@pytest.fixture
def index(tmp_path: Path) -> Iterator[PrivateIndex]:
    """Serve a package that no other index has; its authority is in the repository's ca.crt."""
    probe = {"imagefleet_probe.py": f"PROBE = '{uuid4()}'\n", "botocore/data/none/x.json": "{}"}
    name, wheel = wheel_of("imagefleet_probe", probe)
    signed = sign(HOST)
    (tmp_path / "server.pem").write_bytes(signed.key + signed.certificate)
    (tmp_path / "ca.crt").write_bytes(signed.certificate)
    index = PrivateIndex(name, wheel, f"reader:{uuid4().hex}", f"caller:{uuid4().hex}")
    with serving(index, tmp_path / "server.pem"):
        yield index


@pytest.fixture
def repository(tmp_path: Path, index: PrivateIndex) -> Path:
    """Copy what builds the scaler, with a lock that asks for the probe alone."""
    root = laptop.ROOT
    shutil.copy(root / "compose.yaml", tmp_path)
    shutil.copytree(root / "compose", tmp_path / "compose")
    (tmp_path / "images/scaler").mkdir(parents=True)
    shutil.copy(root / "images/trim", tmp_path / "images")
    shutil.copy(root / "images/scaler/Dockerfile", tmp_path / "images/scaler")
    (tmp_path / "images/scaler/requirements.txt").write_text(index.requirement)
    (tmp_path / "pip.conf").write_text(
        "[global]\n"
        f"index-url = https://{index.login}@{HOST}/simple\n"
        "cert = /run/secrets/ca.crt\n"
        "retries = 0\n"
    )
    return tmp_path


def test_an_image_is_built_from_a_private_index_and_keeps_none_of_its_secrets(
    engine: docker.DockerClient, repository: Path, index: PrivateIndex
) -> None:
    tag = f"imagefleet-private-index:{uuid4().hex}"

    built = _build(engine, repository, index, tag)

    assert built.returncode == 0, built.stderr[-3000:]
    image = engine.images.get(tag)
    try:
        held = list(everything_in(image))
    finally:
        engine.images.remove(tag)
    assert index.served == ["/simple/imagefleet-probe/", f"/files/{index.wheel_name}"]
    assert set(index.connected) == {f"{HOST}:443"}
    assert any(b"imagefleet_probe-1.0.dist-info/METADATA" in part for part in held)
    authority = (repository / "ca.crt").read_text().splitlines()[1]
    for secret in (*_passwords(index), HOST, authority):
        assert not [part[:200] for part in held if secret.encode() in part]


def test_an_index_of_another_authority_is_not_believed(
    engine: docker.DockerClient, repository: Path, index: PrivateIndex
) -> None:
    (repository / "ca.crt").write_bytes(sign(HOST).certificate)

    built = _build(engine, repository, index, f"imagefleet-private-index:{uuid4().hex}")

    assert built.returncode
    assert "CERTIFICATE_VERIFY_FAILED" in built.stdout + built.stderr
    assert index.served == []


@pytest.mark.parametrize(
    "files",
    [
        ("compose.yaml", "compose/private-index.yaml"),
        ("compose/ec2.yaml", "compose/private-index.yaml", "compose/private-index.ec2.yaml"),
    ],
)
def test_whatever_runs_pip_has_its_settings(
    engine: docker.DockerClient, files: tuple[str, ...]
) -> None:
    said = laptop.compose("config", "--format", "json", files=files).stdout

    builds = {
        name: (laptop.ROOT / service["build"]["dockerfile"], service["build"])
        for name, service in json.loads(said)["services"].items()
        if "build" in service
    }
    installs = {name for name, (path, _) in builds.items() if "-m pip " in path.read_text()}
    assert len(installs) >= 3
    for name in installs:
        assert {each["source"] for each in builds[name][1]["secrets"]} == {"pip.conf", "ca.crt"}


def _build(
    engine: docker.DockerClient, repository: Path, index: PrivateIndex, tag: str
) -> subprocess.CompletedProcess[str]:
    """Build as docs/images.md says, in a place that reaches the index through its proxy alone."""
    (repository / "override.yaml").write_text(OVERRIDE.format(tag=tag))
    (gateway,) = engine.networks.get("bridge").attrs["IPAM"]["Config"]
    proxy = f"http://{index.proxy_login}@{gateway['Gateway']}:{index.proxy_port}"
    files = ("compose.yaml", "compose/private-index.yaml", "override.yaml")
    given = [argument for file in files for argument in ("--file", file)]
    return subprocess.run(
        ["docker", "compose", *given, "build", "--build-arg", f"HTTPS_PROXY={proxy}", "scaler"],
        cwd=repository,
        env={**os.environ, "PIP_CONF": "pip.conf", "CA_CERT": "ca.crt"},
        capture_output=True,
        text=True,
        check=False,
    )


def _passwords(index: PrivateIndex) -> tuple[str, str]:
    return index.login.partition(":")[2], index.proxy_login.partition(":")[2]
