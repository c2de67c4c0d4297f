"""The bare loop: the worker's own decoder and classifier on one thread, and nothing else.

Prints what it took as JSON.
"""

from __future__ import annotations

import argparse
import itertools
import json
import sys
import time
from collections.abc import Sequence

from imagefleet_scripts.bench.kit import photographs
from imagefleet_worker import classifiers
from imagefleet_worker.decoding.decode import decode

WARM_UP = 12


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the loop; return 1 if a photograph got another label than it must."""
    parser = argparse.ArgumentParser(description="Decode and classify in a loop.")
    parser.add_argument("--images", type=int, required=True)
    options = parser.parse_args(arguments)

    classifier = classifiers.load("openvino", threads=1)

    def label(photograph: photographs.Photograph) -> str:
        pixels = decode(photograph.data, classifier.recipe)
        (top,) = classifier.classify(pixels[None])
        return top[0].label

    chosen = list(itertools.islice(itertools.cycle(photographs.samples()), options.images))
    for photograph in chosen[:WARM_UP]:
        label(photograph)
    began, cpu = time.perf_counter(), time.process_time()
    labels = [label(photograph) for photograph in chosen]
    took_s, cpu_s = time.perf_counter() - began, time.process_time() - cpu
    print(json.dumps({"images_per_s": len(chosen) / took_s, "cpu_s": cpu_s / len(chosen)}))
    return int(labels != [photograph.label for photograph in chosen])


if __name__ == "__main__":
    sys.exit(main())
