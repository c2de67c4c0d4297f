"""What a month costs, as people read it."""

from __future__ import annotations

from collections.abc import Sequence

from imagefleet_scripts.costs.prices import PRICES
from imagefleet_scripts.costs.ways import WAYS
from imagefleet_scripts.costs.work import Month


def totals(month: Month) -> dict[str, float]:
    """Return what each way costs in all."""
    return {name: sum(way(month).values()) for name, way in WAYS.items()}


def by_size(months: Sequence[Month]) -> str:
    """Return a table with a row for each month."""
    rows = [["images a month", "come", *WAYS]]
    for month in months:
        costs = [dollars(each) for each in totals(month).values()]
        rows.append([f"{month.images:,}", come(month), *costs])
    return drawn(rows, left=2)


def lines_of(month: Month) -> str:
    """Return a table of what each way's costs are made of."""
    made = {name: way(month) for name, way in WAYS.items()}
    kinds = dict.fromkeys(kind for lines in made.values() for kind in lines)
    rows = [[f"{month.images:,} images, {come(month)}", *WAYS]]
    rows += [
        [kind, *(dollars(lines[kind]) if kind in lines else "" for lines in made.values())]
        for kind in kinds
    ]
    rows.append(["**in all**", *(f"**{dollars(each)}**" for each in totals(month).values())])
    return drawn(rows, left=1)


def prices() -> str:
    """Return a table of the listed prices and where they are from."""
    rows = [["what", "USD", "for one", "from", "confirmed"]]
    for name, price in PRICES.items():
        listed = f"{price.usd:.10f}".rstrip("0")
        confirmed = "yes" if price.is_confirmed else "no"
        rows.append([name, listed, price.unit, price.source, confirmed])
    return drawn(rows, left=5)


def come(month: Month) -> str:
    """Say how a month's images come."""
    if month.bursts is None:
        return "one by one"
    return f"in {month.many:,} bursts" if month.images else "in bursts"


def dollars(amount: float) -> str:
    """Write an amount with three figures or to the cent, whichever is less."""
    return f"{amount:,.2f}" if amount < 100 else f"{amount:,.0f}"


def drawn(rows: Sequence[Sequence[str]], left: int) -> str:
    """Return rows as a Markdown table whose first columns are set left, the others right."""
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    lines = [
        "| "
        + " | ".join(
            cell.ljust(width) if column < left else cell.rjust(width)
            for column, (cell, width) in enumerate(zip(row, widths, strict=True))
        )
        + " |"
        for row in rows
    ]
    rule = ["---" if column < left else "---:" for column in range(len(widths))]
    return "\n".join([lines[0], f"| {' | '.join(rule)} |", *lines[1:]])
