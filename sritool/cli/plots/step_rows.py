"""The table of `sritool tune-step`, read back for its picture."""

from __future__ import annotations

import math
import re
from typing import TYPE_CHECKING, NamedTuple

from sritool.cli.plots.reading import read_rows
from sritool.errors import DataError

if TYPE_CHECKING:
    from sritool.training.step_figures import Row, Tuned

_NUMBER = r"[-+.0-9e]+"
LABELS = {
    rf"× ({_NUMBER})( by gradient)?": ("factor",),
    rf"({_NUMBER}) to ({_NUMBER})( by gradient)?": ("s_0", "s_K"),
    rf"({_NUMBER})( by gradient)?": ("s",),
}
"""How a schedule of each shape is called -> the numbers in its name."""


class Cells(NamedTuple):
    """A row of the table."""

    step: str
    s_0: float
    s_K: float  # noqa: N815 - the column's name
    upper: float
    upper_se: float
    upper_gain: float
    upper_gain_se: float
    lower: float
    lower_se: float
    lower_gain: float
    lower_gain_se: float
    recon: float
    recon_se: float
    kl: float
    kl_se: float
    folded: float
    unstable: float
    accept: float
    chosen: bool
    now: bool


COLUMNS = tuple(name if name in ("s_0", "s_K") else name.replace("_", " ") for name in Cells._fields)


def tuned_from_table(source: str) -> Tuned:
    """The figures in a table of tune-step, a file or - for stdin.

    Raises: DataError if it is none, or holds the schedules of several shapes.
    """
    from sritool.training.step_figures import Tuned

    read = read_rows(source, COLUMNS, Cells)
    rows, shapes = [], set()
    for cells in read:
        names, values = named(cells.step)
        shapes |= {names} if values else set()
        rows.append(row_of(cells, values))
    if len(shapes) != 1 or sum(row.chosen for row in rows) != 1:
        raise DataError(f"{source} is no table of tune-step; make one with: sritool tune-step --format json")
    upper = any(math.isfinite(row.upper.value) for row in rows)
    (names,) = shapes
    return Tuned(rows, names, "entropy" if upper else "given-noise", math.nan, 0, 0, [], 0.0)


def named(label: str) -> tuple[tuple[str, ...], tuple[float, ...] | None]:
    """What the numbers of a schedule are called, and the numbers; None where it is only there to compare with."""
    for pattern, names in LABELS.items():
        match = re.fullmatch(pattern, label)
        if match:
            return names, tuple(float(match[k + 1]) for k in range(len(names)))
    return (), None


def row_of(cells: Cells, values: tuple[float, ...] | None) -> Row:
    from sritool.training.step_figures import Figure, Row

    return Row(
        label=cells.step,
        values=values,
        schedule=(cells.s_0, cells.s_K),
        upper=Figure(cells.upper, cells.upper_se),
        lower=Figure(cells.lower, cells.lower_se),
        upper_gain=Figure(cells.upper_gain, cells.upper_gain_se),
        lower_gain=Figure(cells.lower_gain, cells.lower_gain_se),
        recon=Figure(cells.recon, cells.recon_se),
        kl=Figure(cells.kl, cells.kl_se),
        folded=cells.folded,
        unstable=cells.unstable,
        acceptance=cells.accept,
        chosen=cells.chosen,
        present=cells.now,
    )
