"""Tables that more than one command prints."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING

from sritool.cli.formats import Table, readable

if TYPE_CHECKING:
    from sritool.core.metrics import Estimate

FOR_PEOPLE = ("table", "markdown", "latex")
"""Formats in which the title says what every row shares, and a figure stands with its error."""

COLUMNS = ("metric", "value", "se", "unit", "sentences", "of", "draws", "estimator")


def metrics_table(
    run: str, data: str, total: int, estimates: Sequence[Estimate], notes: Sequence[str], fmt: str
) -> Table:
    """One row a metric, with what it rests on.

    Args:  data: what was measured on; total: sentences there; fmt: not auto.
    """
    rows: list[list[object]] = [
        [
            e.metric,
            int(e.value) if e.unit == "dimensions" else e.value,
            e.standard_error,
            e.unit,
            e.sentences,
            total,
            e.draws,
            e.estimator,
        ]
        for e in estimates
    ]
    shared = () if fmt in FOR_PEOPLE else ("run", "data")
    rows = [[*row, run, data] if shared else row for row in rows]
    return Table(f"{run} on {data}", (*COLUMNS, *shared), rows, "; ".join(notes))


def with_error(value: float, error: float) -> str:
    """`78.12 ± 0.43`: two digits of the standard error, and as many places of the value."""
    if not (math.isfinite(value) and math.isfinite(error) and error > 0):
        return readable(value)
    places = min(max(1 - math.floor(math.log10(error)), 0), 6)
    return f"{value:.{places}f} ± {error:.{places}f}"
