"""Exports a network to a folder that a worker loads."""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from imagefleet_core.errors import ImagefleetError
from imagefleet_scripts.export.efficientnet_lite import NAME as LITE0
from imagefleet_scripts.export.efficientnet_lite import efficientnet_lite0
from imagefleet_scripts.export.from_torchscript import MEAN, STD, Colours, from_torchscript
from imagefleet_scripts.export.from_torchvision import Weights, from_torchvision
from imagefleet_scripts.export.network import ExportError, Network
from imagefleet_scripts.export.write import export
from imagefleet_worker.classifiers import PACKAGED_MODEL
from imagefleet_worker.classifiers.model import MANIFEST
from imagefleet_worker.recipe import INTERPOLATIONS, Recipe

# How the pictures for a TorchScript are prepared unless it's said: as torchvision's networks do.
PREPARATION = {"size": 224, "resize": 256, "interpolation": "bilinear"}


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
    if source == "torchscript":
        return _find_script(Path(name), options)
    if preparation := _preparation(options):
        raise ExportError(
            f"--{', --'.join(preparation)}: only for torchscript:FILE, others bring their own"
        )
    weights: Weights = options.weights or ("random" if options.random else "published")
    if source == "torchvision":
        return from_torchvision(name, weights, options.labels)
    if options.network != LITE0:
        raise ExportError(
            f"no network {options.network!r}: give {LITE0}, torchvision:NAME or torchscript:FILE"
        )
    if weights != "published" or options.labels:
        raise ExportError(f"{LITE0} comes with its own weights and labels")
    return efficientnet_lite0()


def _find_script(file: Path, options: argparse.Namespace) -> Network:
    if options.weights or options.random or not options.labels:
        raise ExportError("torchscript:FILE brings its own weights, and needs --labels FILE")
    given = _preparation(options)
    colours = {name: given.pop(name) for name in ("mean", "std") if name in given}
    try:
        recipe = Recipe(**{**PREPARATION, **given})
    except ValueError as error:
        raise ExportError(str(error)) from error
    return from_torchscript(file, options.labels, recipe, **colours)


def _preparation(options: argparse.Namespace) -> dict[str, Any]:
    """Return those options that say how a TorchScript's pictures are prepared."""
    names = (*PREPARATION, "mean", "std")
    return {name: value for name in names if (value := getattr(options, name)) is not None}


def _colours(text: str) -> Colours:
    colours = tuple(float(each) for each in text.split(","))
    if len(colours) != 3:
        raise ValueError(text)
    return colours


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
        help=f"{LITE0} (the default), torchvision:NAME, as in torchvision:resnet18, or "
        "torchscript:FILE, saved with torch.jit.save",
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
    scripted = parser.add_argument_group("how the pictures for a TorchScript are prepared")
    scripted.add_argument(
        "--size", type=int, metavar="N", help="side of the square it takes, in pixels (224)"
    )
    scripted.add_argument(
        "--resize", type=int, metavar="N", help="shorter side before the square is cut out (256)"
    )
    scripted.add_argument("--interpolation", choices=INTERPOLATIONS, help="(bilinear)")
    for name, default, what in (
        ("--mean", MEAN, "subtracted from colours of 0 to 1"),
        ("--std", STD, "what they are divided by then"),
    ):
        shown = ",".join(map(str, default))
        scripted.add_argument(name, type=_colours, metavar="R,G,B", help=f"{what} ({shown})")
    parser.add_argument(
        "--torch", action="store_true", help="also write model.pt2, for the torch runtime"
    )
    return parser


if __name__ == "__main__":
    sys.exit(main())
