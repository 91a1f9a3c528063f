"""The gain of a fitted prior as a table."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sritool.cli.formats import Table
from sritool.cli.tables.figures import FOR_PEOPLE, figure_columns

if TYPE_CHECKING:
    from sritool.analysis.fitted_prior import FittedPrior


def prior_table(fitted: FittedPrior, title: str, fmt: str) -> Table:
    """One row for each prior; figures and their errors in one column for people, in two for programs."""
    people = fmt in FOR_PEOPLE
    found = (
        ("N(0, I)", fitted.before, None, fitted.size_before),
        ("fitted", fitted.after, fitted.change, fitted.size_after),
    )
    rows = [
        {
            "prior": prior,
            **figure_columns("nll", nll, people),
            **figure_columns("change", change, people),
            "ess": f"{size:.1f}" if people else size,
        }
        for prior, nll, change, size in found
    ]
    return Table.of(title, rows, verdict(fitted))


def verdict(fitted: FittedPrior) -> str:
    """Whether the fitted prior is worth keeping, in one line."""
    if fitted.is_better:
        return "the fitted prior lowers the nll by more than two standard errors"
    if fitted.is_standard:
        return "N(0, I) fits the codes within the noise of their moments"
    return "the fitted prior does not lower the nll by more than two standard errors"
