"""What the instance is told: images/ami/bake.yaml with the provisioning in it."""

from __future__ import annotations

import re
import shlex
from collections.abc import Mapping, Sequence
from pathlib import Path

from imagefleet_scripts.bake_ami.machine import BAKE_S
from imagefleet_scripts.deploy.cli import Wrong
from imagefleet_scripts.deploy.template import MAX_USER_DATA_BYTES, TEXT_INDENT, user_data

_NAME = re.compile(r"\$\{(!?)([^}]+)\}")


def of(mark: str, image: str, *, gpu: bool = False, apt_source: Path | None = None) -> str:
    """Return the user data of an instance that provisions itself and powers off.

    Args:
        image: the worker's, to be pulled.
        apt_source: a file for apt, see `images/ami/provision --help`.

    Raises:
        Wrong: the file can't be read, or is too large.
    """
    options = ["--image", image]
    source = ""
    if gpu:
        options.append("--gpu")
    if apt_source:
        try:
            source = apt_source.read_text(encoding="utf-8")
        except (OSError, UnicodeError) as error:
            raise Wrong(f"--apt-source {apt_source}: {error}") from error
        options += ["--apt-source", "/opt/imagefleet-bake/apt.sources"]
    text = filled(
        user_data("images/ami/bake.yaml"),
        {
            "Mark": mark,
            "Options": shlex.join(options),
            "Seconds": str(BAKE_S),
            "AptSource": "\n".join(_indented(source.splitlines())).lstrip(),
        },
    )
    if len(text.encode()) > MAX_USER_DATA_BYTES:
        raise Wrong(f"--apt-source {apt_source}: too large for user data")
    return text


def filled(text: str, names: Mapping[str, str]) -> str:
    """Fill names in as CloudFormation's `Fn::Sub` does."""
    return _NAME.sub(lambda found: f"${{{found[2]}}}" if found[1] else names[found[2]], text)


def _indented(lines: Sequence[str]) -> list[str]:
    return [TEXT_INDENT + line for line in lines]
