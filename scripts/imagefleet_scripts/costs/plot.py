"""A plot for docs/operations.md."""

from __future__ import annotations

from pathlib import Path

import matplotlib as mpl
from matplotlib import pyplot as plt

from imagefleet_scripts.costs.table import totals
from imagefleet_scripts.costs.ways import WAYS
from imagefleet_scripts.costs.work import Month

# Told apart by readers who see no red from green (Okabe and Ito 2008).
COLOURS = dict(zip(WAYS, ("#0072b2", "#56b4e9", "#808080", "#d55e00", "#009e73"), strict=True))
SIZES = [round(10 ** (power / 4)) for power in range(3 * 4, 8 * 4 + 1)]


def write(usual: Month, path: Path) -> None:
    """Draw dollars against images a month, in bursts and one by one, as an SVG file."""
    mpl.rcParams.update({"svg.hashsalt": "imagefleet", "font.size": 9, "svg.fonttype": "none"})
    figure, grid = plt.subplots(1, 2, figsize=(9, 4), layout="constrained", sharey=True)
    patterns = ((f"in {usual.bursts or 1} bursts a month", usual.bursts or 1), ("one by one", None))
    for axes, (title, bursts) in zip(grid, patterns, strict=True):
        months = [Month(size, bursts, usual.megabytes, usual.megapixels) for size in SIZES]
        costs = [totals(month) for month in months]
        for way, colour in COLOURS.items():
            axes.plot(SIZES, [each[way] for each in costs], label=way, color=colour)
        axes.set(xscale="log", yscale="log", title=title, xlabel="images a month")
    grid[0].set_ylabel("US dollars a month")
    grid[0].legend(frameon=False)
    figure.savefig(path, metadata={"Date": None})
    plt.close(figure)
