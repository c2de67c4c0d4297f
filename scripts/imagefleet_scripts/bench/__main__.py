"""Runs the benchmark that the command line names: any module of this folder with a `main`."""

from __future__ import annotations

import argparse
import ast
import importlib
import sys
from collections.abc import Sequence
from pathlib import Path

from imagefleet_scripts.bench.kit.errors import BenchError

HERE = Path(__file__).parent


def main(arguments: Sequence[str] | None = None) -> int:
    """Run a benchmark; return the exit status."""
    arguments = sys.argv[1:] if arguments is None else arguments
    name = _parser().parse_args(arguments[:1]).bench
    bench = importlib.import_module(f"imagefleet_scripts.bench.{name}")
    try:
        return int(bench.main(arguments[1:]))
    except BenchError as error:
        print(f"scripts/bench {name}: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        return 130


def benches() -> dict[str, str]:
    """Return what each benchmark measures, by name, without importing any of them."""
    modules = sorted(path for path in HERE.glob("*.py") if not path.stem.startswith("__"))
    return {path.stem: _first_line(path) for path in modules}


def _first_line(module: Path) -> str:
    return (ast.get_docstring(ast.parse(module.read_text())) or "").partition("\n")[0]


def _parser() -> argparse.ArgumentParser:
    found = benches()
    parser = argparse.ArgumentParser(
        prog="scripts/bench",
        usage="scripts/bench [-h] NAME [options]",
        description="Measure a part of Imagefleet on this machine.",
        epilog="\n".join(
            [
                "benchmarks:",
                *(f"  {name:10}{about}" for name, about in found.items()),
                "",
                "scripts/bench NAME --help lists the options of one.",
            ]
        ),
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("bench", metavar="NAME", choices=sorted(found), help="what to measure")
    return parser


if __name__ == "__main__":
    sys.exit(main())
