"""Collects what is on record of one run: its training and its figures."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import numpy as np

from sritool.analysis.comparison import Row
from sritool.analysis.reproduction.measures import Figure
from sritool.analysis.reproduction.outputs import Outputs
from sritool.analysis.reproduction.plan import Plan, PlannedRun
from sritool.analysis.reproduction.same_settings import config_hash
from sritool.analysis.reproduction.states import State
from sritool.evaluation.metrics import Array, Estimate
from sritool.evaluation.record import packed, unpacked
from sritool.evaluation.settings import DEFAULT_ESTIMATOR

Document = dict[str, Any]
"""Plain values, as in JSON."""


def measured(plan: Plan, run: PlannedRun, state: State) -> tuple[Document, Row | None]:
    """Return the training and figures of a run, and a row to compare it with others sentence by sentence."""
    known = state.known
    if known is None:
        return {}, None
    training = known.training
    values: Document = {
        "settings": config_hash(known.config),
        "machines": Outputs(known.path).machines(),
        "training": {
            "epochs": training.epochs,
            "planned epochs": training.planned,
            "hours": training.seconds / 3600,
            "best after, hours": known.best_after / 3600,
            "tokens/s": training.tokens_per_second,
            "parameters": training.parameters,
            "sentences": training.sentences,
            "of": training.of,
        },
        "notes": [training.left] if training.left else [],
    }
    figures: list[Figure] = []
    row, sentences = None, list[str]()
    for measure in run.measures:
        result = known.done.get(measure.words)
        if result is None:
            continue
        if measure.recorded:
            _, found = result
            own = measure.estimator != DEFAULT_ESTIMATOR
            figures += [_figure(estimate, found.total, own) for estimate in found.estimates]
            values["notes"] += found.notes
            if not own:
                row = Row(found.run, known.corpus.name, known.corpus.content_hash, found, training)
        else:
            if known.ignores_z:
                values["notes"].append("the generator ignored z when it was last validated")
            figures += measure.read(result)
            sentences += measure.sentences(result)
    values["figures"] = [_values(one) for one in figures]
    if sentences:
        values["sentences"] = sentences
    values["notes"] = list(dict.fromkeys(values["notes"]))
    if row is not None:
        terms = {name: of for name, of in row.evaluation.terms.items() if name in plan.table.differences}
        short = {name: of.astype(np.float32) for name, of in terms.items()}
        values |= {"content": row.content_hash, "terms": packed(short)}
    return values, row


def terms_of(entry: Mapping[str, Any]) -> dict[str, Array]:
    """Return the terms of each sentence in a row, by metric: [n] each; rows of older versions have none."""
    return {name: terms.astype(np.float64) for name, terms in unpacked(entry.get("terms", {})).items()}


def _figure(estimate: Estimate, total: int, own: bool) -> Figure:
    name, half = estimate.metric, estimate.reliability.half if estimate.reliability else None
    shown = (estimate.value, estimate.standard_error, estimate.estimator, estimate.draws, estimate.sentences)
    return Figure("au" if own and name == "au-naive" else name, *shown, total, half, own)


def _values(figure: Figure) -> Document:
    """Return a figure as JSON values; a value that is not finite becomes null."""
    return {
        name: None if isinstance(value, float) and not math.isfinite(value) else value
        for name, value in figure._asdict().items()
    }
