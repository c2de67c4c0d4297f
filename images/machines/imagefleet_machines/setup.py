"""Makes the account: buckets and queues, the machines' template, and the worker's image to pull.

The templates are the very ones of production. Their user data is put together by
scripts/imagefleet_scripts/deploy, which is mounted beside them.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from typing import Any

import docker
import requests
from docker.errors import DockerException

from imagefleet_core.errors import ImagefleetError
from imagefleet_core.stack import apply

# Debian's own parameter has a name that is reserved for AWS.
DEBIAN_PARAMETER = "/laptop/debian"
REGISTRY_S = 30.0
RETRY_S = 0.5


class SetupError(ImagefleetError):
    """Something that everything else needs can't be made."""


def account(
    cloudformation: Any,
    ssm: Any,
    *,
    prefix: str,
    debian_ami: str,
    parameters: Mapping[str, str],
    say: Callable[[str], None],
) -> None:
    """Apply both templates; raises `ImagefleetError`.

    Args:
        debian_ami: what stands in for Debian's machine image.
        parameters: of the machines' template, beside those that the emulator needs.
    """
    # Only here, as nothing but the setup has the scripts beside it.
    from imagefleet_scripts.deploy import template

    ssm.put_parameter(Name=DEBIAN_PARAMETER, Value=debian_ami, Type="String", Overwrite=True)
    apply(cloudformation, f"{prefix}-data", template.data(), {"Prefix": prefix}, say=say)
    # MiniStack has no elastic addresses in templates.
    emulated = {"Prefix": prefix, "DebianAmi": DEBIAN_PARAMETER, "ElasticIp": "false"}
    apply(cloudformation, f"{prefix}-fleet", template.fleet(), {**emulated, **parameters}, say=say)


def push(
    engine: docker.DockerClient,
    image: str,
    repository: str,
    tag: str,
    say: Callable[[str], None],
    *,
    within_s: float = REGISTRY_S,
) -> None:
    """Push an image that the engine has to a registry, which may just be starting.

    Raises:
        SetupError: it could not be pushed in time.
    """
    say(f"{repository}:{tag}: pushing {image}")
    deadline = time.monotonic() + within_s
    try:
        engine.images.get(image).tag(repository, tag)
        while refused := _refusal(engine, repository, tag):
            if time.monotonic() > deadline:
                raise SetupError(f"pushing {repository}:{tag}: {refused}")
            time.sleep(RETRY_S)
    except (DockerException, requests.RequestException) as error:
        raise SetupError(f"pushing {repository}:{tag}: {error}") from error


def _refusal(engine: docker.DockerClient, repository: str, tag: str) -> str:
    """Push; return what was wrong, nothing if all went well."""
    lines = engine.images.push(repository, tag, stream=True, decode=True)
    return next((str(line["error"]) for line in lines if "error" in line), "")
