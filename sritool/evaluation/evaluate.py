"""Evaluation of checkpoints on a split of a prepared corpus, or on any text."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import NamedTuple

from sritool.errors import DataError, NumericalError, UsageError
from sritool.evaluation import likelihood_estimators
from sritool.evaluation.batches import report_as
from sritool.evaluation.certificate import Certificate
from sritool.evaluation.certificate import certify as certify_model
from sritool.evaluation.collapse import IGNORES_Z, collapse_note
from sritool.evaluation.estimates import likelihood_curve, sentence_columns
from sritool.evaluation.evaluations_on_record import Evaluations, HashedModel, decisive, key_of, load_hashed
from sritool.evaluation.measure import measure
from sritool.evaluation.metric_table import METRICS, WEIGHTED, check_metrics
from sritool.evaluation.metrics import Array, Estimate, most_sentences
from sritool.evaluation.sentence_figures import is_measured
from sritool.evaluation.sentences import Chosen, Text, choose_sentences, read_text, reading_notes
from sritool.evaluation.settings import DEFAULT_ESTIMATOR, EvaluationSettings
from sritool.processes import measuring
from sritool.runs.model import Report, TrainedModel, load_model
from sritool.runs.names import run_name, run_names

CHAINS = 16  # of annealing, in each direction


class Evaluation(NamedTuple):
    """Figures of one checkpoint."""

    run: str
    method: str
    data: str  # what they were measured on: `ptb test`, or the name of a text
    total: int  # sentences there, measured or not
    estimates: list[Estimate]
    sentences: list[dict[str, object]]  # one row per sentence measured now: index, nll, …, text
    notes: list[str]
    # ppl and nll from M/8, M/4, M/2 and M draws; empty if not measured now
    curve: list[tuple[Estimate, Estimate]]
    terms: dict[str, Array]  # of each sentence, by the estimate's name

    @property
    def measured(self) -> int:
        """The number of sentences that were measured."""
        return most_sentences(self.estimates)

    @property
    def likelihood(self) -> Estimate | None:
        """A figure whose estimator and draws say how log p(x) was estimated; None if it was not."""
        return next((e for e in self.estimates if e.metric in WEIGHTED), None)


def evaluate(
    checkpoints: Sequence[Path], settings: EvaluationSettings, device: str, report: Report
) -> list[Evaluation]:
    """Measure each checkpoint on the same sentences with the same noise.

    Raises:
        UsageError: No metric or an unknown one, or a refinement for a method without an encoder.
        DataError: The corpora differ, or the corpus is not the one that a model was trained on.
    """
    if not settings.metrics:
        raise UsageError(f"no metric to measure; give some of {', '.join(METRICS)}")
    check_metrics(settings.metrics)
    likelihood_estimators.check_estimator(settings.estimator)
    models = [load_hashed(path, device) for path in checkpoints]
    for model in models:
        likelihood_estimators.check_estimator(settings.estimator, model.method)
        if settings.refinement is not None:
            model.method.refined(settings.refinement)  # raises before anything is measured
    if settings.text is None:
        require_one_corpus(models)
    text = read_text(settings.text) if settings.text else None
    found = []
    for name in run_names(checkpoints):
        model = models.pop(0)  # so that each is freed after its measurement
        progress = report_as(report, f"{name}: " if len(checkpoints) > 1 else "")
        found.append(evaluate_model(model, settings, progress, text)._replace(run=name))
    if not any(evaluation.estimates for evaluation in found):
        reason = next(note for note in found[0].notes if not note.startswith(IGNORES_Z))
        raise UsageError(f"{reason}; give other metrics")
    return found


def evaluate_model(
    model: HashedModel,
    settings: EvaluationSettings,
    report: Report,
    text: Text | None = None,
) -> Evaluation:
    """Measure one checkpoint: figures on record beside it are looked up, the others are measured and kept.

    A text replaces the split.
    """
    chosen = choose_sentences(model, settings.split, text, settings.limit, settings.data_dir)
    kept = record_of(model, chosen, settings)
    wanted = settings.metrics if settings.again else kept.missing(settings.metrics)
    measured, notes = None, list[str]()
    if wanted:
        asked = replace(settings, metrics=wanted)
        finished, sentences = kept.batches(asked), (chosen.split, chosen.examples)
        try:
            measured = measure(model.method, *sentences, asked, report, finished, model.tokenizer)
        except NumericalError as error:
            raise NumericalError(f"{run_name(model.path)}: {error}") from error
        kept.add(wanted, measured, _about(model, chosen, settings))
        finished.remove()
        notes = list(finished.notes())
    found = evaluation_on_record(model, chosen, kept, settings.metrics)
    found.notes.extend([*notes, *kept.notes_on(settings.metrics, wanted)])
    if text is not None:
        found.notes.extend(reading_notes(model, [text.lines[index] for index in chosen.examples.tolist()]))
    if measured is None:
        return found
    figures = measured.figures
    curve = likelihood_curve(figures, measured.origin) if is_measured(figures.log_likelihood) else []
    columns = sentence_columns(wanted, figures, settings.estimator)
    return found._replace(sentences=_rows(model, chosen, columns, text and text.lines), curve=curve)


def evaluation_on_record(
    model: TrainedModel, chosen: Chosen, kept: Evaluations, metrics: Sequence[str]
) -> Evaluation:
    """Return the figures on record of some metrics, with the terms of each sentence."""
    estimates, notes = kept.get(metrics)
    notes = [*filter(None, [collapse_note(model.checkpoint, estimates)]), *notes]
    head = run_name(model.path), model.method.name, chosen.data, len(chosen.split)
    return Evaluation(*head, estimates, [], notes, [], kept.terms(metrics))


def record_of(model: HashedModel, chosen: Chosen, settings: EvaluationSettings) -> Evaluations:
    """Return the record beside a checkpoint for these sentences and settings.

    Unless `again` is set, this removes leftover batches of evaluations on record, which were killed just after they
    were recorded.
    """
    kept = Evaluations(model.path, key_of(model, chosen, settings))
    stale = any(kept.path.parent.glob(".evaluate-*.jsonl"))
    if not settings.again and measuring().gather(stale)[0]:
        for metrics in kept.measured_together():
            kept.batches(replace(settings, metrics=metrics)).remove()
    return kept


def _about(model: TrainedModel, chosen: Chosen, settings: EvaluationSettings) -> dict[str, object]:
    """What a line of the record tells people, besides the key."""
    count = len(chosen.examples)
    return {
        "checkpoint": model.path.name,
        "method": model.method.name,
        "data": chosen.data,
        "sentences": count,
        "of": len(chosen.split),
        "device": " ".join(model.arithmetic),
        "settings": decisive(settings, model.method, count),
    }


def certify(
    checkpoints: Sequence[Path], settings: EvaluationSettings, count: int, device: str, report: Report
) -> list[tuple[str, Certificate]]:
    """Bracket `adaptive` on `count` sentences simulated from each checkpoint; return pairs (run name, certificate).

    Raises: UsageError if a model has no z, or another estimator is asked for.
    """
    if settings.estimator != DEFAULT_ESTIMATOR:
        raise UsageError(f"--certify is for {DEFAULT_ESTIMATOR}; leave --estimator out")
    found = []
    for path, name in zip(checkpoints, run_names(checkpoints), strict=True):
        model = load_model(path, device)
        found.append((name, certify_model(model, count, CHAINS, settings, report)))
    return found


def require_one_corpus(models: Sequence[TrainedModel], advice: str = "evaluate them one by one") -> None:
    """Refuse models trained on different corpora, which have no split in common. Raises: DataError."""
    corpora = {model.path: model.checkpoint.corpus for model in models}
    if len({corpus.content_hash for corpus in corpora.values()}) > 1:
        names = ", ".join(f"{run_name(path)}: {corpus.name}" for path, corpus in corpora.items())
        raise DataError(f"the runs were trained on different corpora ({names}); {advice}")


def _rows(
    model: TrainedModel, chosen: Chosen, columns: Mapping[str, Array], lines: Sequence[str] | None
) -> list[dict[str, object]]:
    split, places = chosen.split, chosen.examples.tolist()
    texts = [lines[index] for index in places] if lines is not None else model.texts(split, places)
    rows = []
    for row, (index, text) in enumerate(zip(places, texts, strict=True)):
        # </s> is a prediction but not a word
        words = int(split.words[index]) - int(split.ended[index])
        counts = {"index": index, "predictions": int(split.lengths[index]), "words": words}
        values = {
            name: None if math.isnan(array[row]) else float(array[row]) for name, array in columns.items()
        }
        rows.append({**counts, **values, "sentence": text})
    return rows
