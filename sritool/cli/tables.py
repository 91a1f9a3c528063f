"""Tables that more than one command prints."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING

from sritool.cli.formats import Table, readable

if TYPE_CHECKING:
    from sritool.evaluation.metrics import Estimate

FOR_PEOPLE = ("table", "markdown", "latex")
"""Formats in which the title says what every row shares, and a figure stands with its error."""

RELIABILITY = ("half", "ess", "ess decile", "pareto k", "pareto k decile")
"""Columns, for programs, of a figure that rests on importance weights: see `reliability_cells`."""


def metrics_table(
    run: str, data: str, total: int, estimates: Sequence[Estimate], notes: Sequence[str], fmt: str
) -> Table:
    """One row a metric, with what it rests on.

    Args:  data: what was measured on; total: sentences there; fmt: not auto.
    """
    measured = max((e.sentences for e in estimates), default=0)
    title, note = f"{run} on {data}, {measured} of {total} sentences", "\n".join(notes)
    if fmt not in FOR_PEOPLE:
        exact = ("metric", "value", "se", "unit", "sentences", "of", "draws", "estimator", "run", "data")
        rows = [
            (
                *(e.metric, figure(e), e.standard_error, e.unit, e.sentences, total),
                *(e.draws, e.estimator, run, data),
                *reliability_cells(e),
            )
            for e in estimates
        ]
        return Table(title, (*exact, *RELIABILITY), rows, note)
    # The title is drawn in a table only.
    counted = fmt != "table" or any(e.sentences < measured for e in estimates)
    counts = ["sentences", "of"] if counted else []
    columns = ("metric", "value ± se", "unit", *counts, "draws", "estimator")
    shown = [
        (
            # A terminal has 80 columns, and every mean in nats is one over sentences.
            *(e.metric, with_error(figure(e), e.standard_error)),
            e.unit.removesuffix("/sentence") if fmt == "table" else e.unit,
            *([e.sentences, total] if counted else []),
            *(e.draws, e.estimator),
        )
        for e in estimates
    ]
    return Table(title, columns, shown, note)


def reliability_table(estimates: Sequence[Estimate]) -> Table | None:
    """For people, beside the metrics: the figure at M/2, effective sample size and k̂; None without weights."""
    weighted = [(e, e.reliability) for e in estimates if e.reliability is not None]
    if not weighted:
        return None
    first = weighted[0][0]
    rows = [
        (
            *(e.metric, readable(r.half), readable(e.value)),
            *(both(r.effective, r.effective_decile), both(r.pareto_k, r.pareto_k_decile)),
        )
        for e, r in weighted
    ]
    columns = ("metric", "at M/2", "at M", "ESS, worst decile", "k̂, worst decile")
    return Table(f"Weights of {first.estimator}, M = {first.draws} draws a sentence", columns, rows)


def reliability_cells(estimate: Estimate | None) -> tuple[float | None, ...]:
    """A figure at M/2, effective sample size and k̂, each with its worst decile; None without weights."""
    reliability = estimate.reliability if estimate else None
    if reliability is None:
        return (None,) * len(RELIABILITY)
    sizes = reliability.effective, reliability.effective_decile
    return (reliability.half, *map(known, (*sizes, reliability.pareto_k, reliability.pareto_k_decile)))


def both(value: float, decile: float) -> str | None:
    """`61.30, 12.00`; None for what could not be estimated."""
    return None if math.isnan(value) else f"{readable(value)}, {readable(decile)}"


def known(value: float) -> float | None:
    """None for what could not be estimated."""
    return None if math.isnan(value) else value


def figure(estimate: Estimate) -> float:
    """The value, a whole number where it is a count."""
    return (
        int(estimate.value)
        if estimate.unit == "dimensions" and math.isfinite(estimate.value)
        else estimate.value
    )


_LARGEST_PLAIN = 1e7  # beyond it a figure has an exponent


def with_error(value: float, error: float) -> str:
    """`78.12 ± 0.43`: two digits of the standard error, and as many places of the value; `2.958 ± undefined`."""
    if math.isfinite(value) and math.isnan(error):
        return f"{readable(value)} ± {readable(error)}"
    if not (math.isfinite(value) and math.isfinite(error) and error > 0):
        return readable(value)
    if abs(value) >= _LARGEST_PLAIN:
        return f"{readable(value)} ± {readable(error)}"
    places = min(max(1 - math.floor(math.log10(error)), 0), 6)
    return f"{value:z.{places}f} ± {error:.{places}f}"
