"""Cells of figures: a value with its standard error, and how far it rests on few draws."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING

from sritool.cli.formats import readable

if TYPE_CHECKING:
    from sritool.evaluation.metrics import Estimate

FOR_PEOPLE = ("table", "markdown", "latex")
"""Formats in which the title says what every row shares, and a figure stands with its error."""

RELIABILITY = ("half", "ess", "ess decile", "pareto k", "pareto k decile")
"""Columns, for programs, of a figure that rests on importance weights: see `reliability_cells`."""

HALF = "half the draws"
"""Column, for people: how much higher a figure is from half the draws, where more draws would change it further."""


def half_of(estimates: Iterable[Estimate]) -> str | None:
    """That column's cell of a run: `+0.063` for its nll, or else its ppl; None where that is settled."""
    by_name = {estimate.metric: estimate for estimate in estimates}
    figure = by_name.get("nll") or by_name.get("ppl")
    return raised_by_half(figure) if figure else None


def raised_by_half(estimate: Estimate) -> str | None:
    """That column's cell of one figure."""
    return None if estimate.unsettled is None else f"{estimate.unsettled:+.3f}"


WEIGHTS = ("at M/2", "at M", "ESS, worst decile", "Pareto k, worst decile")
"""Columns, for people, of a figure that rests on importance weights: see `weights_of`."""


def weights_of(estimate: Estimate) -> tuple[str | None, ...]:
    """The cells of WEIGHTS for a figure that rests on importance weights."""
    r = estimate.reliability
    assert r is not None
    sizes = both(r.effective, r.effective_decile), both(r.pareto_k, r.pareto_k_decile)
    return (readable(r.half), readable(estimate.value), *sizes)


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


def figure_columns(names: Sequence[str], people: bool) -> list[str]:
    """Return the columns of figures: one each for people, and one for its error beside it for programs."""
    return list(names) if people else [column for name in names for column in (name, f"{name} se")]


def figure_cells(estimate: Estimate | None, people: bool) -> list[object]:
    """Return the cells of a figure below `figure_columns`; empty where it was not measured."""
    if people:
        return [estimate and shown(estimate)]
    return [figure(estimate), estimate.standard_error] if estimate else [None, None]


def shown(estimate: Estimate) -> str:
    """For people: a figure with its standard error."""
    value = with_error(figure(estimate), estimate.standard_error)
    return f"{estimate.bound} {value}" if estimate.bound else value


def difference_text(value: float, error: float, clear: bool) -> str:
    """`−0.41 ± 0.13 *`: a difference with its sign and error, and a star where it is clear."""
    sign = "+" if value > 0 else ""
    return f"{sign}{with_error(value, error)}{' *' if clear else ''}".replace("-", "−", 1)


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
