"""Pillow against simplejpeg, OpenCV and TurboJPEG: CPU time of a JPEG, and what it does to labels.

The libraries besides Pillow are measured where they are installed:
`pip install simplejpeg opencv-python-headless PyTurboJPEG`.
"""

from __future__ import annotations

import argparse
import io
import json
import statistics
import sys
import time
from collections.abc import Mapping, Sequence

import numpy as np
from PIL import Image

from imagefleet_scripts.bench.kit import cores, photographs
from imagefleet_scripts.bench.kit.jpeg_ways import REFERENCE, Way, installed
from imagefleet_scripts.bench.kit.options import add_json, positive
from imagefleet_worker import classifiers

LARGE = (4000, 3000)
NOISE = 12
ENOUGH_S = 0.1

Figures = dict[str, float]


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure, print a table in Markdown, and return the exit status."""
    options = _options(arguments)
    files, ways = speed_files(), installed()
    with cores.on(cores.choose().tested):
        measured = {name: way for name, way in ways.items() if way}
        times = cpu_ms(measured, files, options.rounds)
        changes = label_changes(measured)
    figures = {name: {**times[name], **changes[name]} for name in measured}
    print(table(ways, figures, list(files)))
    if options.json:
        options.json.write_text(json.dumps(figures, indent=2) + "\n")
    return 0


def speed_files() -> dict[str, bytes]:
    """Return the JPEGs whose decoding is timed."""
    small = max(photographs.samples(), key=lambda each: len(each.data)).data
    with Image.open(io.BytesIO(small)) as image:
        kept = f"{image.width} x {image.height}"
        smooth = image.convert("RGB").resize(LARGE, Image.Resampling.BICUBIC)
    noise = np.random.default_rng(0).normal(0, NOISE, (LARGE[1], LARGE[0], 3))
    noisy = Image.fromarray((np.asarray(smooth) + noise).clip(0, 255).astype(np.uint8))
    return {
        kept: small,
        "12 MP smooth": _jpeg(smooth),
        "12 MP noisy": _jpeg(noisy),
        "12 MP progressive": _jpeg(smooth, progressive=True),
    }


def cpu_ms(ways: Mapping[str, Way], files: Mapping[str, bytes], rounds: int) -> dict[str, Figures]:
    """Return the median CPU time in ms by way and file; the ways take turns."""
    times: dict[str, dict[str, list[float]]] = {way: {file: [] for file in files} for way in ways}
    for file, data in files.items():
        for _ in range(rounds):
            for name, way in ways.items():
                times[name][file] += _timed(way, data)
    return {
        name: {file: 1000 * statistics.median(each) for file, each in found.items()}
        for name, found in times.items()
    }


def label_changes(ways: Mapping[str, Way]) -> dict[str, Figures]:
    """Return what the ways do to the answers on the sample photographs, small and enlarged.

    Keys: `labels`, how many are those of the photographs decoded at full size; `change`, the
    largest change of the probability of one of those.
    """
    classifier = classifiers.load("openvino", threads=1)
    chosen = [*photographs.samples(), *photographs.large()]

    def scores(way: Way) -> list[dict[str, float]]:
        answers = (classifier.classify(way(each.data)[None])[0] for each in chosen)
        return [{one.label: one.score for one in answer} for answer in answers]

    expected = [max(each.items(), key=lambda item: item[1]) for each in scores(ways[REFERENCE])]
    changes: dict[str, Figures] = {}
    for name, way in ways.items():
        pairs = list(zip(scores(way), expected, strict=True))
        changes[name] = {
            "labels": sum(
                max(found, key=found.__getitem__) == label for found, (label, _) in pairs
            ),
            "photographs": len(pairs),
            "change": max(abs(found.get(label, 0) - score) for found, (label, score) in pairs),
        }
    return changes


def table(
    ways: Mapping[str, Way | None], figures: Mapping[str, Figures], files: Sequence[str]
) -> str:
    """Write all of it in Markdown."""
    columns = ["", *(f"{file}, CPU ms" for file in files), "same label", "largest change"]
    lines = [_row(columns), _row(["---", *["--:"] * (len(columns) - 1)])]
    for name, way in ways.items():
        found = figures.get(name, {})
        cells = [f"{found[file]:.1f}" for file in files] if found else []
        cells += [f"{found['labels']} of {found['photographs']}"] if found else []
        cells += [f"{found['change']:.3f}"] if found else []
        lines.append(_row([name, *(cells or ["not installed"] if way is None else cells)]))
    return "\n".join(lines)


def _row(cells: Sequence[str]) -> str:
    return f"| {' | '.join(cells)} |"


def _timed(way: Way, data: bytes) -> list[float]:
    """Return CPU times in seconds, one for each time of a short while."""
    way(data)
    times: list[float] = []
    while sum(times) < ENOUGH_S:
        began = time.process_time()
        way(data)
        times.append(time.process_time() - began)
    return times


def _jpeg(image: Image.Image, *, progressive: bool = False) -> bytes:
    file = io.BytesIO()
    image.save(file, "JPEG", quality=90, progressive=progressive)
    return file.getvalue()


def _options(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="scripts/bench decode", description=__doc__)
    parser.add_argument(
        "--rounds", type=positive, default=3, help="turns of each way (default: %(default)s)"
    )
    add_json(parser)
    return parser.parse_args(arguments)


if __name__ == "__main__":
    sys.exit(main())
