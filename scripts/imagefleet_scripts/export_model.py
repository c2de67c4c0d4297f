"""Exports a network to a folder that a worker loads."""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Sequence
from pathlib import Path

from imagefleet_core.errors import ImagefleetError
from imagefleet_scripts.export.efficientnet_lite import NAME as LITE0
from imagefleet_scripts.export.efficientnet_lite import efficientnet_lite0
from imagefleet_scripts.export.from_torchvision import Weights, from_torchvision
from imagefleet_scripts.export.network import ExportError, Network
from imagefleet_scripts.export.write import export
from imagefleet_worker.classifiers import PACKAGED_MODEL
from imagefleet_worker.classifiers.model import MANIFEST


def main(arguments: Sequence[str] | None = None) -> int:
    """Export what the command line names; return the exit code."""
    options = _parser().parse_args(arguments)
    try:
        network = _find(options)
        out = options.out or _default_out(network)
        print(f"exporting {network.name}@{network.version} to {out}")
        export(network, out, with_torch=options.torch)
    except (ImagefleetError, OSError) as error:
        print(f"export-model: {error}", file=sys.stderr)
        return 1
    for file in json.loads((out / MANIFEST).read_text())["files"]:
        print(f"{(out / file).stat().st_size:>12,} bytes  {file}")
    return 0


def _find(options: argparse.Namespace) -> Network:
    source, _, name = options.network.partition(":")
    weights: Weights = options.weights or ("random" if options.random else "published")
    if source == "torchvision":
        return from_torchvision(name, weights, options.labels)
    if options.network != LITE0:
        raise ExportError(f"no network {options.network!r}: give {LITE0} or torchvision:NAME")
    if weights != "published" or options.labels:
        raise ExportError(f"{LITE0} comes with its own weights and labels")
    return efficientnet_lite0()


def _default_out(network: Network) -> Path:
    return PACKAGED_MODEL if network.name == LITE0 else Path(".imagefleet/models", network.name)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="export-model", description="Exports a network to a folder that a worker loads."
    )
    parser.add_argument(
        "network",
        nargs="?",
        default=LITE0,
        help=f"{LITE0} (the default) or torchvision:NAME, as in torchvision:resnet18",
    )
    parser.add_argument(
        "--out",
        type=Path,
        metavar="DIR",
        help="folder to write; the worker's own for the default network, "
        "else .imagefleet/models/NAME (IMAGEFLEET_MODEL_DIR tells a worker which one to load)",
    )
    weights = parser.add_mutually_exclusive_group()
    weights.add_argument(
        "--weights",
        type=Path,
        metavar="FILE",
        help="a state dict of the torchvision network, instead of the weights it would fetch",
    )
    weights.add_argument(
        "--random", action="store_true", help="fill the torchvision network by chance, for trials"
    )
    parser.add_argument(
        "--labels",
        type=Path,
        metavar="FILE",
        help="a label a line, for weights that don't know ImageNet's classes",
    )
    parser.add_argument(
        "--torch", action="store_true", help="also write model.pt2, for the torch runtime"
    )
    return parser


if __name__ == "__main__":
    sys.exit(main())
