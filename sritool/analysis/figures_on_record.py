"""Figures of a checkpoint that were measured before, as a page or a card shows them; `evaluate` wrote them down."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import NamedTuple

from sritool.evaluation.evaluate import evaluate_model, record_of
from sritool.evaluation.evaluations_on_record import NAME, Evaluations, HashedModel, metric_of
from sritool.evaluation.metrics import Estimate
from sritool.evaluation.notes import ON_WEIGHTS
from sritool.evaluation.record import Record
from sritool.evaluation.sentences import choose_sentences
from sritool.evaluation.settings import DEFAULT_METRICS, NEEDS, EvaluationSettings
from sritool.runs.bundled import records_folder
from sritool.runs.model import Report

WITHOUT_Z = ("ppl", "nll")  # all there is to measure on a language model


class Figures(NamedTuple):
    """Figures that were measured together."""

    limit: int | None  # sentences asked for; None: all
    estimates: list[Estimate]
    notes: list[str]


def figures_of(model: HashedModel, request: EvaluationSettings, report: Report) -> list[Figures]:
    """Take the figures on record, each on the most sentences there are, and measure the usual ones that are missing.

    What is on record of fewer sentences than the request's limit is not taken; what is measured now is of that many.

    Returns:
        Sets that have no metric in common. All metrics that use importance weights are of the same sentences, so that
        ppl and nll on a page agree.
    """
    usual = DEFAULT_METRICS if model.latent else WITHOUT_Z
    sets = list(figures_on_record(model, request, usual))
    known = {metric_of(estimate) for figures in sets for estimate in figures.estimates}
    rest = tuple(name for name in usual if name not in known)
    if rest:
        measured = evaluate_model(model, replace(request, metrics=rest), report)
        sets.append(Figures(request.limit, measured.estimates, measured.notes))
    return sets


def in_order(sets: Iterable[Figures]) -> list[Estimate]:
    """Return all estimates in the order of a table."""
    found = [estimate for figures in sets for estimate in figures.estimates]
    return sorted(found, key=lambda estimate: list(NEEDS).index(metric_of(estimate)))


def notes_on(sets: Sequence[Figures]) -> list[str]:
    """Return all notes, each once; with several sets each says on how many sentences."""
    notes = []
    for figures in sets:
        count = max((estimate.sentences for estimate in figures.estimates), default=0)
        notes += [f"on {count} sentences, {note}" if len(sets) > 1 else note for note in figures.notes]
    return list(dict.fromkeys(notes))


def figures_on_record(
    model: HashedModel, request: EvaluationSettings, usual: Sequence[str]
) -> Iterator[Figures]:
    """Take what is kept of this very checkpoint and split, the whole split first; no metric twice.

    The metrics `usual` are wanted together.
    Raises: DataError if the corpus is not there.
    """
    of_interest = set(NEEDS) if model.latent else set(WITHOUT_Z)
    _, enough, _ = choose_sentences(model, request.split, None, request.limit, request.data_dir)
    found: list[tuple[int | None, int, Evaluations]] = []
    for limit in (None, *_counts_on_record(model.path)):
        chosen = choose_sentences(model, request.split, None, limit, request.data_dir)
        count = len(chosen.examples)
        if count >= len(enough):
            found.append((limit, count, record_of(model, chosen, replace(request, limit=limit))))
    weighted = [name for name in usual if name in ON_WEIGHTS]
    whole = (count for _, count, kept in found if not kept.missing(weighted))
    of_weighted = next(whole, len(enough))  # else they are measured on as many
    known: set[str] = set()
    for limit, count, kept in found:
        names = of_interest - known - set(kept.missing(NEEDS))
        names -= set(ON_WEIGHTS) if count != of_weighted else set()
        estimates, notes = kept.get(names)
        if estimates:
            yield Figures(limit, estimates, notes)
        known |= names


def _counts_on_record(checkpoint: Path) -> list[int]:
    """Numbers of sentences that evaluations.jsonl beside a checkpoint has figures on, the most first."""
    counts = set(Record(records_folder(checkpoint) / NAME).read(lambda entry: int(entry["sentences"])))
    return sorted((count for count in counts if count > 0), reverse=True)
