"""What an image function may answer with: a JSON object that every tier can carry and read."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from typing import Any

import numpy as np

# A result is read by browsers and kept in memory by the web tier; files of data belong elsewhere.
MAX_BYTES = 64 * 1024
# Far below what any reader of JSON can follow (Python's: a thousand).
MAX_DEPTH = 32
# What other languages' readers of JSON can hold.
_INTEGERS = range(-(2**63), 2**64)


# How a result fails by a mistake of the image function.
FAILED, TOO_LARGE = "processor_failed", "output_too_large"


class OutputError(Exception):
    """The answer can't be kept; the message says why.

    Attributes:
        code: `FAILED` or `TOO_LARGE`.
    """

    def __init__(self, message: str, code: str = FAILED) -> None:
        super().__init__(message)
        self.code = code


def checked(answer: object) -> dict[str, Any]:
    """Return a copy of an answer in JSON's own types.

    Scalars of numpy become numbers, and tuples lists.

    Raises:
        OutputError: it is no JSON object, or a part of it is not JSON, or it is too large.
    """
    if not isinstance(answer, Mapping):
        raise OutputError(f"it answered with {kind(answer)} for an image instead of a JSON object")
    output: dict[str, Any] = _plain(answer, "output", MAX_DEPTH)
    size = len(json.dumps(output, ensure_ascii=False, separators=(",", ":")).encode())
    if size > MAX_BYTES:
        raise OutputError(
            f"its output has {size:,} bytes; at most {MAX_BYTES:,} are kept", TOO_LARGE
        )
    return output


def _plain(value: object, where: str, depth: int) -> Any:
    if depth == 0:
        raise _not_json(where[:80], f"nested more than {MAX_DEPTH} deep")
    if isinstance(value, Mapping):
        if any(not isinstance(key, str) for key in value):
            wrong = next(key for key in value if not isinstance(key, str))
            raise _not_json(where, f"a mapping with {kind(wrong)} as a key")
        return {
            _text(key, where): _plain(value[key], f"{where}[{key!r}]", depth - 1) for key in value
        }
    if isinstance(value, list | tuple):
        return [_plain(each, f"{where}[{i}]", depth - 1) for i, each in enumerate(value)]
    return _scalar(value.item() if isinstance(value, np.generic) else value, where)


def _scalar(value: object, where: str) -> str | float | bool | None:
    if isinstance(value, str):
        return _text(value, where)
    if value is None or isinstance(value, bool):
        return value
    if isinstance(value, float):
        if not math.isfinite(value):
            raise _not_json(where, str(value))
        return value
    if isinstance(value, int):
        if value not in _INTEGERS:
            raise _not_json(where, "an integer of more than 64 bits")
        return value
    hint = "; use its tolist()" if isinstance(value, np.ndarray) else ""
    raise _not_json(where, f"{kind(value)}{hint}")


def _text(text: str, where: str) -> str:
    try:
        text.encode()
    except UnicodeEncodeError as error:
        raise _not_json(where, "a text with half a surrogate pair") from error
    return text


def _not_json(where: str, what: str) -> OutputError:
    return OutputError(f"its output is not JSON: {where} is {what}")


def kind(value: object) -> str:
    """Say what kind of object a value is."""
    name = type(value).__name__
    return "None" if value is None else f"{'an' if name[0] in 'aeiou' else 'a'} {name}"
