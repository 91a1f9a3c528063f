"""Cells of figures: a value with its standard error, and how far it rests on few draws."""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import TYPE_CHECKING

from sritool.cli.formats import readable

if TYPE_CHECKING:
    from sritool.evaluation.metrics import Estimate

RELIABILITY = ("half", "ess", "ess decile", "pareto k", "pareto k decile")
"""Columns, for programs, of a figure that rests on importance weights: at M/2, effective sample size and k̂."""

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


def weights_of(estimate: Estimate) -> dict[str, object]:
    """For people, by column: how far the weights under a figure can be believed; it must rest on some."""
    r = estimate.reliability
    assert r is not None
    return {
        "at M/2": readable(r.half),
        "at M": readable(estimate.value),
        "ESS, worst decile": both(r.effective, r.effective_decile),
        "Pareto k, worst decile": both(r.pareto_k, r.pareto_k_decile),
    }


def reliability_of(estimate: Estimate | None) -> dict[str, object]:
    """For programs, by the columns of RELIABILITY: the same of any figure, None in all of them without weights."""
    r = estimate.reliability if estimate else None
    if r is None:
        return dict.fromkeys(RELIABILITY)
    sizes = r.effective, r.effective_decile, r.pareto_k, r.pareto_k_decile
    known = (None if math.isnan(size) else size for size in sizes)  # what could be estimated
    return dict(zip(RELIABILITY, (r.half, *known), strict=True))


def both(value: float, decile: float) -> str | None:
    """`61.30, 12.00`; None for what could not be estimated."""
    return None if math.isnan(value) else f"{readable(value)}, {readable(decile)}"


def figure(estimate: Estimate) -> float:
    """The value, a whole number where it is a count."""
    is_count = estimate.unit == "dimensions" and math.isfinite(estimate.value)
    return int(estimate.value) if is_count else estimate.value


def figure_columns(name: str, estimate: Estimate | None, people: bool) -> dict[str, object]:
    """Return a figure by column, with its error beside it for programs; None where it was not measured."""
    if people:
        return {name: estimate and shown(estimate)}
    return {name: estimate and figure(estimate), f"{name} se": estimate and estimate.standard_error}


def value_columns(estimate: Estimate, people: bool) -> dict[str, object]:
    """Return a figure by column where its name stands in another one."""
    if people:
        return {"value ± se": shown(estimate)}
    return {"value": figure(estimate), "se": estimate.standard_error}


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
