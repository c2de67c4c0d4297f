"""infra/fleet.yaml as CloudFormation gets it: with the user data of its machines in place.

`"@path"` stands for a file's text, and `@path` on a line of its own inside such a file for another
file's lines. What is for CloudFormation to fill in is written `${Name}` in user data; the files
that those quote keep their own `${NAME}`.
"""

from __future__ import annotations

import json
import re
from pathlib import Path

from imagefleet_core.errors import ImagefleetError
from imagefleet_scripts.deploy import compact

ROOT = Path(__file__).parents[3]
DATA, FLEET = ROOT / "infra/data.yaml", ROOT / "infra/fleet.yaml"
# https://docs.aws.amazon.com/AWSEC2/latest/UserGuide/user-data.html
MAX_USER_DATA_BYTES = 16_384
# Of that, for settings, and for names that are filled in, which may be longer than their places.
MAX_SETTINGS_BYTES, NAMES_BYTES = 3072, 1024
# https://docs.aws.amazon.com/AWSCloudFormation/latest/UserGuide/cloudformation-limits.html
MAX_TEMPLATE_BYTES = 51_200

_TEXT = re.compile(r'"@([\w./-]+)"')
_LINES = re.compile(r"^( *)@([\w./-]+)$", re.MULTILINE)
# Comments are for who reads the file, and user data has 16 KB. `#cloud-config` and `#!` are none.
_COMMENT = re.compile(r"^\s*#( .*)?\n|^\s*\n", re.MULTILINE)

# Lists may begin where their key does, so a step less of each line means the same; and texts need
# one column more than their key, not two.
_STEP, _TEXTS = re.compile(r"^  ", re.MULTILINE), re.compile(r"^ {4}", re.MULTILINE)
TEXT_INDENT = " " * 3
# Of quoted YAML half of what indents a line.
_INDENT = re.compile(r"^( +)\1", re.MULTILINE)


def data() -> str:
    """Return the template of buckets and queues."""
    return DATA.read_text(encoding="utf-8")


def fleet() -> str:
    """Return the template of the machines.

    Raises:
        ImagefleetError: user data or the template are larger than AWS takes.
    """
    body = compact.as_json(readable())
    if len(body.encode()) > MAX_TEMPLATE_BYTES:
        raise ImagefleetError(f"infra/fleet.yaml: more than {MAX_TEMPLATE_BYTES:,} bytes in all")
    return body


def readable() -> str:
    """Return the template of the machines as `fleet` does, but as YAML, and of any size."""
    text = _COMMENT.sub("", FLEET.read_text(encoding="utf-8"))
    return _TEXT.sub(lambda found: json.dumps(user_data(found[1])), text)


def user_data(path: str) -> str:
    """Return a file of user data, with the files that it quotes; raises `ImagefleetError`."""
    text = _COMMENT.sub("", (ROOT / path).read_text(encoding="utf-8"))
    text = _LINES.sub(lambda found: _quoted(found[2], found[1]), text)
    text = _TEXTS.sub(TEXT_INDENT, _STEP.sub("", text))
    if len(text.encode()) > MAX_USER_DATA_BYTES - MAX_SETTINGS_BYTES - NAMES_BYTES:
        raise ImagefleetError(f"{path}: more user data than EC2 takes, {MAX_USER_DATA_BYTES:,}")
    return text


def _quoted(path: str, indent: str) -> str:
    text = _COMMENT.sub("", (ROOT / path).read_text(encoding="utf-8"))
    if path.endswith(".yaml"):
        text = _INDENT.sub(r"\1", text)
    lines = text.replace("${", "${!").rstrip("\n").splitlines()
    return "\n".join(indent + line for line in lines)
