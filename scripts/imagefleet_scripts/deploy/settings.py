"""The tiers' settings, as a line that CloudFormation takes for a parameter."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from pathlib import Path

from imagefleet_scripts.deploy.cli import Wrong
from imagefleet_scripts.deploy.template import MAX_SETTINGS_BYTES

_SETTING = re.compile(r"([A-Z][A-Z0-9_]*)=([^|\x00-\x1f\x7f]*)")
# Compose, on the web host, takes these for quotes, variables and comments; on workers
# `docker run --env-file` takes them as they stand.
_READ_DIFFERENTLY = re.compile(r"['\"$]| #")
# For as long a target may take to be let go, which is less than a balancer may be silent for.
# https://docs.aws.amazon.com/elasticloadbalancing/latest/application/edit-target-group-attributes.html
LONGEST_IDLE_S = 3600
# Of the proxy's patience with the web tier: READ_S in images/proxy/start.
BEYOND_WAIT_S = 60
# Said by the stack.
_STACKS_OWN = {"IMAGEFLEET_REGISTRY", "IMAGEFLEET_TAG", "AWS_DEFAULT_REGION", "IMAGEFLEET_PREFIX"}
# The web host asks itself at these whether it is well, its network lets nobody in elsewhere, and
# nobody makes a folder there before it starts.
_HOSTS_OWN = {
    "IMAGEFLEET_ADDRESS": "0.0.0.0",  # noqa: S104  # compared, not listened at
    "IMAGEFLEET_HTTP_PORT": "80",
    "IMAGEFLEET_HTTPS_PORT": "443",
    "IMAGEFLEET_ACME_DIR": "/var/lib/imagefleet/acme",
    "IMAGEFLEET_PROXY_SPOOL_DIR": "proxy-spool",
    "IMAGEFLEET_WEB_SPOOL_DIR": "web-spool",
}
# Sizes, when uploads lay in memory.
_GONE = {"IMAGEFLEET_PROXY_SPOOL", "IMAGEFLEET_WEB_SPOOL"}


def read_settings(file: Path) -> str:
    """Return the lines of an env file in one, with | between; raises `Wrong`."""
    try:
        lines = file.read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeError) as error:
        raise Wrong(f"--settings {file}: {error}") from error
    settings = {}
    for number, line in enumerate(map(str.strip, lines), 1):
        if not line or line.startswith("#"):
            continue
        match = _SETTING.fullmatch(line)
        if not match or not line.isascii() or _READ_DIFFERENTLY.search(match[2]):
            raise Wrong(
                f"{file}:{number}: expected NAME=value in ASCII, "
                "without |, quotes, $, or a comment behind the value"
            )
        if match[1] in _GONE:
            raise Wrong(
                f"{file}:{number}: {match[1]} is no setting any more, as uploads lie on disk now; "
                "leave it out"
            )
        settings[match[1]] = match[2].strip()
    text = "|".join(
        f"{name}={value}"
        for name, value in settings.items()
        if name not in _STACKS_OWN and not name.endswith("_BUCKET_NAME")
    )
    if len(text) > MAX_SETTINGS_BYTES:
        raise Wrong(f"--settings {file}: more than {MAX_SETTINGS_BYTES:,} bytes of settings")
    return text


def parsed(line: str) -> dict[str, str]:
    """Return the settings of such a line by their names."""
    return dict(_SETTING.findall(line))


def require_hosts_own(settings: Mapping[str, str]) -> None:
    """Return if the web host is where it is looked for; raises `Wrong`."""
    for name, fixed in _HOSTS_OWN.items():
        if (text := settings.get(name, "")) not in {"", fixed}:
            raise Wrong(
                f"{name}={text}: on AWS expected {fixed}, as without this "
                "setting: leave it out of the file, and give that with --settings"
            )


def idle_s(settings: Mapping[str, str]) -> int:
    """Return the silence that a load balancer has to bear with these settings; raises `Wrong`."""
    text = settings.get("IMAGEFLEET_MAX_WAIT_S", "300")
    try:
        wait_s = math.ceil(float(text))
    except (ValueError, OverflowError):
        wait_s = -1
    if not 0 <= wait_s <= LONGEST_IDLE_S - BEYOND_WAIT_S:
        raise Wrong(
            f"IMAGEFLEET_MAX_WAIT_S={text}: behind a load balancer expected 0 to "
            f"{LONGEST_IDLE_S - BEYOND_WAIT_S:,} seconds"
        )
    return max(60, wait_s + BEYOND_WAIT_S)
