"""Takes the pictures of the page that the README shows, from a whole system at work."""

from __future__ import annotations

import argparse
import functools
import io
import itertools
import os
import shutil
import signal
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import cast

import requests
from PIL import Image, ImageChops
from playwright.sync_api import Browser, FloatRect, Page, sync_playwright

from imagefleet_scripts.emulator import free_port

ROOT = Path(__file__).parents[2]
PHOTOGRAPHS = sorted((ROOT / "samples").glob("*.jpg"))
CHROMIUM = ("chromium", "chromium-browser", "google-chrome")
DESK, FLEET, PHONE = (1180, 1000), (1180, 1060), (360, 720)
READY_S = 60
# Some minutes that show how a fleet works: photographs at once, and seconds until the next burst.
# The pictures are taken at the end of the last one's.
BURSTS = ((300, 60), (900, 70), (1800, 20))
UPLOAD = 100
SENDERS = 4
RESULT_MS = 120_000
UPLOAD_S = 120
COLOURS, OWN_COLOURS = 256, 32
SYSTEM = {
    # Each photograph of a burst is to be worked on, though there are but six.
    "IMAGEFLEET_REUSE_RESULTS": "false",
    "IMAGEFLEET_SCALE_IN_AFTER_S": "15",
    # What a small instance costs, so that there is a cost to show.
    "IMAGEFLEET_WORKER_USD_PER_HOUR": "0.0425",
}


class ScreenshotsError(Exception):
    """Why there are no pictures, in a sentence."""


def run(folder: Path) -> None:
    """Write the four pictures into a folder."""
    with _system() as url, _chromium() as browser:
        _wake(url)
        for name, size, scheme in (
            ("page", DESK, "light"),
            ("page-dark", DESK, "dark"),
            ("phone", PHONE, "light"),
        ):
            with _page(browser, url, size, scheme) as page:
                _choose(page, PHOTOGRAPHS)
                _await_done(page, len(PHOTOGRAPHS))
                page.wait_for_load_state("networkidle")
                below = "" if size == PHONE else "#cards"
                _keep(page, folder / f"{name}.png", size, below)
        with _page(browser, f"{url}#fleet", FLEET, "light") as page:
            _work(url)
            _keep(page, folder / "fleet.png", FLEET)


@contextmanager
def _system() -> Iterator[str]:
    """Run the system on a free port; yield its address."""
    url = f"http://127.0.0.1:{free_port()}/"
    port = url.rstrip("/").rpartition(":")[2]
    command = [sys.executable, "-m", "imagefleet_scripts.up", "--port", port, "--max-workers", "4"]
    process = subprocess.Popen(command, env={**os.environ, **SYSTEM})
    try:
        _await_ready(f"{url}readyz", process)
        yield url
    finally:
        process.send_signal(signal.SIGINT)
        process.wait()


def _await_ready(url: str, process: subprocess.Popen[bytes]) -> None:
    deadline = time.monotonic() + READY_S
    while True:
        with suppress(urllib.error.URLError, OSError), urllib.request.urlopen(url, timeout=2):
            return
        if process.poll() is not None or time.monotonic() > deadline:
            raise ScreenshotsError("the system does not start; its reason stands above")
        time.sleep(0.1)


@contextmanager
def _chromium() -> Iterator[Browser]:
    path = next(filter(None, map(shutil.which, CHROMIUM)), None)
    if path is None:
        raise ScreenshotsError("there is no Chromium on this machine")
    # Chromium's own sandbox is not to be had by root, as which containers often run.
    arguments = ["--no-sandbox"] if os.geteuid() == 0 else []
    with sync_playwright() as playwright:
        yield playwright.chromium.launch(executable_path=path, args=arguments)


@contextmanager
def _page(browser: Browser, url: str, size: tuple[int, int], scheme: str) -> Iterator[Page]:
    width, height = size
    with browser.new_context(
        viewport={"width": width, "height": height},
        device_scale_factor=2 if size == PHONE else 1,
        color_scheme="dark" if scheme == "dark" else "light",
        reduced_motion="reduce",
    ) as context:
        page = context.new_page()
        page.goto(url)
        yield page


def _wake(url: str) -> None:
    """Have a worker there, so that the cards tell what an image takes and not what a start does."""
    with PHOTOGRAPHS[0].open("rb") as photograph:
        requests.post(url, files={"file": photograph}, timeout=UPLOAD_S).raise_for_status()


def _work(url: str) -> None:
    """Have the fleet work on bursts of photographs; return amid the last one."""
    images = itertools.cycle((path.name, path.read_bytes()) for path in PHOTOGRAPHS)
    with ThreadPoolExecutor(SENDERS) as senders:
        for count, until_next_s in BURSTS:
            began = time.monotonic()
            uploads = [[next(images) for _ in range(UPLOAD)] for _ in range(count // UPLOAD)]
            for answer in senders.map(lambda each: _upload(url, each), uploads):
                answer.raise_for_status()
            time.sleep(max(0, until_next_s - (time.monotonic() - began)))


def _upload(url: str, images: Sequence[tuple[str, bytes]]) -> requests.Response:
    files = [("file", image) for image in images]
    return requests.post(f"{url}api/v1/upload", files=files, timeout=UPLOAD_S)


def _choose(page: Page, photographs: Sequence[Path]) -> None:
    page.get_by_label("Choose pictures").set_input_files(photographs)


def _await_done(page: Page, count: int) -> None:
    done = page.locator("#count-done").get_by_text(str(count), exact=True)
    done.wait_for(timeout=RESULT_MS)


def _keep(page: Page, path: Path, size: tuple[int, int], below: str = "") -> None:
    """Write what the window shows, or the page down to the end of an element."""
    width, height = size
    if below and (box := page.locator(below).bounding_box()):
        height = round(box["y"] + box["height"])
    clip: FloatRect = {"x": 0, "y": 0, "width": width, "height": height}
    picture = Image.open(io.BytesIO(page.screenshot(clip=clip, full_page=True))).convert("RGB")
    _with_palette(picture).save(path, optimize=True)
    print(f"{path}: {picture.width} x {picture.height}, {path.stat().st_size / 1000:.0f} kB")


def _with_palette(picture: Image.Image) -> Image.Image:
    """Return a picture of 256 colours, a third of the size, in which the page's own are exact."""
    counted = cast(
        list[tuple[int, tuple[int, int, int]]],
        picture.getcolors(picture.width * picture.height),
    )
    own = [colour for _, colour in sorted(counted, reverse=True)[:OWN_COLOURS]]
    others = picture.quantize(COLOURS - OWN_COLOURS).getpalette() or []
    palette = Image.new("P", (1, 1))
    palette.putpalette([*itertools.chain.from_iterable(own), *others][: 3 * COLOURS])
    reduced = picture.quantize(palette=palette, dither=Image.Dither.FLOYDSTEINBERG)
    for index, colour in enumerate(own):  # Pillow takes the first that is near
        reduced.paste(index, mask=_where(picture, colour))
    return reduced


def _where(picture: Image.Image, colour: tuple[int, int, int]) -> Image.Image:
    """Return a mask of where a picture has exactly this colour."""
    apart = ImageChops.difference(picture, Image.new("RGB", picture.size, colour))
    most = functools.reduce(ImageChops.lighter, apart.split())
    return most.point([255] + [0] * 255)


def main(arguments: Sequence[str] | None = None) -> int:
    """Take the pictures; return the exit status."""
    parser = argparse.ArgumentParser(
        prog="scripts/screenshots",
        description="Run the whole system, use its page in Chromium, and write page.png, "
        "page-dark.png, phone.png and fleet.png. Takes about three minutes.",
    )
    parser.add_argument(
        "folder", nargs="?", type=Path, default=ROOT / "docs", help="default: %(default)s"
    )
    try:
        run(parser.parse_args(arguments).folder)
    except ScreenshotsError as error:
        print(f"scripts/screenshots: {error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
