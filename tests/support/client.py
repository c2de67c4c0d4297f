"""A running system's API, as the tests use it."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import requests

TIMEOUT_S = 300


def upload(url: str, images: Sequence[Path], **query: Any) -> dict[str, Any]:
    """Upload images as one batch and return the answer."""
    files = [("file", (path.name, path.read_bytes())) for path in images]
    answer = requests.post(f"{url}api/v1/upload", files=files, params=query, timeout=TIMEOUT_S)
    assert answer.ok, answer.text
    body: dict[str, Any] = answer.json()
    return body


def state(url: str, batch: str) -> dict[str, Any]:
    """Return the state of a batch."""
    body: dict[str, Any] = requests.get(f"{url}api/v1/batches/{batch}", timeout=TIMEOUT_S).json()
    return body
