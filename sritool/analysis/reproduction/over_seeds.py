"""Differences between the rows of a table, sentence by sentence, and figures over several seeds."""

from __future__ import annotations

import itertools
import math
import statistics
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np

from sritool.analysis.reproduction.on_record import Document, terms_of
from sritool.evaluation.metrics import Array
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


def differences(entry: Document, entries: Sequence[Document]) -> Iterator[Document]:
    """Yield paired differences to the unvaried row of each method of AGAINST, of the same seed or else the first."""
    own = terms_of(entry)
    for method in AGAINST:
        others = [other for other in entries if is_of(other, method) and _comparable(entry, other)]
        if not others or is_of(entry, method):
            continue
        reference = max(others, key=lambda other: other["seed"] == entry["seed"])
        theirs, about = terms_of(reference), {"against": method, "seed": reference["seed"]}
        for metric in (name for name in own if name in theirs):
            if (found := difference(own[metric], theirs[metric])) is not None:
                yield {"metric": metric, **about, "clear": found.is_clear, **found._asdict()}


def is_of(entry: Document, method: str, variation: str = "") -> bool:
    """Whether a row is of this method and variation."""
    return (entry["method"], entry["variation"]) == (method, variation)


def _comparable(entry: Document, other: Document) -> bool:
    """Whether both rows have terms of the same sentences."""
    return "terms" in entry and "terms" in other and entry["content"] == other["content"]


def differences_over_seeds(entries: Sequence[Document]) -> Iterator[Document]:
    """Yield paired differences to the unvaried rows of each method of AGAINST, averaged over the seeds of both.

    The average is taken sentence by sentence, so that its standard error says how far other sentences would change
    it. How far other seeds would is shown by the spread. A mean is clear if it exceeds two errors of both together,
    √(se² + sd²/seeds).
    """
    runs = dict.fromkeys((entry["method"], entry["variation"]) for entry in entries)
    for (method, variation), against in itertools.product(runs, AGAINST):
        if not variation and method in AGAINST[: AGAINST.index(against) + 1]:
            continue  # itself, or the other way round
        rows = [
            (terms_of(own), terms_of(reference))
            for own in entries
            for reference in entries
            if is_of(own, method, variation) and is_of(reference, against)
            if own["seed"] == reference["seed"] and _comparable(own, reference)
        ]
        for metric in rows[0][0] if rows else ():
            pairs = [(own[metric], other[metric]) for own, other in rows if metric in own and metric in other]
            if (found := _over_seeds(pairs)) is not None:
                yield {
                    "method": method,
                    "variation": variation,
                    "metric": metric,
                    "against": against,
                    **found,
                }


def _over_seeds(pairs: Sequence[tuple[Array, Array]]) -> Document | None:
    """Return the mean difference and its spread; None for fewer than two seeds.

    Args:
        pairs: Terms of the sentences for each seed, and those of the reference: [n] each.
    """
    if len(pairs) < 2:
        return None
    mean = difference(*(np.mean(terms, axis=0) for terms in zip(*pairs, strict=True)))
    if mean is None:
        return None
    of_seeds = _spread_of([float(np.nanmean(own - other)) for own, other in pairs])
    error = math.hypot(mean.standard_error, of_seeds["sd"] / math.sqrt(of_seeds["seeds"]))
    clear = mean._replace(standard_error=error).is_clear
    return {"standard_error": mean.standard_error, "clear": clear, **of_seeds}


def _spread_of(values: Sequence[float]) -> Document:
    """Number, mean, standard deviation and range of a figure over seeds."""
    return {
        "seeds": len(values),
        "mean": statistics.fmean(values),
        "sd": statistics.stdev(values),
        "least": min(values),
        "most": max(values),
    }
