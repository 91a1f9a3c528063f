"""The gain of a fitted prior as a table."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sritool.cli.formats import Table
from sritool.cli.tables.figures import FOR_PEOPLE, with_error

if TYPE_CHECKING:
    from sritool.analysis.fitted_prior import FittedPrior

COLUMNS = ("prior", "nll", "nll se", "change", "change se", "ess")
"""For programs."""


def prior_table(fitted: FittedPrior, title: str, fmt: str) -> Table:
    """One row for each prior; figures and their errors in one column for people, in two for programs.

    Args:
        fitted: What was measured.
        title: What it was measured on.
        fmt: Any format but auto.
    """
    found = (
        ("N(0, I)", fitted.before, None, fitted.size_before),
        ("fitted", fitted.after, fitted.change, fitted.size_after),
    )
    if fmt in FOR_PEOPLE:
        rows: list[tuple[object, ...]] = [
            (
                prior,
                with_error(nll.value, nll.standard_error),
                change and with_error(change.value, change.standard_error),
                f"{size:.1f}",
            )
            for prior, nll, change, size in found
        ]
        return Table(title, ("prior", "nll", "change", "ess"), rows, verdict(fitted))
    rows = [
        (
            prior,
            nll.value,
            nll.standard_error,
            change and change.value,
            change and change.standard_error,
            size,
        )
        for prior, nll, change, size in found
    ]
    return Table(title, COLUMNS, rows, verdict(fitted))


def verdict(fitted: FittedPrior) -> str:
    """Whether the fitted prior is worth keeping, in one line."""
    if fitted.is_better:
        return "the fitted prior lowers the nll by more than two standard errors"
    if fitted.is_standard:
        return "N(0, I) fits the codes within the noise of their moments"
    return "the fitted prior does not lower the nll by more than two standard errors"
