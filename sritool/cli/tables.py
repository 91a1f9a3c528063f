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


def metrics_table(
    run: str, data: str, total: int, estimates: Sequence[Estimate], notes: Sequence[str], fmt: str
) -> Table:
    """One row a metric, with what it rests on.

    Args:  data: what was measured on; total: sentences there; fmt: not auto.
    """
    measured = max((e.sentences for e in estimates), default=0)
    title, note = f"{run} on {data}, {measured} of {total} sentences", "; ".join(notes)
    if fmt not in FOR_PEOPLE:
        exact = ("metric", "value", "se", "unit", "sentences", "of", "draws", "estimator", "run", "data")
        rows = [
            (
                e.metric,
                figure(e),
                e.standard_error,
                e.unit,
                e.sentences,
                total,
                e.draws,
                e.estimator,
                run,
                data,
            )
            for e in estimates
        ]
        return Table(title, exact, rows, note)
    counted = fmt != "table" or any(
        e.sentences < measured for e in estimates
    )  # the title is drawn with it only
    columns = (
        "metric",
        "value ± se",
        "unit",
        *(["sentences", "of"] if counted else []),
        "draws",
        "estimator",
    )
    shown = [
        (
            e.metric,
            with_error(figure(e), e.standard_error),
            e.unit,
            *([e.sentences, total] if counted else []),
            e.draws,
            e.estimator,
        )
        for e in estimates
    ]
    return Table(title, columns, shown, note)


def figure(estimate: Estimate) -> float:
    """The value, a whole number where it is a count."""
    return int(estimate.value) if estimate.unit == "dimensions" else estimate.value


def with_error(value: float, error: float) -> str:
    """`78.12 ± 0.43`: two digits of the standard error, and as many places of the value."""
    if not (math.isfinite(value) and math.isfinite(error) and error > 0):
        return readable(value)
    places = min(max(1 - math.floor(math.log10(error)), 0), 6)
    return f"{value:.{places}f} ± {error:.{places}f}"
