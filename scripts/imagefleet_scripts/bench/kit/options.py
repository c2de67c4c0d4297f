"""What the benchmarks' command lines have in common."""

from __future__ import annotations

import argparse
from pathlib import Path


def positive(text: str) -> int:
    """Read a whole number from 1."""
    number = int(text)
    if number < 1:
        raise ValueError(text)
    return number


positive.__name__ = "whole number from 1"  # how argparse calls it in its complaint


def add_json(parser: argparse.ArgumentParser) -> None:
    """Let a benchmark write its figures to a file."""
    parser.add_argument(
        "--json", type=_file, metavar="FILE", help="also write the figures to this file"
    )


def _file(text: str) -> Path:
    """Refuse now what could not be written after minutes of measuring."""
    path = Path(text)
    if not path.resolve().parent.is_dir() or path.is_dir():
        raise argparse.ArgumentTypeError(f"{text} can't be written: no such folder, or it is one")
    return path
