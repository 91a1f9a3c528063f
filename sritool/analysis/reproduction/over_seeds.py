"""Figures over several seeds: their spread, and the differences between methods, averaged over the seeds."""

from __future__ import annotations

import itertools
import math
import statistics
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np

from sritool.analysis.comparison import Row
from sritool.analysis.reproduction.on_record import Document
from sritool.analysis.reproduction.plan import Plan
from sritool.evaluation.paired import difference

AGAINST = ("lm", "sri")
"""Methods that the others are compared with, sentence by sentence."""


def spread(entries: Sequence[Mapping[str, Any]]) -> Iterator[Document]:
    """Yield mean, standard deviation and range over seeds of each figure with several seeds."""
    values: dict[tuple[str, str, str], list[float]] = {}
    for entry in entries:
        for figure in entry.get("figures", ()):
            if not figure["own"] and figure["value"] is not None:
                key = (entry["method"], entry["variation"], figure["metric"])
                values.setdefault(key, []).append(figure["value"])
    for (method, variation, metric), found in values.items():
        if len(found) > 1:
            yield {"method": method, "variation": variation, "metric": metric, **_spread_of(found)}


def differences_over_seeds(plan: Plan, rows: Sequence[Row | None]) -> Iterator[Document]:
    """Yield paired differences to the unvaried runs of each method of AGAINST, averaged over the seeds of both.

    The average is taken sentence by sentence, so that its standard error says how far other sentences would change
    it. How far other seeds would is shown by the spread. A mean is clear if it exceeds two errors of both together,
    √(se² + sd²/seeds).
    """
    found = {
        (run.method, run.variation.name, run.seed): row.evaluation.terms
        for run, row in zip(plan.runs, rows, strict=True)
        if row is not None
    }
    runs = dict.fromkeys((method, variation) for method, variation, _ in found)
    for (method, variation), against, metric in itertools.product(runs, AGAINST, plan.table.differences):
        if not variation and method in AGAINST[: AGAINST.index(against) + 1]:
            continue  # itself, or the other way round
        pairs = [
            (own[metric], reference[metric])
            for seed in plan.request.seeds
            if (own := found.get((method, variation, seed))) and (reference := found.get((against, "", seed)))
            if metric in own and metric in reference
        ]
        if len(pairs) < 2:
            continue
        own_mean, reference_mean = (np.mean(terms, axis=0) for terms in zip(*pairs, strict=True))
        if (mean := difference(own_mean, reference_mean)) is not None:
            of_seeds = _spread_of([float(np.nanmean(one - other)) for one, other in pairs])
            error = math.hypot(mean.standard_error, of_seeds["sd"] / math.sqrt(of_seeds["seeds"]))
            yield {
                "method": method,
                "variation": variation,
                "metric": metric,
                "against": against,
                "standard_error": mean.standard_error,
                "clear": mean._replace(standard_error=error).is_clear,
                **of_seeds,
            }


def _spread_of(values: Sequence[float]) -> Document:
    """Number, mean, standard deviation and range of a figure over seeds."""
    return {
        "seeds": len(values),
        "mean": statistics.fmean(values),
        "sd": statistics.stdev(values),
        "least": min(values),
        "most": max(values),
    }
