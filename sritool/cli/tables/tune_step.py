"""Schedules of step sizes as a table: for people one gain a row, for programs everything."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from sritool.cli.formats import Table
from sritool.cli.tables.metrics import FOR_PEOPLE

if TYPE_CHECKING:
    from sritool.training.step_figures import Figure, Tuned

GAP = 3  # characters between two columns of a drawn table
SIDES = 7  # columns of the step and both sides, which stay together


def steps_tables(tuned: Tuned, title: str, fmt: str, width: int | None = None) -> list[Table]:
    """One row a schedule, in two tables where one is wider than a terminal of this width.

    Args:
        tuned: The schedules and their figures.
        title: What was measured on.
        fmt: Any format but auto.
        width: Of the terminal, in characters; None without one.
    """
    note = "; ".join(tuned.notes)
    if fmt not in FOR_PEOPLE:
        return [exact_table(tuned, title, note)]
    columns, rows = people_columns(tuned)
    cells = [max(len(str(row[k])) for row in (columns, *rows)) for k in range(len(columns))]
    if width is None or sum(cells) + GAP * (len(cells) - 1) <= width:
        return [Table(title, columns, rows, note)]
    return [
        Table(title, columns[:SIDES], [row[:SIDES] for row in rows]),
        Table(
            "Steps of their chains",
            ("step", *columns[SIDES:]),
            [(row[0], *row[SIDES:]) for row in rows],
            note,
        ),
    ]


def people_columns(tuned: Tuned) -> tuple[tuple[str, ...], list[tuple[str, ...]]]:
    """Names and cells; the choice is marked, and so is the schedule that the model has."""
    rows = [
        (
            f"{'*' if row.chosen else ' '} {row.label}{' (now)' if row.present and row.values else ''}",
            rounded(row.upper.value),
            gain_text(row.upper_gain),
            rounded(row.lower.value),
            gain_text(row.lower_gain),
            rounded(row.recon.value),
            rounded(row.kl.value),
            percent(row.folded),
            percent(row.unstable),
            percent(row.acceptance),
        )
        for row in tuned.rows
    ]
    names = ("step", "upper", "gain", "lower", "gain", "recon", "kl", "folded", "unstable", "accept")
    return names, [tuple(cells) for cells in zip(*map(aligned, zip(*rows, strict=True)), strict=True)]


def aligned(cells: tuple[str, ...]) -> list[str]:
    """Return the cells aligned at the right, or as they are in a column of names."""
    widest = max(map(len, cells))
    return [cell if cell[:2] in ("* ", "  ") else cell.rjust(widest) for cell in cells]


def exact_table(tuned: Tuned, title: str, note: str) -> Table:
    sides = ("upper", "upper gain", "lower", "lower gain", "recon", "kl")
    figures = [name for side in sides for name in (side, f"{side} se")]
    columns = ("step", "s_0", "s_K", *figures, "folded", "unstable", "accept", "chosen", "now")
    rows = [
        (
            row.label,
            row.schedule[0],
            row.schedule[-1],
            *(number for side in sides for number in getattr(row, side.replace(" ", "_"))),
            row.folded,
            row.unstable,
            row.acceptance,
            row.chosen,
            row.present,
        )
        for row in tuned.rows
    ]
    return Table(title, columns, rows, note)


def gain_text(gain: Figure) -> str:
    """`-1.23 ± 0.04`; 0 for the choice itself, a dash where the chains diverged."""
    if not math.isfinite(gain.value):
        return "–"
    if gain.value == 0 and gain.error == 0:
        return "0"
    return f"{gain.value:+z.2f}" + (f" ± {gain.error:.2f}" if math.isfinite(gain.error) else "")


def rounded(value: float) -> str:
    """Two decimals; a dash for NaN."""
    return f"{value:.2f}" if math.isfinite(value) else "–"


def percent(share: float) -> str:
    return f"{100 * share:.1f} %" if math.isfinite(share) else "–"
