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
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from imagefleet_scripts.bench.kit import photographs
from imagefleet_worker.classifiers import PACKAGED_MODEL, Classifier, load
from imagefleet_worker.classifiers.base import Images
from imagefleet_worker.classifiers.exported import ExportedClassifier
from imagefleet_worker.classifiers.model import Model, read_model
from imagefleet_worker.decoding.decode import decode
from imagefleet_worker.recipe import Recipe

WARM_UP = 3
BATCHES = (1, 8)
PHOTOGRAPH = "coffee.jpg"


def openvino(model: Model, options: argparse.Namespace) -> Classifier:
    """Return the network as the worker loads it."""
    return load("openvino", model.directory, options.threads, options.cache)


def openvino_own(model: Model, options: argparse.Namespace) -> Classifier:
    """Return the network at the precision that OpenVINO chooses for this processor."""
    return load("openvino", model.directory, options.threads, options.cache, "native")


def onnxruntime(model: Model, options: argparse.Namespace) -> Classifier:
    """Return the network in ONNX Runtime."""
    runtime: Any = importlib.import_module("onnxruntime")
    settings = runtime.SessionOptions()
    settings.intra_op_num_threads = options.threads
    session = runtime.InferenceSession(options.onnx, settings, providers=["CPUExecutionProvider"])
    name = session.get_inputs()[0].name
    return ExportedClassifier(model, lambda images: session.run(None, {name: images})[0])


def torch(model: Model, options: argparse.Namespace) -> Classifier:
    """Return the network in eager PyTorch, its numbers in the order that PyTorch makes them in."""
    return _eager(model, options, "contiguous_format")


def torch_channels_last(model: Model, options: argparse.Namespace) -> Classifier:
    """Return the network in eager PyTorch, its numbers in the order that images come in."""
    return _eager(model, options, "channels_last")


RUNTIMES: dict[str, Callable[[Model, argparse.Namespace], Classifier]] = {
    "openvino": openvino,
    "openvino-own-precision": openvino_own,
    "onnxruntime": onnxruntime,
    "torch": torch,
    "torch-channels-last": torch_channels_last,
}


def main(arguments: Sequence[str] | None = None) -> int:
    """Load, measure and print; return 1 if the photograph gets another label than it must."""
    options = _options(arguments)
    model = read_model(PACKAGED_MODEL, "openvino")
    images, label = _picture(model.recipe)
    if options.streams:
        print(json.dumps(_throughput(model, images, options)))
        return 0
    began = time.perf_counter()
    classifier = RUNTIMES[options.runtime](model, options)
    loaded_s = time.perf_counter() - began
    ((answer, *_),) = classifier.classify(images)
    answered_s = time.perf_counter() - began
    times = {
        f"batch_{count}_ms": _median_ms(classifier, images, count, options) for count in BATCHES
    }
    peak_mb = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024 / 1e6
    start = {"load_ms": 1000 * loaded_s, "first_answer_ms": 1000 * answered_s}
    print(json.dumps({**start, **times, "peak_mb": peak_mb}))
    if answer.label != label:
        print(f"{options.runtime} sees {answer.label} instead of {label}", file=sys.stderr)
    return int(answer.label != label)


def _requests(model: Model, options: argparse.Namespace) -> list[Classifier]:
    """Return a request of the network for each stream; each takes one call at a time."""
    # The worker's own import of it, which sends no usage reports.
    runtime = importlib.import_module("imagefleet_worker.classifiers.openvino_runtime").openvino
    settings = {
        "NUM_STREAMS": options.streams,
        "INFERENCE_NUM_THREADS": options.threads,
        "ENABLE_CPU_PINNING": False,
        "INFERENCE_PRECISION_HINT": "f32",
    }
    compiled = runtime.Core().compile_model(model.directory / "model.xml", "CPU", settings)

    def request() -> Classifier:
        made = compiled.create_infer_request()
        return ExportedClassifier(
            model, lambda images: made.infer({0: images}, share_inputs=True)[0]
        )

    return [request() for _ in range(options.streams)]


def _eager(model: Model, options: argparse.Namespace, order: str) -> Classifier:
    torch: Any = importlib.import_module("torch")
    export = importlib.import_module("imagefleet_scripts.export.efficientnet_lite")
    torch.set_num_threads(options.threads)
    made, memory_format = export.efficientnet_lite0(), getattr(torch, order)
    module = made.module.eval().to(memory_format=memory_format)
    mean, std = (torch.tensor(each).reshape(1, 3, 1, 1) for each in (made.mean, made.std))

    def network(images: Images) -> NDArray[np.float32]:
        with torch.inference_mode():
            colours = torch.from_numpy(images).permute(0, 3, 1, 2).float()
            normal = ((colours - mean) / std).contiguous(memory_format=memory_format)
            answers: NDArray[np.float32] = torch.softmax(module(normal), dim=1).numpy()
            return answers

    return ExportedClassifier(model, network)


def _throughput(model: Model, images: Images, options: argparse.Namespace) -> dict[str, float]:
    """Return how many images a second so many streams give, each asked by a thread of its own."""
    classifiers = _requests(model, options)

    def work(classifier: Classifier, count: int) -> None:
        for _ in range(count):
            classifier.classify(images)

    def run(count: int) -> float:
        threads = [threading.Thread(target=work, args=(each, count)) for each in classifiers]
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
    classifier: Classifier, images: Images, count: int, options: argparse.Namespace
) -> float:
    batch, times = np.concatenate([images] * count), []
    for _ in range(WARM_UP + options.repeats):
        began = time.perf_counter()
        classifier.classify(batch)
        times.append(1000 * (time.perf_counter() - began))
    return statistics.median(times[WARM_UP:])


def _picture(recipe: Recipe) -> tuple[Images, str]:
    """Return a photograph as the network wants it, as a batch of one, and the label it must get."""
    (found,) = (each for each in photographs.samples() if each.name == PHOTOGRAPH)
    return decode(found.data, recipe)[None], found.label


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
