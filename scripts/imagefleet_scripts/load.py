"""Uploads many images at once, waits for each one's label, and prints how that went."""

from __future__ import annotations

import argparse
import csv
import itertools
import json
import math
import statistics
import sys
import time
from collections.abc import Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass
from pathlib import Path

import requests

SAMPLES = Path(__file__).parents[2] / "samples"
SUFFIXES = {".jpg", ".jpeg", ".png", ".webp", ".gif", ".bmp", ".tif", ".tiff"}
# The same photographs are uploaded again and again; each is to be worked on, not remembered.
WORK = {"Cache-Control": "no-cache"}
# Seconds to the last result that the original design's own evaluation gives, by concurrent uploads.
ORIGINAL_S = {1: 72, 10: 132, 50: 210, 100: 360}


@dataclass(frozen=True)
class Answer:
    """What came of one upload: a label or a line of JSON, or why there is neither."""

    image: str
    seconds: float
    text: str | None
    failure: str | None

    @property
    def label(self) -> str | None:
        """The label, unless the system has an image function that gives none."""
        return None if self.text is None or self.text.startswith("{") else self.text


@dataclass(frozen=True)
class Round:
    """What came of one burst of uploads; times in seconds."""

    images: int
    seconds: float
    images_per_s: float
    p50_s: float
    p99_s: float
    missing: int
    mismatched: int

    @classmethod
    def of(cls, answers: Sequence[Answer], seconds: float, expected: Mapping[str, str]) -> Round:
        """Sum up the answers of one burst."""
        times = sorted(answer.seconds for answer in answers)
        answered = [answer for answer in answers if answer.text is not None]
        labelled = [answer for answer in answered if answer.label is not None]
        return cls(
            images=len(answers),
            seconds=round(seconds, 3),
            images_per_s=round(len(answers) / seconds, 1),
            p50_s=round(statistics.median(times), 3),
            p99_s=round(times[math.ceil(0.99 * len(times)) - 1], 3),
            missing=len(answers) - len(answered),
            mismatched=sum(
                expected.get(answer.image, answer.label) != answer.label for answer in labelled
            ),
        )


def upload(url: str, image: Path, timeout_s: float) -> Answer:
    """Upload one image and wait for its answer."""
    began = time.monotonic()
    text = failure = None
    try:
        with image.open("rb") as file:
            answer = requests.post(
                url, files={"file": (image.name, file)}, headers=WORK, timeout=timeout_s
            )
        if answer.ok:
            text = answer.text.strip()
        else:
            failure = f"{answer.status_code}: {answer.text.strip()}"
    except requests.RequestException as error:
        failure = f"{type(error).__name__}: {error}"
    return Answer(image.name, time.monotonic() - began, text, failure)


def burst(
    url: str, images: Iterable[Path], count: int, timeout_s: float
) -> tuple[list[Answer], float]:
    """Upload `count` images at once; return their answers and the seconds to the last one."""
    chosen = list(itertools.islice(itertools.cycle(images), count))
    with ThreadPoolExecutor(count) as pool:
        began = time.monotonic()
        answers = list(pool.map(lambda image: upload(url, image, timeout_s), chosen))
        return answers, time.monotonic() - began


def read_labels(path: Path) -> dict[str, str]:
    """Read expected labels from a CSV with the columns Image and Results.

    Raises:
        ValueError: a column is missing.
    """
    with path.open(newline="", encoding="utf-8-sig") as file:
        rows = csv.DictReader(file)
        if not {"Image", "Results"} <= set(rows.fieldnames or ()):
            raise ValueError(f"{path} must have the columns Image and Results")
        return {row["Image"]: row["Results"].strip() for row in rows}


def table(rounds: Sequence[Round]) -> str:
    """Write the rounds as a table for people."""
    lines = ["images  seconds  images/s    p50 s    p99 s  missing  mismatched  original design s"]
    lines += [
        f"{each.images:6}  {each.seconds:7.2f}  {each.images_per_s:8.1f}  {each.p50_s:7.2f}  "
        f"{each.p99_s:7.2f}  {each.missing:7}  {each.mismatched:10}  "
        f"{ORIGINAL_S.get(each.images, '-'):>17}"
        for each in rounds
    ]
    return "\n".join(lines)


def _counts(text: str) -> list[int]:
    counts = [int(each) for each in text.split(",") if int(each) > 0]
    if len(counts) != text.count(",") + 1:
        raise ValueError(text)
    return counts


def _options(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="scripts/load",
        description="Upload images at once, each waiting for its answer; print a table. Each is "
        "worked on, even if its answer is known. Exits with 1 if one answer is missing, or is a "
        "label and not the expected one.",
    )
    parser.add_argument(
        "images",
        nargs="?",
        type=Path,
        default=SAMPLES,
        help="a folder of images, used again and again (default: the sample photographs)",
    )
    parser.add_argument(
        "--url",
        default="http://127.0.0.1:8080/",
        help="where Imagefleet answers (default: %(default)s)",
    )
    parser.add_argument(
        "--counts",
        type=_counts,
        default="1,10,50,100",
        help="how many at once, round by round, with commas between (default: %(default)s)",
    )
    parser.add_argument(
        "--expect",
        type=Path,
        metavar="CSV",
        help="expected labels, with the columns Image and Results",
    )
    parser.add_argument(
        "--timeout",
        type=float,
        default=400,
        metavar="S",
        help="seconds to wait for one answer (default: %(default)s)",
    )
    parser.add_argument("--json", type=Path, metavar="FILE", help="also write the rounds as JSON")
    options = parser.parse_args(arguments)
    if options.images == SAMPLES and options.expect is None:
        options.expect = SAMPLES / "labels.csv"
    return options


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the rounds; return the exit status."""
    options = _options(arguments)
    try:
        images = sorted(p for p in options.images.iterdir() if p.suffix.lower() in SUFFIXES)
        expected = read_labels(options.expect) if options.expect else {}
    except (OSError, ValueError) as error:
        print(f"scripts/load: {error}", file=sys.stderr)
        return 2
    if not images:
        print(f"scripts/load: no images in {options.images}", file=sys.stderr)
        return 2

    rounds = []
    for count in options.counts:
        answers, seconds = burst(options.url, images, count, options.timeout)
        rounds.append(Round.of(answers, seconds, expected))
        for answer in answers:
            if answer.failure is not None:
                print(f"{answer.image}: {answer.failure}", file=sys.stderr)
    print(table(rounds))
    if options.json:
        options.json.write_text(json.dumps([asdict(each) for each in rounds], indent=2) + "\n")
    return int(any(each.missing or each.mismatched for each in rounds))


if __name__ == "__main__":
    sys.exit(main())
