"""Results as tables."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from sritool.cli.formats import Table

if TYPE_CHECKING:
    from sritool.core.metrics import Estimate

COLUMNS = ("metric", "value", "se", "unit", "sentences", "draws", "estimator")


def metrics_table(title: str, estimates: Sequence[Estimate], notes: Sequence[str] = ()) -> Table:
    """One row a metric, with what it rests on."""
    rows = [
        (e.metric, e.value, e.standard_error, e.unit, e.sentences, e.draws, e.estimator) for e in estimates
    ]
    return Table(title, COLUMNS, rows, "; ".join(notes))
