"""The web tier: uploads a second against the usual way, time until told, memory of many at once.

Whatever is measured has one core to itself; the emulator and whoever makes the load have another.
"""

from __future__ import annotations

import argparse
import json
import math
import sys
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from tempfile import TemporaryDirectory

from imagefleet_scripts.bench.kit import cores
from imagefleet_scripts.bench.kit.figures import Reach, median, ratio, rounded, spread
from imagefleet_scripts.bench.kit.options import add_json, positive
from imagefleet_scripts.bench.kit.telling import WAYS
from imagefleet_scripts.bench.kit.web_runs import IMAGE, LARGE_BYTES, Crowd, Streaming, WebRuns

PARTS = ("uploads", "told", "waiting", "streaming")
ROWS = {
    "usual_way": "the usual way: Flask and boto3",
    "web": "the web tier, all features on",
    "web_idempotent": "  with an Idempotency-Key for each upload",
}
# The share of its core that a server needs for its speed by the clock to count.
BUSY = 0.9
# Memory beyond the base that an upload may take while it is received and stored, whatever its size:
# blocks of 256 KiB in several hands, and of small ones all.
MB_AN_UPLOAD = 2
TOLD_MS, HEALTH_MS, CROWD_MB = 50, 100, 400
# What a client may wait for beyond what a bare long poll of the same queue takes.
BEYOND_MS = 20
POLL = "poll"

Figures = dict[str, float]


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure, print a table, and return the exit status."""
    options = _options(arguments)
    chosen = cores.choose()
    _say(f"measured on core {chosen.tested}, everything else on core {chosen.beside}")
    with cores.on(chosen.beside), TemporaryDirectory(prefix="imagefleet-bench-") as folder:
        runs = WebRuns(chosen.tested, Path(folder))
        rounds = _rounds(runs, options) if "uploads" in options.parts else []
        times = _told(runs, options) if "told" in options.parts else {}
        crowd = _crowd(runs, options) if "waiting" in options.parts else None
        large = _streaming(runs, options) if "streaming" in options.parts else None
    figures = summary(rounds, times, crowd, large)
    print(report(rounds, figures, options))
    if options.json:
        options.json.write_text(json.dumps({**figures, "rounds": rounds}, indent=2) + "\n")
    return 0


def summary(
    rounds: Sequence[Figures],
    told: Mapping[str, Sequence[float]],
    crowd: Crowd | None,
    large: Streaming | None,
) -> Figures:
    """Return every figure by its name in the JSON file; of parts that weren't measured, none."""
    figures: Figures = {}
    if rounds:
        figures |= {name: median([each[name] for each in rounds]) for name in rounds[0]}
        for row in ("web", "web_idempotent"):
            figures[f"{row}_of_usual_way"] = ratio(rounds, "usual_way_cpu_s", f"{row}_cpu_s")
    for way, times in told.items():
        figures[f"told_{way}_p50_ms"] = rounded(1000 * percentile(times, 50))
        figures[f"told_{way}_p99_ms"] = rounded(1000 * percentile(times, 99))
        if way != POLL:
            beyond_s = percentile(times, 50) - percentile(told[POLL], 50)
            figures[f"told_{way}_beyond_poll_ms"] = rounded(1000 * beyond_s)
    if crowd:
        figures |= {
            "waiting_mb": rounded(crowd.pss_mb),
            "waiting_rss_sum_mb": rounded(crowd.rss_sum_mb),
            "waiting_health_p50_ms": rounded(1000 * percentile(crowd.calm_s, 50)),
            "waiting_health_p99_ms": rounded(1000 * percentile(crowd.calm_s, 99)),
            "answering_health_p50_ms": rounded(1000 * percentile(crowd.busy_s, 50)),
            "answering_health_p99_ms": rounded(1000 * percentile(crowd.busy_s, 99)),
            "answered_after_s": rounded(crowd.told_s),
        }
    if large:
        figures |= {
            "streaming_base_mb": rounded(large.base_mb),
            "streaming_more_mb": rounded(large.peak_mb - large.base_mb),
            "streaming_mb_per_s": rounded(large.mb_per_s),
        }
    return figures


def percentile(values: Sequence[float], percent: float) -> float:
    """Return the least value that is not less than so many per cent of all."""
    return sorted(values)[max(0, math.ceil(len(values) * percent / 100) - 1)]


def reaches(figures: Figures, options: argparse.Namespace) -> list[Reach]:
    """Return what the web tier should reach, as far as it was measured."""
    told = [
        Reach(f"time until told, p50, {about}{beyond}", figures[name], "at most", bound, " ms")
        for way, about in WAYS.items()
        for figure, beyond, bound in (
            ("p50", "", TOLD_MS),
            ("beyond_poll", ", beyond a bare long poll", BEYOND_MS),
        )
        if (name := f"told_{way}_{figure}_ms") in figures
    ]
    planned = {
        "web_of_usual_way": ("uploads a CPU second, of the usual way's", "at least", 1, ""),
        "waiting_mb": (f"memory, {options.waiting} waiting", "at most", CROWD_MB, " MB"),
        "waiting_health_p99_ms": ("/healthz meanwhile, p99", "at most", HEALTH_MS, " ms"),
        "answering_health_p99_ms": (
            "/healthz while they are answered, p99",
            "at most",
            HEALTH_MS,
            " ms",
        ),
        "streaming_more_mb": (
            f"memory beyond the base, {options.large} uploads of {LARGE_BYTES >> 20} MiB at once",
            "at most",
            MB_AN_UPLOAD * options.large,
            " MB",
        ),
    }
    found = [
        Reach(what, figures[name], kind, bound, unit)  # type: ignore[arg-type]  # one of two
        for name, (what, kind, bound, unit) in planned.items()
        if name in figures
    ]
    return found[:1] + told + found[1:] if "web_of_usual_way" in figures else told + found


def report(rounds: Sequence[Figures], figures: Figures, options: argparse.Namespace) -> str:
    """Write all of it for people."""
    lines: list[str] = []
    if rounds:
        lines += _table(rounds, figures)
    for way, about in {POLL: "a bare long poll of the emulator instead", **WAYS}.items():
        if f"told_{way}_p50_ms" in figures:
            p50, p99 = figures[f"told_{way}_p50_ms"], figures[f"told_{way}_p99_ms"]
            lines.append(f"result stored to client told, {about}: p50 {p50:g} ms, p99 {p99:g} ms")
    if "waiting_mb" in figures:
        lines.append(
            f"{options.waiting} clients who wait: {figures['waiting_mb']:g} MB (PSS; peak RSS of "
            f"each process added up: {figures['waiting_rss_sum_mb']:g} MB); all told "
            f"{figures['answered_after_s']:g} s after the last reply"
        )
    if "streaming_mb_per_s" in figures:
        lines.append(
            f"{options.large} large uploads at once: {figures['streaming_mb_per_s']:g} MB/s, "
            f"{figures['streaming_more_mb']:g} MB of memory beyond "
            f"{figures['streaming_base_mb']:g} MB"
        )
    return "\n".join([*lines, "", *(str(each) for each in reaches(figures, options))])


def _table(rounds: Sequence[Figures], figures: Figures) -> list[str]:
    lines = [f"{'':44}{'uploads/s':>9}  {'':22}CPU ms an upload"]
    for row, about in ROWS.items():
        speeds = spread([each[f"{row}_uploads_per_s"] for each in rounds])
        cpu_ms = spread([1000 * each[f"{row}_cpu_s"] for each in rounds])
        lines.append(f"{about:44}{speeds:32}{cpu_ms}")
    lines += [
        f"medians of {len(rounds)} rounds (least to most); ratios are medians of each round's own",
        f"with an Idempotency-Key, which takes three writes more: "
        f"{figures['web_idempotent_of_usual_way']:.3g} times the usual way's uploads a CPU second",
    ]
    shares = {row: figures[f"{row}_share"] for row in ROWS}
    if min(shares.values()) < BUSY:
        least = min(shares, key=lambda row: shares[row])
        lines.append(
            f"NOT quiet: {ROWS[least].strip()} got {100 * shares[least]:.0f} % of its core; CPU an "
            "upload still counts, uploads/s don't"
        )
    return lines


def _rounds(runs: WebRuns, options: argparse.Namespace) -> list[Figures]:
    rounds = []
    for number in range(1, options.rounds + 1):
        speeds = {
            "usual_way": runs.usual_way(options.uploads, options.connections),
            "web": runs.web_tier(options.uploads, options.connections),
            "web_idempotent": runs.web_tier(options.uploads, options.connections, idempotent=True),
        }
        said = ", ".join(f"{row} {1000 * each.cpu_s:.2f}" for row, each in speeds.items())
        _say(f"round {number} of {options.rounds}, CPU ms an upload: {said}")
        rounds.append(
            {
                f"{row}_{figure}": value
                for row, speed in speeds.items()
                for figure, value in asdict(speed).items()
            }
        )
    return rounds


def _told(runs: WebRuns, options: argparse.Namespace) -> dict[str, list[float]]:
    _say(f"time until told, {options.told} times each way")
    polled = {POLL: runs.polled(options.told)}
    return {**polled, **{way: runs.told(way, options.told) for way in WAYS}}


def _crowd(runs: WebRuns, options: argparse.Namespace) -> Crowd:
    _say(f"{options.waiting} clients who wait")
    return runs.crowd(options.waiting)


def _streaming(runs: WebRuns, options: argparse.Namespace) -> Streaming:
    _say(f"{options.large} uploads of {LARGE_BYTES >> 20} MiB at once")
    return runs.streaming(options.large)


def _say(line: str) -> None:
    print(line, file=sys.stderr, flush=True)


def _parts(text: str) -> list[str]:
    parts = text.split(",")
    if unknown := set(parts) - set(PARTS):
        raise argparse.ArgumentTypeError(f"no such part: {', '.join(sorted(unknown))}")
    return parts


def _options(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="scripts/bench web",
        description="Measure the web tier over S3 and SQS of the embedded emulator, with API keys, "
        "rate limits, quotas and answers from stored results on. uploads: one image "
        f"({IMAGE.name}, with other last bytes each time) an upload, in rounds of three runs, each "
        "with a server and an emulator of its own: Flask and boto3 with nothing else, the web "
        "tier, the web tier with an Idempotency-Key. told: from a stored result to the client who "
        "waits for it, for each way to wait. waiting: many clients who wait at one process, and "
        "are answered. streaming: many of the largest uploads at once. IMAGEFLEET_ variables reach "
        "the web tier.",
    )
    parser.add_argument(
        "--parts",
        type=_parts,
        default=list(PARTS),
        help=f"what to measure, with commas between (default: {','.join(PARTS)})",
    )
    parser.add_argument("--rounds", type=positive, default=5, help="default: %(default)s")
    parser.add_argument(
        "--uploads", type=positive, default=600, help="uploads a run (default: %(default)s)"
    )
    parser.add_argument(
        "--connections",
        type=positive,
        default=8,
        help="uploads at once, each over a connection that is kept (default: %(default)s)",
    )
    parser.add_argument(
        "--told",
        type=positive,
        default=100,
        metavar="TIMES",
        help="how often the time until told is taken, for each way (default: %(default)s)",
    )
    parser.add_argument(
        "--waiting",
        type=positive,
        default=1000,
        metavar="CLIENTS",
        help="clients who wait at once; no more than IMAGEFLEET_MAX_WAITING (default: %(default)s)",
    )
    parser.add_argument(
        "--large",
        type=positive,
        default=50,
        metavar="UPLOADS",
        help="large uploads at once (default: %(default)s)",
    )
    add_json(parser)
    return parser.parse_args(arguments)


if __name__ == "__main__":
    sys.exit(main())
