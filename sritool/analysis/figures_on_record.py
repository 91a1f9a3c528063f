"""Looks up figures of a checkpoint that `evaluate` recorded, for a report page or a model card."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import NamedTuple

from sritool.data.store import Corpus
from sritool.evaluation.evaluate import evaluate_model, record_of
from sritool.evaluation.evaluations_on_record import NAME, Evaluations, HashedModel
from sritool.evaluation.metric_table import METRICS, ON_WEIGHTS, metric_name
from sritool.evaluation.metrics import Estimate, most_sentences
from sritool.evaluation.record import Record
from sritool.evaluation.sentences import choose_from
from sritool.evaluation.settings import DEFAULT_METRICS, EvaluationSettings
from sritool.runs.bundled import records_folder
from sritool.runs.model import Report

WITHOUT_Z = ("ppl", "nll")  # figures of a language model


class Figures(NamedTuple):
    """Figures that were measured together."""

    limit: int | None  # sentences asked for; None: all
    estimates: list[Estimate]
    notes: list[str]


def figures_of(
    model: HashedModel, corpus: Corpus, request: EvaluationSettings, report: Report
) -> list[Figures]:
    """Look up figures on record, each on the most sentences recorded, and measure the usual ones that are missing.

    Records on fewer sentences than the request's limit are ignored; new figures are measured on that many.

    Returns:
        Sets without a common metric. All metrics that use importance weights are of the same sentences, so that ppl
        and nll on a page agree.
    """
    usual = DEFAULT_METRICS if model.latent else WITHOUT_Z
    sets = list(figures_on_record(model, corpus, request, usual))
    known = {metric_name(estimate.metric) for figures in sets for estimate in figures.estimates}
    rest = tuple(name for name in usual if name not in known)
    if rest:
        measured = evaluate_model(model, replace(request, metrics=rest), report)
        sets.append(Figures(request.limit, measured.estimates, measured.notes))
    return sets


def in_order(sets: Iterable[Figures]) -> list[Estimate]:
    """Return all estimates in table order."""
    found = [estimate for figures in sets for estimate in figures.estimates]
    return sorted(found, key=lambda estimate: list(METRICS).index(metric_name(estimate.metric)))


def notes_on(sets: Sequence[Figures]) -> list[str]:
    """Return all notes, each once; with several sets, each note gives its number of sentences."""
    notes = []
    for figures in sets:
        count = most_sentences(figures.estimates)
        notes += [f"on {count} sentences, {note}" if len(sets) > 1 else note for note in figures.notes]
    return list(dict.fromkeys(notes))


def figures_on_record(
    model: HashedModel, corpus: Corpus, request: EvaluationSettings, usual: Sequence[str]
) -> Iterator[Figures]:
    """Yield the figures on record of this checkpoint and split, the whole split first; no metric twice.

    Those metrics of `usual` that use importance weights are taken from the same sentences. `corpus` is the one that
    the model was trained on.
    """
    of_interest = set(METRICS) if model.latent else set(WITHOUT_Z)
    _, enough, _ = choose_from(model, corpus, request.split, request.limit)
    found: list[tuple[int | None, int, Evaluations]] = []
    for limit in (None, *_counts_on_record(model.path)):
        chosen = choose_from(model, corpus, request.split, limit)
        count = len(chosen.examples)
        if count >= len(enough):
            found.append((limit, count, record_of(model, chosen, replace(request, limit=limit))))
    weighted = [name for name in usual if name in ON_WEIGHTS]
    whole = (count for _, count, kept in found if not kept.missing(weighted))
    of_weighted = next(whole, len(enough))  # if not all on record, they are measured on the request's limit
    known: set[str] = set()
    for limit, count, kept in found:
        names = of_interest - known - set(kept.missing(METRICS))
        names -= set(ON_WEIGHTS) if count != of_weighted else set()
        estimates, notes = kept.get(names)
        if estimates:
            yield Figures(limit, estimates, notes)
        known |= names


def _counts_on_record(checkpoint: Path) -> list[int]:
    """Return the numbers of sentences that evaluations.jsonl has figures on, the largest first."""
    counts = set(Record(records_folder(checkpoint) / NAME).read(lambda entry: int(entry["sentences"])))
    return sorted((count for count in counts if count > 0), reverse=True)
