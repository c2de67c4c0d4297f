"""How images are built here: as .github/workflows/images.yml does, as far as the builder can."""

from __future__ import annotations

import os
import re
import subprocess
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from imagefleet_core.errors import ImagefleetError
from imagefleet_scripts.deploy.template import ROOT

# Looks up two digests.
PLAN, PLAN_S = ROOT / ".github/images/plan", 120.0
_DRIVER = re.compile(r"^Driver:\s*(\S+)", re.MULTILINE)
# The engine's own builder makes no attestations and leaves files their times.
_ENGINES_OWN = {"", "docker"}
_EXACT_OUTPUT = "*.output=type=image,push=true,rewrite-timestamp=true"


@dataclass(frozen=True)
class Build:
    """How to call `docker buildx bake`.

    Attributes:
        environ: variables of docker-bake.hcl; those of the caller's own count more.
        said: what is used, and what isn't and why, in sentences.
    """

    environ: Mapping[str, str]
    options: Sequence[str]
    said: Sequence[str]


def require_builder() -> None:
    """Return if Docker has buildx here; raises `ImagefleetError`."""
    if _tried("docker", "buildx", "version").returncode:
        raise ImagefleetError(
            "`docker buildx version` does not work here, and buildx builds the images: install "
            "Docker's package docker-buildx-plugin"
        )


def build_for(registry: str) -> Build:
    """Return how to build for a registry, with base images by the digests that they have now."""
    bases, about_bases = _bases(registry)
    times, about_times = _times()
    found = _DRIVER.search(_tried("docker", "buildx", "inspect").stdout)
    driver = found[1] if found else ""
    if driver in _ENGINES_OWN:
        options = ["--push"]
        about_driver = (
            "no SBOM, no provenance, and times of files are those of the build: that takes a "
            "builder of its own (docker buildx create --use)"
        )
    else:
        options = ["--set", _EXACT_OUTPUT]
        bases = {**bases, "ATTEST": os.environ.get("ATTEST", "true")}
        about_driver = f"builder {driver}, ATTEST={bases['ATTEST']}: SBOM and provenance if true"
    return Build({**bases, **times}, options, [about_bases, about_times, about_driver])


def _bases(registry: str) -> tuple[dict[str, str], str]:
    """Return the base images as the release's plan has them, or none where it can't say."""
    told = _tried(str(PLAN), ECR_REGISTRY=registry, GITHUB_REF="")
    if told.returncode:
        why = (told.stderr.strip().splitlines() or ["it said nothing"])[-1]
        return {}, f"base images by their tags, as their digests can't be looked up: {why}"
    plan = dict(line.partition("=")[::2] for line in told.stdout.splitlines())
    bases = {"PYTHON_IMAGE": plan["python-image"], "NGINX_IMAGE": plan["nginx-image"]}
    return bases, f"base images {' and '.join(bases.values())}"


def _times() -> tuple[dict[str, str], str]:
    told = _tried("git", "show", "--no-patch", "--format=%ct", "HEAD")
    epoch = os.environ.get("SOURCE_DATE_EPOCH") or told.stdout.strip()
    if not epoch:
        return {}, "times are those of the build, as there is no commit"
    return {"SOURCE_DATE_EPOCH": epoch}, f"times are the commit's, SOURCE_DATE_EPOCH={epoch}"


def _tried(*command: str, **environ: str) -> subprocess.CompletedProcess[str]:
    """Run a program; one that isn't there, or takes too long, has failed as well."""
    try:
        return subprocess.run(
            command,
            cwd=ROOT,
            env={**os.environ, **environ},
            capture_output=True,
            text=True,
            check=False,
            timeout=PLAN_S,
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        return subprocess.CompletedProcess(command, 1, "", str(error))
