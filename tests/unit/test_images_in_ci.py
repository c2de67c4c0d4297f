"""The steps of .github/workflows/images.yml, with a registry that is a file."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml

import registry_programs
from registry_programs import digest_of

ROOT = Path(__file__).parents[2]
STEPS = ROOT / ".github/images"
PYTHON, NGINX = "python:3.13-slim-trixie", "nginx:1.29-alpine"

needs_jq = pytest.mark.skipif(not shutil.which("jq"), reason="no jq on this machine")


class Registry:
    """The registry, and the programs that use it."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._file = folder / "registry.json"
        self._programs = folder / "programs"
        self._programs.mkdir()
        for program in ("docker", "grype", "cosign"):
            script = self._programs / program
            command = f'{sys.executable} {registry_programs.__file__} {program} "$@"'
            script.write_text(f"#!/bin/sh\nexec {command}\n")
            script.chmod(0o755)
        self.state: dict[str, Any] = {"tags": {}, "targets": [], "bad": [], "signed": []}

    def run(self, step: str, *arguments: str, **environ: str) -> subprocess.CompletedProcess[str]:
        """Run a step in the folder; `state` is afterwards what it left."""
        self._file.write_text(json.dumps(self.state))
        ended = subprocess.run(
            [STEPS / step, *arguments],
            cwd=self.folder,
            env={
                **os.environ,
                "PATH": f"{self._programs}:{os.environ['PATH']}",
                "REGISTRY_FILE": str(self._file),
                "REGISTRY": "registry.example/",
                **environ,
            },
            capture_output=True,
            text=True,
            check=False,
        )
        self.state = json.loads(self._file.read_text())
        return ended


@pytest.fixture
def registry(tmp_path: Path) -> Registry:
    return Registry(tmp_path)


@pytest.fixture
def commit(tmp_path: Path) -> str:
    """Make a commit of 2024 in the folder; return its short id."""
    git = ["git", "-c", "user.name=t", "-c", "user.email=t@example.org"]
    when = {"GIT_COMMITTER_DATE": "1700000000 +0000"}
    for arguments in (["init", "-q"], ["commit", "-q", "--allow-empty", "-m", "first"]):
        subprocess.run([*git, *arguments], cwd=tmp_path, env={**os.environ, **when}, check=True)
    told = subprocess.run(
        ["git", "rev-parse", "HEAD"], cwd=tmp_path, capture_output=True, text=True, check=True
    )
    return told.stdout[:12]


@needs_jq
def test_a_plan_names_the_very_base_images_and_the_commits_time(
    registry: Registry, commit: str
) -> None:
    registry.state["tags"] = {PYTHON: digest_of("p"), NGINX: digest_of("n")}

    plan = _planned(registry, GITHUB_REPOSITORY="Some/Fleet", GITHUB_REF="refs/heads/main")

    assert plan == {
        "registry": "ghcr.io/some/fleet/",
        "host": "ghcr.io",
        "commit": commit,
        "version": commit,
        "epoch": "1700000000",
        "python-image": f"{PYTHON}@{digest_of('p')}",
        "nginx-image": f"{NGINX}@{digest_of('n')}",
    }


@needs_jq
def test_a_plan_of_a_tag_names_its_version_and_takes_what_is_pinned_as_it_is(
    registry: Registry, commit: str
) -> None:
    python, nginx = f"python@{digest_of('old')}", f"nginx@{digest_of('old')}"

    plan = _planned(
        registry,
        GITHUB_REPOSITORY="some/fleet",
        GITHUB_REF="refs/tags/v1.2.3",
        ECR_REGISTRY="123456789012.dkr.ecr.eu-central-1.amazonaws.com/imagefleet/",
        PYTHON_IMAGE=python,
        NGINX_IMAGE=nginx,
    )

    assert plan["version"] == "1.2.3"
    assert plan["registry"] == "123456789012.dkr.ecr.eu-central-1.amazonaws.com/imagefleet/"
    assert plan["host"] == "123456789012.dkr.ecr.eu-central-1.amazonaws.com"
    assert (plan["python-image"], plan["nginx-image"]) == (python, nginx)


@needs_jq
@pytest.mark.usefixtures("commit")
def test_nothing_is_planned_on_a_base_image_that_is_not_there(registry: Registry) -> None:
    registry.state["tags"] = {PYTHON: digest_of("p")}

    ended = registry.run("plan", GITHUB_REPOSITORY="some/fleet", GITHUB_REF="refs/heads/main")

    assert ended.returncode
    assert ended.stdout == ""


@needs_jq
def test_what_is_built_is_named_by_its_digest(registry: Registry) -> None:
    registry.state["targets"] = ["web", "proxy"]

    ended = registry.run("build", "arm64", "digests")

    assert ended.returncode == 0, ended.stderr
    assert {file.name: file.read_text() for file in (registry.folder / "digests").iterdir()} == {
        "web.arm64": f"registry.example/imagefleet-web@{digest_of('web')}\n",
        "proxy.arm64": f"registry.example/imagefleet-proxy@{digest_of('proxy')}\n",
    }


@needs_jq
def test_one_bad_image_fails_the_scan_and_all_are_looked_at(registry: Registry) -> None:
    _built(registry, "proxy", "web", "worker")
    registry.state["bad"] = [_name("proxy", "amd64")]

    ended = registry.run("scan", *map(str, sorted((registry.folder / "digests").iterdir())))

    assert ended.returncode
    assert ended.stderr.endswith("not fit to be published: proxy.amd64\n")
    found = [json.loads(file.read_text()) for file in (registry.folder / "sarif").iterdir()]
    categories = {run["automationDetails"]["id"] for sarif in found for run in sarif["runs"]}
    assert len(categories) == len(found) == 6


@needs_jq
def test_images_are_tagged_and_signed_and_stay_what_they_are(registry: Registry) -> None:
    _built(registry, "web", "worker")

    first = registry.run("publish", "digests", "abc", "1.2.3")
    published = registry.state["tags"]
    (registry.folder / "digests/web.amd64").write_text(f"{_name('web', 'other')}\n")
    again = registry.run("publish", "digests", "abc", "1.2.3")

    assert (first.returncode, again.returncode) == (0, 0), first.stderr + again.stderr
    joined = {i: digest_of(_name(i, "amd64"), _name(i, "arm64")) for i in ("web", "worker")}
    assert published == {
        f"registry.example/imagefleet-{image}:{tag}": digest
        for image, digest in joined.items()
        for tag in ("abc", "1.2.3")
    }
    assert registry.state["tags"] == published
    signed = [f"registry.example/imagefleet-{image}@{digest}" for image, digest in joined.items()]
    assert registry.state["signed"] == [*signed, *signed]


@needs_jq
def test_a_version_is_what_its_own_run_built_although_its_commit_was_published_before(
    registry: Registry,
) -> None:
    # given a commit of main that was published a month ago
    _built(registry, "web")
    registry.run("publish", "digests", "abc", "abc")
    old = digest_of(_name("web", "amd64"), _name("web", "arm64"))
    (registry.folder / "digests/web.amd64").write_text(f"{_name('web', 'today')}\n")

    ended = registry.run("publish", "digests", "abc", "1.2.3")

    new = digest_of(_name("web", "today"), _name("web", "arm64"))
    assert ended.returncode == 0, ended.stderr
    name = "registry.example/imagefleet-web"
    assert registry.state["tags"] == {f"{name}:abc": old, f"{name}:1.2.3": new}
    assert f"{name}@{new}" in registry.state["signed"]


@needs_jq
def test_a_tag_of_which_nobody_knows_whether_it_is_there_is_left_alone(registry: Registry) -> None:
    # given a registry that would move tags
    _built(registry, "web")
    registry.run("publish", "digests", "abc")
    published = registry.state["tags"]
    (registry.folder / "digests/web.amd64").write_text(f"{_name('web', 'other')}\n")
    registry.state |= {"mutable": True, "throttled": True}

    ended = registry.run("publish", "digests", "abc")

    assert ended.returncode
    assert "429 Too Many Requests" in ended.stderr
    assert registry.state["tags"] == published


def test_publishing_nothing_is_a_failure(registry: Registry) -> None:
    (registry.folder / "digests").mkdir()

    assert registry.run("publish", "digests", "abc").returncode


def test_every_job_has_an_end() -> None:
    for file in sorted((ROOT / ".github/workflows").glob("*.yml")):
        for name, job in yaml.safe_load(file.read_text())["jobs"].items():
            assert "uses" in job or 0 < job["timeout-minutes"] <= 60, f"{file.name}: {name}"


def test_ci_pulls_all_that_is_built_on_and_started() -> None:
    pulled = (ROOT / ".github/workflows/ci.yml").read_text()
    files = [*ROOT.glob("images/*/Dockerfile"), *ROOT.glob("compose/*.yaml")]

    named = {
        image
        for file in files
        for image in re.findall(r"_IMAGE(?:=|:-)([\w.:/-]+:[\w.-]+)", file.read_text())
    }

    assert {PYTHON, NGINX, "localstack/localstack:4.14.0"} <= named
    assert [image for image in sorted(named) if image not in pulled] == []


def _planned(registry: Registry, **environ: str) -> dict[str, str]:
    ended = registry.run("plan", **environ)
    assert ended.returncode == 0, ended.stderr
    return dict(line.split("=", 1) for line in ended.stdout.splitlines())


def _name(image: str, arch: str) -> str:
    return f"registry.example/imagefleet-{image}@{digest_of(image, arch)}"


def _built(registry: Registry, *images: str) -> None:
    folder = registry.folder / "digests"
    folder.mkdir()
    for image in images:
        for arch in ("amd64", "arm64"):
            (folder / f"{image}.{arch}").write_text(f"{_name(image, arch)}\n")
