"""One network in one runtime in a process of its own, which prints what that took as JSON."""

from __future__ import annotations

import argparse
import importlib
import json
import resource
import statistics
import sys
import threading
import time
from collections.abc import Callable, Sequence
from functools import cache
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from imagefleet_scripts.bench.kit import photographs
from imagefleet_worker.classifiers import PACKAGED_MODEL, load
from imagefleet_worker.decoding.decode import decode
from imagefleet_worker.recipe import Recipe

WARM_UP = 3
BATCHES = (1, 8)
PHOTOGRAPH = "coffee.jpg"

# From uint8 images (count, size, size, 3) to the best label of each.
Labeller: TypeAlias = Callable[[NDArray[np.uint8]], list[str]]


def openvino(options: argparse.Namespace) -> Labeller:
    """Return the network as the worker loads it."""
    classifier = load("openvino", threads=options.threads, cache_dir=options.cache)
    return lambda images: [top[0].label for top in classifier.classify(images)]


def openvino_own(options: argparse.Namespace) -> Labeller:
    """Return the network at the precision that OpenVINO chooses for this processor."""
    return _requests(threads=options.threads, streams=1, precision={})()


def onnxruntime(options: argparse.Namespace) -> Labeller:
    """Return the network in ONNX Runtime."""
    runtime: Any = importlib.import_module("onnxruntime")
    settings = runtime.SessionOptions()
    settings.intra_op_num_threads = options.threads
    session = runtime.InferenceSession(options.onnx, settings, providers=["CPUExecutionProvider"])
    name = session.get_inputs()[0].name
    return lambda images: _best(session.run(None, {name: images})[0])


def torch(options: argparse.Namespace) -> Labeller:
    """Return the network in eager PyTorch, its numbers in the order that PyTorch makes them in."""
    return _eager(options, "contiguous_format")


def torch_channels_last(options: argparse.Namespace) -> Labeller:
    """Return the network in eager PyTorch, its numbers in the order that images come in."""
    return _eager(options, "channels_last")


RUNTIMES: dict[str, Callable[[argparse.Namespace], Labeller]] = {
    "openvino": openvino,
    "openvino-own-precision": openvino_own,
    "onnxruntime": onnxruntime,
    "torch": torch,
    "torch-channels-last": torch_channels_last,
}


def main(arguments: Sequence[str] | None = None) -> int:
    """Load, measure and print; return 1 if the photograph gets another label than it must."""
    options = _options(arguments)
    images, label = _picture()
    if options.streams:
        print(json.dumps(_throughput(images, options)))
        return 0
    began = time.perf_counter()
    network = RUNTIMES[options.runtime](options)
    loaded_s = time.perf_counter() - began
    answers = network(images)
    answered_s = time.perf_counter() - began
    times = {f"batch_{count}_ms": _median_ms(network, images, count, options) for count in BATCHES}
    peak_mb = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024 / 1e6
    start = {"load_ms": 1000 * loaded_s, "first_answer_ms": 1000 * answered_s}
    print(json.dumps({**start, **times, "peak_mb": peak_mb}))
    if answers != [label]:
        print(f"{options.runtime} sees {answers[0]} instead of {label}", file=sys.stderr)
    return int(answers != [label])


def _requests(*, threads: int, streams: int, precision: dict[str, str]) -> Callable[[], Labeller]:
    """Return what makes another request of the network; each takes one call at a time."""
    # The worker's own import of it, which sends no usage reports.
    runtime = importlib.import_module("imagefleet_worker.classifiers.openvino_runtime").openvino
    settings = {
        "NUM_STREAMS": streams,
        "INFERENCE_NUM_THREADS": threads,
        "ENABLE_CPU_PINNING": False,
        **precision,
    }
    compiled = runtime.Core().compile_model(PACKAGED_MODEL / "model.xml", "CPU", settings)

    def request() -> Labeller:
        made = compiled.create_infer_request()
        return lambda images: _best(made.infer({0: images}, share_inputs=True)[0])

    return request


def _eager(options: argparse.Namespace, order: str) -> Labeller:
    torch: Any = importlib.import_module("torch")
    export = importlib.import_module("imagefleet_scripts.export.efficientnet_lite")
    torch.set_num_threads(options.threads)
    made, memory_format = export.efficientnet_lite0(), getattr(torch, order)
    module = made.module.eval().to(memory_format=memory_format)
    mean, std = (torch.tensor(each).reshape(1, 3, 1, 1) for each in (made.mean, made.std))

    def label(images: NDArray[np.uint8]) -> list[str]:
        with torch.inference_mode():
            colours = torch.from_numpy(images).permute(0, 3, 1, 2).float()
            normal = ((colours - mean) / std).contiguous(memory_format=memory_format)
            return _best(torch.softmax(module(normal), dim=1).numpy())

    return label


def _throughput(images: NDArray[np.uint8], options: argparse.Namespace) -> dict[str, float]:
    """Return how many images a second so many streams give, each asked by a thread of its own."""
    precision = {"INFERENCE_PRECISION_HINT": "f32"}
    request = _requests(threads=options.threads, streams=options.streams, precision=precision)
    networks = [request() for _ in range(options.streams)]

    def work(network: Labeller, count: int) -> None:
        for _ in range(count):
            network(images)

    def run(count: int) -> float:
        threads = [threading.Thread(target=work, args=(each, count)) for each in networks]
        began = time.perf_counter()
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        return time.perf_counter() - began

    run(WARM_UP)
    each = max(1, 10 * options.repeats // options.streams)
    took_s = run(each)
    return {
        "images_per_s": each * options.streams / took_s,
        "image_ms": 1000 * took_s / each,
    }


def _median_ms(
    network: Labeller, images: NDArray[np.uint8], count: int, options: argparse.Namespace
) -> float:
    batch, times = np.concatenate([images] * count), []
    for _ in range(WARM_UP + options.repeats):
        began = time.perf_counter()
        network(batch)
        times.append(1000 * (time.perf_counter() - began))
    return statistics.median(times[WARM_UP:])


def _picture() -> tuple[NDArray[np.uint8], str]:
    """Return a photograph as the network wants it, as a batch of one, and the label it must get."""
    (found,) = (each for each in photographs.samples() if each.name == PHOTOGRAPH)
    wanted = json.loads((PACKAGED_MODEL / "manifest.json").read_text())["input"]
    recipe = Recipe(wanted["size"], wanted["resize"], wanted["interpolation"])
    return decode(found.data, recipe)[None], found.label


def _best(probabilities: NDArray[np.float32]) -> list[str]:
    return [_labels()[int(index)] for index in probabilities.argmax(axis=1)]


@cache
def _labels() -> list[str]:
    return (PACKAGED_MODEL / "labels.txt").read_text().splitlines()


def _options(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description="Measure one runtime.")
    parser.add_argument("--runtime", choices=RUNTIMES, default="openvino")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--streams", type=int, default=0, help="measure throughput instead")
    parser.add_argument("--repeats", type=int, default=20)
    parser.add_argument("--onnx", help="the network's ONNX file")
    parser.add_argument("--cache", type=Path, help="where OpenVINO keeps what it compiled")
    return parser.parse_args(arguments)


if __name__ == "__main__":
    sys.exit(main())
