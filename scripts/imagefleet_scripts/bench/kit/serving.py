"""Servers under test: the web tier with all its features on, or the usual way."""

from __future__ import annotations

import subprocess
import time
import urllib.error
import urllib.request
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from imagefleet_scripts.bench.kit import tested
from imagefleet_scripts.bench.kit.errors import BenchError
from imagefleet_scripts.bench.kit.place import Place
from imagefleet_scripts.emulator import free_port
from imagefleet_web.keys import make

START_S = 30
LOOK_S = 0.05
# Far more than any run uploads; what counts is that each upload is counted.
PLENTY = str(10**8)


@dataclass(frozen=True)
class Served:
    """A server that answers.

    Attributes:
        url: ends with a slash.
        key: what its callers have to present, empty for nothing.
    """

    url: str
    process: subprocess.Popen[bytes]
    key: str = ""


@contextmanager
def web_tier(
    core: int | None, place: Place, folder: Path, settings: Mapping[str, str] | None = None
) -> Iterator[Served]:
    """Run the web tier with API keys, rate limits and quotas, and answers from stored results."""
    key, line = make("bench")
    keys = folder / "keys.txt"
    keys.write_text(f"{line}\n")
    port = free_port()
    environment = {
        "IMAGEFLEET_PREFIX": place.settings.prefix,
        "IMAGEFLEET_PORT": str(port),
        "IMAGEFLEET_LOG_FORMAT": "json",
        "IMAGEFLEET_API_KEYS_FILE": str(keys),
        "IMAGEFLEET_MAX_IMAGES_PER_MINUTE": PLENTY,
        "IMAGEFLEET_MAX_IMAGES_PER_DAY": PLENTY,
        "IMAGEFLEET_MAX_UPLOADS_AT_ONCE": PLENTY,
        "IMAGEFLEET_REUSE_RESULTS": "true",
        **(settings or {}),
    }
    log = folder / "web.log"
    with tested.running(core, "imagefleet_web", environment=environment, log=log) as process:
        yield _answering(Served(f"http://127.0.0.1:{port}/", process, key))


@contextmanager
def usual_way(core: int | None, place: Place, folder: Path) -> Iterator[Served]:
    """Run the baseline."""
    port = free_port()
    arguments = ("--prefix", place.settings.prefix, "--port", str(port))
    module, log = "imagefleet_scripts.bench.kit.bare_web", folder / "bare.log"
    with tested.running(core, module, *arguments, environment={}, log=log) as process:
        yield _answering(Served(f"http://127.0.0.1:{port}/", process))


def _answering(served: Served) -> Served:
    deadline = time.monotonic() + START_S
    while not _is_up(served.url):
        if time.monotonic() > deadline or served.process.poll() is not None:
            raise BenchError(f"nothing answers at {served.url}")
        time.sleep(LOOK_S)
    return served


def _is_up(url: str) -> bool:
    try:
        with urllib.request.urlopen(f"{url}healthz", timeout=1):
            return True
    except (urllib.error.URLError, OSError):
        return False
