"""Reckons what a month of images costs on AWS, beside other ways to do the same work."""

from __future__ import annotations

import argparse
import json
import math
import sys
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path

from imagefleet_scripts.bench.kit.options import add_json, positive
from imagefleet_scripts.costs import table
from imagefleet_scripts.costs.ways import WAYS
from imagefleet_scripts.costs.work import IMAGES_PER_S, Month, core_s

SIZES = (0, 10_000, 100_000, 1_000_000, 10_000_000, 100_000_000)
BURSTS = 100


def main(arguments: Sequence[str] | None = None) -> int:
    """Print tables and write what was asked for; return the exit status."""
    options = _options(arguments)
    if options.prices:
        print(table.prices())
        return 0
    months = _months(options)
    print(table.by_size(months))
    if len(options.images) == 1:
        for month in months:
            print(f"\n{table.lines_of(month)}")
    per_s = 1 / core_s(options.megapixels)
    print(
        f"\nUS dollars of us-east-1 without the free tier (--prices), reckoned and not billed. An "
        f"instance of two vCPUs does {per_s:.0f} such images a second."
    )
    if options.json:
        told = [
            {**asdict(month), "usd": {n: w(month) for n, w in WAYS.items()}} for month in months
        ]
        options.json.write_text(json.dumps(told, indent=1) + "\n")
    if options.plot:
        from imagefleet_scripts.costs import plot  # slow to import

        plot.write(Month(0, options.bursts, options.megabytes, options.megapixels), options.plot)
    return 0


def _months(options: argparse.Namespace) -> list[Month]:
    patterns = {"bursts": [options.bursts], "evenly": [None], "both": [options.bursts, None]}
    return [
        Month(images, bursts, options.megabytes, options.megapixels)
        for images in options.images
        for bursts in (patterns[options.come] if images else [options.bursts])
    ]


def _count(text: str) -> int:
    number = int(text.replace("_", ""))
    if not 0 <= number <= 10**12:
        raise ValueError(text)
    return number


def _size(text: str) -> float:
    number = float(text)
    if not (math.isfinite(number) and 0 < number <= 1000):
        raise ValueError(text)
    return number


_count.__name__ = "whole number from 0 to a million million"  # as argparse calls it in complaints
_size.__name__ = "number above 0, at most 1000"


def _options(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="scripts/costs",
        description=f"""{__doc__} Measured are {IMAGES_PER_S:g} images of 0.27 megapixels a second
        on one core; two vCPUs, which are two hyperthreads, count as that one core.""",
        epilog="""A burst finds no worker, takes as many as answer it within 10 s, and each is
        billed for its boot and a minute at least. One by one means at random, day and night: the
        last worker stays for a minute. SageMaker's and Lambda's columns hold neither an HTTP front
        nor a page, and reckon with the same network at the same speed.""",
    )
    parser.add_argument(
        "--images",
        type=_count,
        nargs="+",
        default=SIZES,
        metavar="N",
        help="images a month; of a single number each line is told (0, 10,000 to 100 million)",
    )
    parser.add_argument(
        "--come", choices=("bursts", "evenly", "both"), default="both", help="how they come (both)"
    )
    parser.add_argument(
        "--bursts", type=positive, default=BURSTS, help=f"bursts a month ({BURSTS})"
    )
    parser.add_argument(
        "--megabytes", type=_size, default=0.5, help="size of an image's file (0.5)"
    )
    parser.add_argument(
        "--megapixels", type=_size, default=2.0, help="pixels of an image in millions (2)"
    )
    parser.add_argument("--prices", action="store_true", help="list the prices and their sources")
    add_json(parser)
    parser.add_argument("--plot", type=Path, metavar="FILE", help="also draw an SVG into this file")
    return parser.parse_args(arguments)


if __name__ == "__main__":
    sys.exit(main())
