"""Plots for docs/evaluation.md."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import matplotlib as mpl
from matplotlib import pyplot as plt

from imagefleet_scripts.simulate.cloud import Conditions
from imagefleet_scripts.simulate.run import POLICIES, trace
from imagefleet_scripts.simulate.table import Row
from imagefleet_scripts.simulate.workloads import workloads

# Told apart by readers who see no red from green (Okabe and Ito 2008).
COLOURS = {
    "imagefleet": "#0072b2",
    "original": "#d55e00",
    "keda": "#e69f00",
    "target-tracking": "#cc79a7",
    "buildkite": "#009e73",
    "optimum": "#808080",
}
FLEETS = ("burst-100", "burst-1000-1s", "on-off", "diurnal")


def write(rows: Sequence[Row], conditions: Conditions, folder: Path) -> None:
    """Draw time against cost, and the fleets over time, as SVG files."""
    folder.mkdir(parents=True, exist_ok=True)
    mpl.rcParams.update({"svg.hashsalt": "imagefleet", "font.size": 9, "svg.fonttype": "none"})
    _save(_against(rows), folder / "time-and-cost.svg")
    _save(_fleets(conditions), folder / "fleets.svg")


def _against(rows: Sequence[Row]) -> Any:
    """Time and cost of each policy as multiples of the optimum's: the lower left is best."""
    best = {row.workload: row.outcome for row in rows if row.policy == "optimum"}
    figure, axes = plt.subplots(figsize=(7.5, 4.5), layout="constrained")
    for policy in POLICIES:
        points = [
            (
                row.outcome.last_result_s / best[row.workload].last_result_s,
                row.outcome.cost_usd / best[row.workload].cost_usd,
            )
            for row in rows
            if row.policy == policy and row.workload in best
        ]
        if points:
            times, costs = zip(*points, strict=True)
            axes.scatter(times, costs, s=22, label=policy, color=COLOURS[policy])
    axes.set(xscale="log", yscale="log")
    axes.set_xlabel("time to the last result, as a multiple of the optimum's")
    axes.set_ylabel("cost, as a multiple of the optimum's")
    axes.axhline(1.25, color="#bbbbbb", linewidth=0.8, linestyle=":")
    axes.axvline(1.25, color="#bbbbbb", linewidth=0.8, linestyle=":")
    for axis, ticks in ((axes.xaxis, (1, 1.25, 2, 3, 5)), (axes.yaxis, (1, 1.25, 3, 10, 30, 100))):
        axis.set_major_locator(mpl.ticker.FixedLocator(ticks))
        axis.set_major_formatter(mpl.ticker.FormatStrFormatter("%g"))
        axis.set_minor_locator(mpl.ticker.NullLocator())
    axes.legend(frameon=False)
    return figure


def _fleets(conditions: Conditions) -> Any:
    """Show the instances that each policy has over time."""
    figure, grid = plt.subplots(2, 2, figsize=(9, 6), layout="constrained")
    made = workloads(1)
    for name, axes in zip(FLEETS, grid.flat, strict=True):
        for policy in POLICIES:
            times, sizes = trace(policy, made[name](), conditions, 1)
            axes.step(
                times, sizes, where="post", label=policy, color=COLOURS[policy], linewidth=1.2
            )
        axes.set_title(name, loc="left")
        axes.set_xlabel("seconds")
        axes.set_ylabel("instances")
        axes.yaxis.set_major_locator(mpl.ticker.MaxNLocator(integer=True))
        axes.set_xlim(0, 1.3 * float(made[name]().arrivals[-1]) + 420)
    grid.flat[0].legend(frameon=False)
    return figure


def _save(figure: Any, path: Path) -> None:
    figure.savefig(path, metadata={"Date": None})
    plt.close(figure)
