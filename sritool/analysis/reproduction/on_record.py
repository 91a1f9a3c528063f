"""What is on record of one run: its training, and its figures."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

from sritool.analysis.comparison import Row
from sritool.analysis.reproduction.measures import Figure, Measure
from sritool.analysis.reproduction.outputs import Outputs
from sritool.analysis.reproduction.plan import Plan, PlannedRun, config_hash
from sritool.analysis.reproduction.states import Known, State, settings_of
from sritool.evaluation.collapse import collapse_note
from sritool.evaluation.evaluate import Evaluation, record_of, run_name
from sritool.evaluation.evaluations_on_record import load_hashed
from sritool.evaluation.metrics import Estimate
from sritool.evaluation.sentences import choose_sentences

Document = dict[str, Any]
"""Plain values, as JSON has them."""


def measured(plan: Plan, run: PlannedRun, state: State, device: str) -> tuple[Document, Row | None]:
    """Return what was measured of a run, and the same to be compared with others sentence by sentence.

    Args:
        plan: Of which the run is.
        run: A run.
        state: How far it is.
        device: Where figures were measured: those of another kind of device are others.
    """
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
        there = known.done.get(measure.words)
        if there is None:
            continue
        if measure.recorded:
            found = _looked_up(plan, measure, known, there, device)
            own = "--estimator" in measure.words
            figures += [
                _figure(estimate, found.evaluation.total, own) for estimate in found.evaluation.estimates
            ]
            values["notes"] += found.evaluation.notes
            if not own:
                row = found
                values["notes"] += _lacking(plan, found)
        else:
            figures += measure.read(there)
            sentences += measure.sentences(there)
    values["figures"] = [_values(one) for one in figures]
    if sentences:
        values["sentences"] = sentences
    values["notes"] = list(dict.fromkeys(values["notes"]))
    return values, row


def _looked_up(plan: Plan, measure: Measure, known: Known, metrics: Sequence[str], device: str) -> Row:
    """The figures on record of some metrics, with the terms of each sentence."""
    model, content = load_hashed(known.path, device)
    settings = settings_of(plan, measure)
    chosen = choose_sentences(model, settings.split, None, settings.limit, settings.data_dir)
    kept = record_of(model, content, chosen, settings)
    estimates, notes = kept.get(metrics)
    notes = [*filter(None, [collapse_note(model.checkpoint, estimates)]), *notes]
    found = Evaluation(
        run_name(model.path),
        model.method.name,
        chosen.data,
        len(chosen.split),
        estimates,
        sentences=[],
        notes=notes,
        curve=[],
        terms=kept.terms(metrics),
    )
    corpus = model.checkpoint.corpus
    return Row(found.run, str(corpus["name"]), str(corpus["content_hash"]), found, known.training)


def _lacking(plan: Plan, row: Row) -> list[str]:
    """A line on figures that have no paired difference, as their record is of before there were any."""
    known = [estimate.metric for estimate in row.evaluation.estimates]
    lacking = [name for name in plan.table.differences if name in known and name not in row.evaluation.terms]
    return (
        [f"no differences of {', '.join(lacking)}: its record lacks them; evaluate --again"]
        if lacking
        else []
    )


def _figure(estimate: Estimate, total: int, own: bool) -> Figure:
    as_published = {"au-naive": "au"} if own else {}
    return Figure(
        as_published.get(estimate.metric, estimate.metric),
        estimate.value,
        estimate.standard_error,
        estimate.estimator,
        estimate.draws,
        estimate.sentences,
        total,
        estimate.reliability.half if estimate.reliability else None,
        own,
    )


def _values(figure: Figure) -> Document:
    return {name: _plain(value) for name, value in figure._asdict().items()}


def _plain(value: Any) -> Any:
    """As JSON has it: what is not finite as null."""
    return None if isinstance(value, float) and not math.isfinite(value) else value
