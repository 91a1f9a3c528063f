"""Tables of step-size schedules, rounded for people or exact for programs; the latter can be read back."""

from __future__ import annotations

import math
import re
from dataclasses import make_dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from sritool.cli.formats import FOR_PEOPLE, Table
from sritool.cli.tables.reading import read_rows
from sritool.data.blocks import name_of
from sritool.errors import DataError

if TYPE_CHECKING:
    from sritool.evaluation.schedule_rows import Figure
    from sritool.evaluation.step_sizes import Tuned

SIDES = ("upper", "upper_gain", "lower", "lower_gain", "recon", "kl")
"""Fields of a row that are figures with a standard error."""


def steps_table(tuned: Tuned, title: str, fmt: str) -> Table:
    """Return one row per schedule; for people, the chosen one and the model's present one are marked."""
    note = "; ".join(tuned.notes)
    if fmt not in FOR_PEOPLE:
        return exact_table(tuned, title, note)
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
    return Table(title, names, list(zip(*map(aligned, zip(*rows, strict=True)), strict=True)), note)


def aligned(cells: tuple[str, ...]) -> list[str]:
    """Align the cells of a column at the right; a column of names stays as it is."""
    widest = max(map(len, cells))
    return [cell if cell[:2] in ("* ", "  ") else cell.rjust(widest) for cell in cells]


FIELDS = {
    "step": str,
    **dict.fromkeys(("s_0", "s_K"), float),
    **dict.fromkeys((name for side in SIDES for name in (side, f"{side}_se")), float),
    **dict.fromkeys(("folded", "unstable", "accept"), float),
    **dict.fromkeys(("chosen", "now"), bool),
}
Cells: type[Any] = make_dataclass("Cells", FIELDS.items())
"""A row of the table for programs."""

COLUMNS = tuple(name if name in ("s_0", "s_K") else name.replace("_", " ") for name in FIELDS)


def exact_table(tuned: Tuned, title: str, note: str) -> Table:
    """Return, for programs, every figure of each schedule in full."""
    rows: list[tuple[object, ...]] = [
        (
            *(row.label, row.schedule[0], row.schedule[-1]),
            *(number for side in SIDES for number in getattr(row, side)),
            *(row.folded, row.unstable, row.acceptance, row.chosen, row.present),
        )
        for row in tuned.rows
    ]
    return Table(title, COLUMNS, rows, note)


_NUMBER = r"[0-9]+(?:\.[0-9]*)?(?:e[-+]?[0-9]+)?"
SHAPES = {
    rf"× ({_NUMBER})( by gradient)?": ("factor",),
    rf"({_NUMBER}) to ({_NUMBER})( by gradient)?": ("s_0", "s_K"),
    rf"({_NUMBER})( by gradient)?": ("s",),
}
"""Pattern of a schedule's label, for each shape -> names of the numbers in it."""


def tuned_from_table(source: str) -> Tuned:
    """Read a table for programs from a file or stdin.

    Raises:
        DataError: The table is not from tune-step, or has schedules of several shapes.
    """
    from sritool.evaluation.schedule_rows import Figure, Row
    from sritool.evaluation.step_sizes import Tuned

    rows, shapes = [], set()
    for cells in read_rows(source, COLUMNS, Cells):
        names, values = numbers_in(cells.step)
        shapes |= {names} if values else set()
        sides = {side: Figure(getattr(cells, side), getattr(cells, f"{side}_se")) for side in SIDES}
        row = Row(
            label=cells.step,
            values=values,
            schedule=(cells.s_0, cells.s_K),
            **sides,
            folded=cells.folded,
            unstable=cells.unstable,
            acceptance=cells.accept,
            chosen=cells.chosen,
            present=cells.now,
        )
        rows.append(row)
    if len(shapes) != 1 or sum(row.chosen for row in rows) != 1:
        raise DataError(
            f"{name_of(Path(source))} is not a table of tune-step; make one with: sritool tune-step --format json"
        )
    upper = any(math.isfinite(row.upper.value) for row in rows)
    (names,) = shapes
    return Tuned(rows, names, "entropy" if upper else "given-noise", math.nan, 0, 0, [], 0.0)


def numbers_in(label: str) -> tuple[tuple[str, ...], tuple[float, ...] | None]:
    """Return names and values of the numbers in a label; ((), None) for a schedule shown for comparison only."""
    for pattern, names in SHAPES.items():
        match = re.fullmatch(pattern, label)
        values = tuple(float(match[k + 1]) for k in range(len(names))) if match else ()
        if values and min(values) > 0:
            return names, values
    return (), None


def gain_text(gain: Figure) -> str:
    """Format a gain as `-1.23 ± 0.04`; 0 for the choice itself, a dash if the chains diverged."""
    if not math.isfinite(gain.value):
        return "–"
    return str(gain) if gain.value or gain.error else "0"


def rounded(value: float) -> str:
    """Format with two decimals; a dash for values that are not finite."""
    return f"{value:.2f}" if math.isfinite(value) else "–"


def percent(share: float) -> str:
    """Format a share as `12.5 %`; a dash for values that are not finite."""
    return f"{100 * share:.1f} %" if math.isfinite(share) else "–"
