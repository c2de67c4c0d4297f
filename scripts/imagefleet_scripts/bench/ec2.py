"""EC2 on a laptop: from a launch to the first result, of plain, baked and stopped instances."""

from __future__ import annotations

import argparse
import json
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from datetime import datetime

import requests

from imagefleet_scripts.bench.kit.ec2_system import BAKED, PHOTOGRAPH, PLAIN, Ec2System, running
from imagefleet_scripts.bench.kit.errors import BenchError
from imagefleet_scripts.bench.kit.figures import median, rounded
from imagefleet_scripts.bench.kit.options import add_json, positive

# A plain machine installs Docker first.
ANSWER_S = 600
POLL_S = 0.2
# A message is deleted after its result is told, and counted as waiting until then.
SETTLE_S = 4
KINDS = {
    "cold": "plain Debian, which installs Docker",
    "baked": "a baked image",
    "warm": "a stopped instance",
}


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure, print a table, and return the exit status."""
    options = _options(arguments)
    taken: dict[str, list[float]] = {}
    with running(BAKED) as system:
        taken["baked"] = _rounds(system, system.lose_all, options.starts)
        taken["warm"] = _rounds(system, system.stop_all, options.starts)
    with running(PLAIN) as system:
        taken["cold"] = _rounds(system, system.lose_all, options.starts)
    print(report(taken))
    if options.json:
        options.json.write_text(json.dumps(summary(taken), indent=2) + "\n")
    return 0


def summary(taken: Mapping[str, Sequence[float]]) -> dict[str, float]:
    """Return every figure by its name in the JSON file, in seconds."""
    medians = {f"{kind}_s": median(each) for kind, each in taken.items()}
    return {**medians, **{f"{kind}_most_s": rounded(max(each)) for kind, each in taken.items()}}


def report(taken: Mapping[str, Sequence[float]]) -> str:
    """Write all of it for people."""
    lines = [f"{'seconds from the launch call to the first result':50}{'median':>8}  each"]
    for kind, about in KINDS.items():
        each = ", ".join(f"{seconds:.1f}" for seconds in taken[kind])
        lines.append(f"{kind + ': ' + about:50}{median(taken[kind]):8.1f}  {each}")
    return "\n".join(lines)


def _rounds(system: Ec2System, prepare: Callable[[], None], starts: int) -> list[float]:
    """Measure with nobody at work, each time anew."""
    seconds = []
    for _ in range(starts):
        time.sleep(SETTLE_S)
        prepare()
        seconds.append(_once(system))
        print(f"  {seconds[-1]:.1f} s", file=sys.stderr, flush=True)
    return seconds


def _once(system: Ec2System) -> float:
    """Upload one photograph; return the seconds from the launch for it to its result."""
    before = system.launches()
    with PHOTOGRAPH.open("rb") as file:
        headers = {"Cache-Control": "no-cache"}
        answer = requests.post(
            f"{system.url}api/v1/upload", files={"file": file}, headers=headers, timeout=60
        )
    answer.raise_for_status()
    url = f"{system.url}api/v1/batches/{answer.json()['batch']}"
    deadline = time.monotonic() + ANSWER_S
    while (state := requests.get(url, timeout=60).json())["pending"]:
        if time.monotonic() > deadline:
            raise BenchError(f"no result after {ANSWER_S} s: {system.last_words()}")
        time.sleep(POLL_S)
    new = system.launches()[len(before) :]
    if not new or state["failed"]:
        raise BenchError("nothing was launched, or the photograph failed")
    finished = requests.get(f"{system.url}api/v1/jobs/{state['jobs'][0]['id']}", timeout=60).json()
    return (datetime.fromisoformat(finished["finished_at"]) - new[0]).total_seconds()


def _options(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="scripts/bench ec2",
        description="Run compose/ec2.yaml, and launch instances one after the other, each for one "
        "photograph: of plain Debian, of a baked image, and one that was stopped. The engine's "
        "layers are shared with the machines, so a pull is a round trip to the registry at most.",
    )
    parser.add_argument(
        "--starts", type=positive, default=3, metavar="N", help="of each kind (default: 3)"
    )
    add_json(parser)
    return parser.parse_args(arguments)


if __name__ == "__main__":
    sys.exit(main())
