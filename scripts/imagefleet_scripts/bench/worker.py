"""The worker over S3 and SQS, against the bare loop it is built around and the usual way.

Whatever is measured has one core to itself; the emulator, the proxy and whoever makes the load
have another.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from tempfile import TemporaryDirectory

from imagefleet_scripts.bench.kit import cores, emulated, photographs
from imagefleet_scripts.bench.kit.figures import Reach, median, ratio, rounded, spread
from imagefleet_scripts.bench.kit.options import add_json, positive
from imagefleet_scripts.bench.kit.runs import RAMP, Peak, Runs

DELAY_MS = 40
# The usual way is several times slower, and just as steady.
USUAL_SHARE = 4
# The share of its core that the bare loop gets where nobody else is.
QUIET = 0.95

ROWS = {
    "bare": "bare loop: decode and classify",
    "worker": "worker over S3 and SQS",
    "worker_native": "  in the CPU's own precision",
    "worker_0ms": "  the same through the proxy",
    "worker_40ms": f"  through the proxy, calls {DELAY_MS} ms late",
    "usual_way": "the usual way, one after the other",
    "usual_way_40ms": f"  through the proxy, calls {DELAY_MS} ms late",
}

Round = dict[str, float]


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure, print a table, and return the exit status."""
    options = _options(arguments)
    chosen = cores.choose()
    _say(f"measured on core {chosen.tested}, everything else on core {chosen.beside}")
    with (
        cores.on(chosen.beside),
        TemporaryDirectory(prefix="imagefleet-bench-") as folder,
        emulated.running() as endpoint,
    ):
        runs = Runs(chosen.tested, endpoint, Path(folder))
        rounds = [_round(runs, number, options) for number in range(1, options.rounds + 1)]
        _say(f"memory, with {photographs.sizes(photographs.large())}")
        peak = runs.memory(options.large_images)
    figures = summary(rounds, peak)
    print(report(rounds, figures))
    if options.json:
        options.json.write_text(json.dumps({**figures, "rounds": rounds}, indent=2) + "\n")
    return 0


def summary(rounds: Sequence[Round], peak: Peak) -> dict[str, float]:
    """Return every figure by its name in the JSON file: medians, and ratios within rounds."""
    return {
        **{name: median([each[name] for each in rounds]) for name in rounds[0]},
        "cpu_ratio": ratio(rounds, "worker_cpu_s", "bare_cpu_s"),
        "worker_of_bare": ratio(rounds, "worker_images_per_s", "bare_images_per_s"),
        "late_of_not_late": ratio(rounds, "worker_40ms_images_per_s", "worker_0ms_images_per_s"),
        "times_usual_way": ratio(rounds, "worker_images_per_s", "usual_way_images_per_s"),
        "times_usual_way_native": ratio(
            rounds, "worker_native_images_per_s", "usual_way_images_per_s"
        ),
        "times_usual_way_40ms": ratio(
            rounds, "worker_40ms_images_per_s", "usual_way_40ms_images_per_s"
        ),
        "peak_mb": rounded(peak.pss_mb),
        "peak_rss_sum_mb": rounded(peak.rss_sum_mb),
        "large_images_per_s": rounded(peak.images_per_s),
        # The bare loop does nothing but compute, so what it did not get others had.
        "core_share": median([each["bare_images_per_s"] * each["bare_cpu_s"] for each in rounds]),
    }


def reaches(figures: Mapping[str, float]) -> list[Reach]:
    """Return what the worker should reach; images/s only count on a core of its own."""
    late = f"images/s with calls {DELAY_MS} ms late, of those without (both through the proxy)"
    quiet = _is_quiet(figures)
    return [
        Reach("CPU an image, of the bare loop's", figures["cpu_ratio"], "at most", 1.35),
        Reach(
            "images/s, of the bare loop's",
            figures["worker_of_bare"],
            "at least",
            0.74,
            counts=quiet,
        ),
        Reach(late, figures["late_of_not_late"], "at least", 0.95, counts=quiet),
        Reach(
            "images/s, of the usual way's",
            figures["times_usual_way"],
            "at least",
            6,
            counts=quiet,
        ),
        Reach("peak memory", figures["peak_mb"], "at most", 400, " MB"),
    ]


def report(rounds: Sequence[Round], figures: Mapping[str, float]) -> str:
    """Write all of it for people."""
    lines = [f"{'':40}{'images/s':>8}  {'':22}CPU ms an image"]
    for row, about in ROWS.items():
        speeds = spread([each[f"{row}_images_per_s"] for each in rounds])
        cpu_ms = spread([1000 * each[f"{row}_cpu_s"] for each in rounds])
        lines.append(f"{about:40}{speeds:32}{cpu_ms}")
    lines += [
        f"medians of {len(rounds)} rounds (least to most); ratios are medians of each round's own",
        f"the worker does {figures['times_usual_way_native']:.3g} times the images of the usual "
        f"way with IMAGEFLEET_PRECISION=native, and {figures['times_usual_way_40ms']:.3g} times "
        f"where calls are {DELAY_MS} ms late",
        "",
        f"memory with 12-megapixel images: {figures['peak_mb']:.0f} MB (PSS of all processes, the "
        f"most of samples every 20 ms; each one's own peak RSS added up: "
        f"{figures['peak_rss_sum_mb']:.0f} MB), {figures['large_images_per_s']:.1f} images/s",
        "",
        *(str(each) for each in reaches(figures)),
    ]
    if not _is_quiet(figures):
        lines.append(
            f"NOT quiet: others took {100 * (1 - figures['core_share']):.0f} % of the measured "
            "core; CPU an image and memory still count, images/s don't"
        )
    return "\n".join(lines)


def _is_quiet(figures: Mapping[str, float]) -> bool:
    return figures["core_share"] >= QUIET


def _round(runs: Runs, number: int, options: argparse.Namespace) -> Round:
    few = max(1, options.images // USUAL_SHARE)
    speeds = {
        "bare": runs.bare(options.images),
        "worker": runs.worker(options.images),
        "worker_native": runs.worker(options.images, "native"),
        "worker_0ms": runs.worker(options.images, delay_ms=0),
        "worker_40ms": runs.worker(options.images, delay_ms=DELAY_MS),
        "usual_way": runs.usual_way(few),
        "usual_way_40ms": runs.usual_way(few, delay_ms=DELAY_MS),
    }
    said = ", ".join(f"{name} {speed.images_per_s:.1f}" for name, speed in speeds.items())
    _say(f"round {number} of {options.rounds}, images/s: {said}")
    return {
        f"{name}_{figure}": value
        for name, speed in speeds.items()
        for figure, value in asdict(speed).items()
    }


def _say(line: str) -> None:
    print(line, file=sys.stderr, flush=True)


def _options(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="scripts/bench worker",
        description="Measure the worker over S3 and SQS of the embedded emulator, in rounds of "
        "seven runs, each in new processes: the bare loop, the worker, the worker in the precision "
        "that the CPU computes fastest in, the worker through a proxy "
        f"that adds nothing and through one that adds {DELAY_MS} ms to every call, the usual way "
        f"without and with these {DELAY_MS} ms (a {USUAL_SHARE}th of the images). Speed is taken "
        f"with {photographs.sizes(photographs.samples())}, queued beforehand, between the "
        f"{RAMP}th result and the {RAMP}th before the last, by S3's own clock; every result must "
        "be there with the right label. IMAGEFLEET_ variables reach the worker.",
    )
    parser.add_argument(
        "--images", type=positive, default=300, help="images a run (default: %(default)s)"
    )
    parser.add_argument("--rounds", type=positive, default=3, help="default: %(default)s")
    parser.add_argument(
        "--large-images",
        type=positive,
        default=48,
        metavar="IMAGES",
        help="12-megapixel images for the memory figure (default: %(default)s)",
    )
    add_json(parser)
    return parser.parse_args(arguments)


if __name__ == "__main__":
    sys.exit(main())
