"""The network in OpenVINO against ONNX Runtime and PyTorch, and how quickly OpenVINO starts."""

from __future__ import annotations

import argparse
import importlib.util
import json
import statistics
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from imagefleet_scripts.bench.kit import cores, tested
from imagefleet_scripts.bench.kit.options import add_json, positive

KIT = "imagefleet_scripts.bench.kit"
ROWS = {
    "openvino": "OpenVINO, float32, as the worker runs it",
    "openvino-own-precision": "OpenVINO, the precision it chooses",
    "onnxruntime": "ONNX Runtime",
    "torch": "PyTorch, eager",
    "torch-channels-last": "PyTorch, eager, channels last",
}
THREADS = (1, 2)
# Streams, and the threads that they share.
STREAMS = ((1, 2), (2, 2))
ONNX_PACKAGES = ("onnxruntime", "onnx", "onnxscript")
STARTS = {
    "without": "without a cache of what was compiled",
    "writing": "the first start with one, which writes it",
    "reading": "every further start",
}

Figures = dict[str, Any]


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure, print tables, and return the exit status."""
    options = _options(arguments)
    cores.choose()  # fails where there is only one
    with TemporaryDirectory(prefix="imagefleet-bench-") as folder:
        found = {
            "runtimes": _runtimes(Path(folder), options),
            "streams": [_streams(streams, threads, options) for streams, threads in STREAMS],
            "starts": _starts(Path(folder), options),
        }
    print(report(found))
    if options.json:
        options.json.write_text(json.dumps(found, indent=2) + "\n")
    return 0


def report(found: Mapping[str, Any]) -> str:
    """Write all of it for people."""
    lines = [f"{'':42}threads  1 image, ms  8 images, ms  load, ms  to an answer, ms  peak MB"]
    lines += [
        f"{ROWS[each['runtime']]:42}{each['threads']:7}  {each['batch_1_ms']:11.1f}  "
        f"{each['batch_8_ms']:12.1f}  {each['load_ms']:8.0f}  {each['first_answer_ms']:16.0f}  "
        f"{each['peak_mb']:7.0f}"
        for each in found["runtimes"]
    ]
    if all(each["runtime"] != "onnxruntime" for each in found["runtimes"]):
        lines.append(
            f"{ROWS['onnxruntime']:42}not installed: pip install {' '.join(ONNX_PACKAGES)}"
        )
    lines += ["", f"{'OpenVINO, one image a request':42}images/s  ms an image"]
    lines += [
        f"{each['streams']} of {each['threads'] // each['streams']} threads at once".ljust(42)
        + f"{each['images_per_s']:8.1f}  {each['image_ms']:11.1f}"
        for each in found["streams"]
    ]
    lines += ["", f"{'OpenVINO starts':42}load, ms  to an answer, ms"]
    lines += [
        f"{STARTS[name]:42}{each['load_ms']:8.0f}  {each['first_answer_ms']:16.0f}"
        for name, each in found["starts"].items()
    ]
    return "\n".join(lines)


def _runtimes(folder: Path, options: argparse.Namespace) -> list[Figures]:
    onnx = _onnx(folder)
    return [
        {
            "runtime": runtime,
            "threads": threads,
            **_child(options, "--runtime", runtime, "--threads", str(threads), "--onnx", str(onnx)),
        }
        for runtime in ROWS
        if onnx or runtime != "onnxruntime"
        for threads in THREADS
    ]


def _onnx(folder: Path) -> Path | None:
    """Write the network's ONNX file if its runtime is here at all."""
    if any(importlib.util.find_spec(package) is None for package in ONNX_PACKAGES):
        return None
    file = folder / "model.onnx"
    tested.output(None, f"{KIT}.onnx_file", str(file))
    return file


def _streams(streams: int, threads: int, options: argparse.Namespace) -> Figures:
    found = _child(options, "--streams", str(streams), "--threads", str(threads))
    return {"streams": streams, "threads": threads, **found}


def _starts(folder: Path, options: argparse.Namespace) -> dict[str, Figures]:
    """Return the medians of several starts of each kind, taken in turn."""
    found: dict[str, list[Figures]] = {name: [] for name in STARTS}
    for number in range(options.starts):
        cache = ("--cache", str(folder / f"cache-{number}"))
        found["without"].append(_child(options))
        found["writing"].append(_child(options, *cache))
        found["reading"].append(_child(options, *cache))
    return {
        name: {
            figure: statistics.median(each[figure] for each in starts)
            for figure in ("load_ms", "first_answer_ms")
        }
        for name, starts in found.items()
    }


def _child(options: argparse.Namespace, *arguments: str) -> Figures:
    return tested.answer(None, f"{KIT}.runtimes", "--repeats", str(options.repeats), *arguments)


def _options(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="scripts/bench model",
        description="Measure the worker's network in several runtimes with one photograph, each in "
        "a new process: alone and eight times in a batch, on one thread and on two; then OpenVINO "
        "with two threads for one image against a thread each for two; then OpenVINO's start with "
        "and without a cache of the compiled network. ONNX Runtime takes part where it is "
        "installed.",
    )
    parser.add_argument(
        "--repeats",
        type=positive,
        default=20,
        metavar="N",
        help="measurements of each figure, of which the median counts (default: %(default)s)",
    )
    parser.add_argument(
        "--starts", type=positive, default=5, metavar="N", help="starts of each kind (default: 5)"
    )
    add_json(parser)
    return parser.parse_args(arguments)


if __name__ == "__main__":
    sys.exit(main())
