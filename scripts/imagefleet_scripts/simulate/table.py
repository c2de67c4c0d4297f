"""What came of each policy, as people read it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from imagefleet_scripts.simulate.run import Outcome


@dataclass(frozen=True, slots=True)
class Column:
    """One figure of an outcome."""

    head: str
    figure: str
    form: str = ",.0f"

    def write(self, outcome: Outcome) -> str:
        """Return the figure as it stands in the table."""
        return format(getattr(outcome, self.figure), self.form)


COLUMNS = (
    Column("last result, s", "last_result_s"),
    Column("p50 wait, s", "p50_wait_s", ",.1f"),
    Column("p99 wait, s", "p99_wait_s", ",.1f"),
    Column("instances, s", "instance_s"),
    Column("cost, $", "cost_usd", ".4f"),
    Column("most", "most"),
    Column("launched", "launched"),
    Column("busy kills", "busy_kills"),
)


@dataclass(frozen=True, slots=True)
class Row:
    """What came of a workload under a policy.

    `overshoot` is how many instances more than the optimum's most there were at most, None where
    nobody simulated the optimum.
    """

    workload: str
    policy: str
    outcome: Outcome
    overshoot: float | None = None


def compared(rows: Sequence[Row]) -> list[Row]:
    """Return the rows with their overshoot."""
    best = {row.workload: row.outcome.most for row in rows if row.policy == "optimum"}
    return [
        replace(row, overshoot=max(0, row.outcome.most - best[row.workload]))
        if row.workload in best
        else row
        for row in rows
    ]


def text(rows: Sequence[Row]) -> str:
    """Return a Markdown table, and what it says of Imagefleet's policy."""
    heads = ["workload", "policy", *(each.head for each in COLUMNS), "overshoot"]
    lines = [heads, ["---", "---", *("---:" for _ in heads[2:])]]
    workload = ""
    for row in rows:
        first = row.workload if row.workload != workload else ""
        workload = row.workload
        overshoot = "" if row.overshoot is None else f"{row.overshoot:,.0f}"
        figures = [each.write(row.outcome) for each in COLUMNS]
        lines.append([first, row.policy, *figures, overshoot])
    widths = [max(len(line[column]) for line in lines) for column in range(len(heads))]
    drawn = [
        "| "
        + " | ".join(
            cell.ljust(width) if index < 2 else cell.rjust(width)
            for index, (cell, width) in enumerate(zip(line, widths, strict=True))
        )
        + " |"
        for line in lines
    ]
    return "\n".join([*drawn, "", *verdicts(rows)])


def verdicts(rows: Sequence[Row]) -> list[str]:
    """Return a line on each claim about Imagefleet's policy that these rows can tell of."""
    by = {(row.workload, row.policy): row.outcome for row in rows}
    told = []
    ours = {row.workload: row.outcome for row in rows if row.policy == "imagefleet"}
    beaten = [
        f"{row.policy} in {row.workload}"
        for row in rows
        if row.policy != "optimum"
        and row.workload in ours
        and beats(row.outcome, ours[row.workload])
    ]
    others = {row.policy for row in rows} - {"imagefleet", "optimum"}
    if ours and others:
        told.append(f"Faster and cheaper than imagefleet: {', '.join(beaten) or 'none'}.")
    for other, what in (("optimum", "of the optimum's"), ("original", "of the original rule's")):
        pairs = [(mine, by[name, other]) for name, mine in ours.items() if (name, other) in by]
        if pairs:
            time = [mine.last_result_s / theirs.last_result_s for mine, theirs in pairs]
            cost = [mine.cost_usd / theirs.cost_usd for mine, theirs in pairs]
            told.append(
                f"imagefleet: {min(time):.2f} to {max(time):.2f} {what} time, "
                f"{min(cost):.2f} to {max(cost):.2f} {what} cost."
            )
    return told


def beats(one: Outcome, other: Outcome) -> bool:
    """Return whether one is both faster and cheaper than the other."""
    return one.last_result_s < other.last_result_s and one.cost_usd < other.cost_usd
