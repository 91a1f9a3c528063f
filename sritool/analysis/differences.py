"""Paired differences of runs to one of them, the reference."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from sritool.errors import UsageError
from sritool.evaluation.estimates import WEIGHTED
from sritool.evaluation.paired import Difference, difference
from sritool.runs.model import TrainedModel

if TYPE_CHECKING:
    from sritool.analysis.comparison import Row


def reference_index(paths: Sequence[Path], models: Sequence[TrainedModel], against: Path | None) -> int:
    """Return which of the runs the others are compared with.

    Args:
        paths: Checkpoints of the runs.
        models: Those in them.
        against: The checkpoint asked for; None: the language model among the runs, or else the first run.

    Raises:
        UsageError: `against` is none of the runs.
    """
    if against is None:
        return next((i for i, model in enumerate(models) if model.method.name == "lm"), 0)
    for number, path in enumerate(paths):
        if path.resolve() == against.resolve():
            return number
    raise UsageError(f"{against} is not among the runs; add it to them")


def differences(row: Row, reference: Row, one_estimator: bool) -> dict[str, Difference]:
    """Return the paired differences of a run to the reference, by metric; those that there are.

    Args:
        row: The run, measured on the same sentences with the same noise.
        reference: The other; of itself there are no differences.
        one_estimator: Whether log p(x) of both was estimated alike; if not, what rests on it has no difference.
    """
    if row is reference or row.content_hash != reference.content_hash:
        return {}
    found = {}
    for metric, terms in row.evaluation.terms.items():
        others = reference.evaluation.terms.get(metric)
        if others is None or (metric.removesuffix("-word") in WEIGHTED and not one_estimator):
            continue
        paired = difference(terms, others)
        if paired is not None:
            found[metric] = paired
    return found
