"""Runs scaling policies side by side against a simulated AWS, in virtual time."""

from __future__ import annotations

import argparse
import json
import statistics
import sys
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import asdict, fields
from fnmatch import fnmatch
from pathlib import Path

from imagefleet_scripts.bench.kit.options import add_json, positive
from imagefleet_scripts.simulate import table
from imagefleet_scripts.simulate.cloud import USD_PER_HOUR, Conditions
from imagefleet_scripts.simulate.run import POLICIES, TARGET_S, Outcome, run
from imagefleet_scripts.simulate.table import Row
from imagefleet_scripts.simulate.workloads import WRONG_PRIOR, Workload, burst, workloads

# Of Conditions: what each option's help says and what it takes.
SHARES = {"failed_boots": "boots that never come to work", "no_capacity": "launches refused"}
TIMES = {
    "boot_s": "median seconds from a launch to a worker at work",
    "lag_s": "mean seconds by which the queue's counts are late",
    "spot_life_s": "mean seconds until an instance is taken away, 0 for never",
}


def main(arguments: Sequence[str] | None = None) -> int:
    """Simulate, print a table and write what was asked for; return the exit status."""
    options = _options(arguments)
    conditions = Conditions(
        max_workers=options.workers,
        **{name: getattr(options, name) for name in (*TIMES, *SHARES)},
    )
    names = [name for name in _names(options) if _chosen(name, options.workload)]
    if not names:
        print(f"simulate: there is no workload {options.workload}; see --list", file=sys.stderr)
        return 2
    if options.list:
        print("\n".join(names))
        return 0
    cells = [(name, policy, conditions, options) for name in names for policy in options.policies]
    with ProcessPoolExecutor(options.processes) as pool:
        rows = table.compared(list(pool.map(_row, cells)))
    print(table.text(rows))
    if options.json:
        told = [
            {
                "workload": row.workload,
                "policy": row.policy,
                **asdict(row.outcome),
                "overshoot": row.overshoot,
            }
            for row in rows
        ]
        options.json.write_text(json.dumps(told, indent=1) + "\n")
    if options.plots:
        from imagefleet_scripts.simulate import plots  # slow to import

        plots.write(rows, conditions, options.plots)
    return 0


def _row(cell: tuple[str, str, Conditions, argparse.Namespace]) -> Row:
    """Return the medians over all seeds."""
    name, policy, conditions, options = cell
    outcomes = [
        run(policy, _made(name, seed, options)(), conditions, seed)
        for seed in range(1, options.seeds + 1)
    ]
    medians = {
        each.name: statistics.median(getattr(outcome, each.name) for outcome in outcomes)
        for each in fields(Outcome)
    }
    return Row(name, policy, Outcome(**medians))


def _names(options: argparse.Namespace) -> Iterable[str]:
    return [_custom(options)] if options.images else workloads(1)


def _made(name: str, seed: int, options: argparse.Namespace) -> Callable[[], Workload]:
    if options.images:
        return lambda: burst(name, options.images, options.service_s)
    return workloads(seed)[name]


def _custom(options: argparse.Namespace) -> str:
    return f"burst-{options.images}-{options.service_s:g}s"


def _chosen(name: str, patterns: Sequence[str] | None) -> bool:
    """Return whether a workload is simulated; those with a wrong setting only if asked for."""
    if patterns:
        return any(fnmatch(name, pattern) for pattern in patterns)
    return not name.endswith(WRONG_PRIOR)


def _options(arguments: Sequence[str] | None) -> argparse.Namespace:
    usual = Conditions()
    parser = argparse.ArgumentParser(
        prog="scripts/simulate",
        description=f"""{__doc__} Each run begins and ends with zero workers. Where nothing else is
        said, images are to be answered within {TARGET_S:g} s of a boot, an instance costs
        ${USD_PER_HOUR} an hour, and the cloud fails as seldom as AWS does.""",
        epilog="""Policies: imagefleet is the function that the scaler runs, as it is. original:
        one instance more an interval while the queue is longer than the fleet, one fewer while it
        is empty. keda, target-tracking and buildkite: as documented by their makers, with their
        defaults. optimum: a clairvoyant that makes imagefleet's promise and keeps it with the
        least work at any moment.""",
    )
    parser.add_argument(
        "--workload",
        action="append",
        metavar="PATTERN",
        help="only these, such as 'burst-*'; '*wrong-prior' are those whose operators believe that "
        "an image takes a tenth of what it does",
    )
    parser.add_argument("--list", action="store_true", help="list the workloads and end")
    parser.add_argument(
        "--policies",
        nargs="+",
        choices=POLICIES,
        default=list(POLICIES),
        metavar="POLICY",
        help=f"only these of {', '.join(POLICIES)}",
    )
    parser.add_argument("--images", type=positive, help="a burst of so many instead")
    parser.add_argument(
        "--service-s", type=float, default=0.1, help="of which each takes a worker so long (0.1)"
    )
    parser.add_argument(
        "--workers", type=positive, default=usual.max_workers, help="the largest fleet (20)"
    )
    parser.add_argument(
        "--seeds", type=positive, default=5, help="runs with other luck; medians are told (5)"
    )
    parser.add_argument(
        "--processes", type=positive, default=None, help="runs at once (one for each core)"
    )
    for name, text in {**TIMES, **SHARES}.items():
        default = getattr(usual, name)
        parser.add_argument(
            f"--{name.replace('_', '-')}", type=float, default=default, help=f"{text} ({default:g})"
        )
    add_json(parser)
    parser.add_argument(
        "--plots", type=Path, metavar="FOLDER", help="also draw SVG files into this folder"
    )
    return parser.parse_args(arguments)


if __name__ == "__main__":
    sys.exit(main())
