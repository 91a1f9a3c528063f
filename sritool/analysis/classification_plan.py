"""Chooses the sentences that a classification learns from, names clusters by, and is tested on."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import NamedTuple

import numpy as np

from sritool.analysis.classification_data import Request, Sentences, Sources, in_other, read_sources
from sritool.analysis.classifiers import CHOSEN_ON, Accuracy, Classes, confusion
from sritool.data.fields import some_of
from sritool.data.sampling import Indices, seeded_choice
from sritool.errors import DataError, UsageError
from sritool.runs.model import TrainedModel

COUNTS = (0, 100, 1000, 10_000)  # labels, as in the paper's Table 5

Head = tuple[str, str, str]
"""What identifies a row: run or baseline, method (empty for a baseline), classifier."""


class Part(NamedTuple):
    """Some sentences of a source."""

    source: Sentences
    rows: Indices

    def __str__(self) -> str:
        chosen, of = len(self.rows), len(self.source)
        return f"{f'{chosen:,} of' if chosen < of else 'all'} {of:,} sentences of {self.source.name}"


class Plan(NamedTuple):
    """The sentences that take part."""

    sources: Sources
    test: Part
    valid: Part | None  # names the clusters; None: no clustering
    train: Part | None  # is clustered; None: no clustering
    draws: dict[int, list[Part]]  # requested number of labels -> draws of labelled sentences
    overlaps: list[str]  # sources with sentences of test, in words

    def labels(self, part: Part) -> Classes:
        """Return the classes of a part's sentences, as numbers."""
        return self.sources.numbers(part.source)[part.rows]

    def row(
        self, head: Head, labels: int | None, sizes: Sequence[int], predictions: Sequence[Classes]
    ) -> Accuracy:
        """Return the accuracy of the predictions of all draws; `sizes` are their numbers of labelled sentences."""
        true, classes = self.labels(self.test), len(self.sources.classes)
        shares = tuple(float((predicted == true).mean()) for predicted in predictions)
        table = np.sum([confusion(true, predicted, classes) for predicted in predictions], axis=0)
        return Accuracy(*head, labels, round(float(np.mean(sizes))), shares, table)


def make_plan(models: Sequence[TrainedModel], request: Request) -> Plan:
    """Read all sources and choose sentences.

    Raises:
        DataError: A source is missing, has no labels, or has too few sentences for the clusters.
        UsageError: Nothing is asked for, or more labels or principal components than there are sentences.
    """
    if not (request.wants_clusters or request.wants_labels):
        raise UsageError(
            "no labels and no clusters leave nothing to do; leave --no-zero out, or give --labels"
        )
    sources = read_sources(models, request)
    usable, overlaps = usable_of(sources, request, models[0])
    draws = draws_of(request, [Part(one, usable[one]) for one in sources.labelled])
    test = Part(sources.test, seeded_choice(len(sources.test), request.limit))
    valid, train = sources.valid, sources.train
    if valid is None or train is None or not request.wants_clusters:
        return Plan(sources, test, None, None, draws, overlaps)
    bound = min(request.train_sentences, request.limit or request.train_sentences)
    rows, classes = seeded_choice(len(train), bound, among=usable[train]), len(sources.classes)
    if len(rows) < classes:
        raise DataError(
            f"{len(rows)} sentences of {train.name} are too few for {classes} clusters; "
            "give more: --train-sentences, --limit"
        )
    if request.components is not None and request.components > len(rows):
        raise UsageError(
            f"--pca {request.components} is more than the {len(rows)} sentences that are clustered; give fewer"
        )
    naming = Part(valid, seeded_choice(len(valid), request.limit, among=usable[valid]))
    return Plan(sources, test, naming, Part(train, rows), draws, overlaps)


def draws_of(request: Request, usable: Sequence[Part]) -> dict[int, list[Part]]:
    """Return the draws by number of labels: whole files by size, or random draws from one source.

    `usable` holds the sentences of each labelled source that may take part.
    Raises: UsageError if there are several files to draw from, or fewer sentences than labels asked for.
    """
    if request.labelled and request.counts is None:
        sizes = sorted({len(part.source) for part in usable})
        return {size: [part for part in usable if len(part.source) == size] for size in sizes}
    if not request.wants_labels:
        return {}
    if len(usable) > 1:
        raise UsageError("--labels draws from one file; give --labelled once, or leave --labels out")
    source, pool = usable[0]
    most = min(len(pool), request.limit or len(pool))
    wanted = request.counts or [count for count in COUNTS if count <= most]

    def drawn(count: int) -> list[Part]:
        numbers = range(request.draws)
        return [Part(source, draw(pool, len(source), count, request.seed, number)) for number in numbers]

    return {count: drawn(count) for count in sorted({*wanted} - {0})}


def draw(usable: Indices, of: int, count: int, seed: int, number: int) -> Indices:
    """Choose `count` usable sentences out of `of` at random, in their order, as draw `number` of a seed.

    A larger draw contains the smaller one; leaving out unusable sentences changes a draw little.
    Raises: UsageError if there are too few usable sentences.
    """
    if count > len(usable):
        raise UsageError(
            f"{count:,} labels cannot be drawn from {len(usable):,} sentences; give fewer in --labels"
        )
    return seeded_choice(of, count, [seed, number], usable)


def notes_of(plan: Plan, request: Request) -> list[str]:
    """Return notes on how the classification was done, and what was left out."""
    dropout = " with dropout" if request.chain_dropout else ""
    scaled = "" if request.standardize else ", not standardised"
    means = f"means of {request.chains} chains{dropout}" if request.chains else "ends of chains without noise"
    notes = [f"codes are {means}, or an encoder's own{scaled}"]
    notes += [plan.sources.note] if plan.sources.note else []
    notes += _limited(plan, request)
    notes += _unlearnt(plan)
    for labels, draws in plan.draws.items():
        if any(len(np.unique(plan.labels(drawn))) < 2 for drawn in draws):
            notes.append(
                f"a draw of {labels:,} labels has one class only, which is then predicted for every sentence"
            )
    if any(len(drawn.rows) > CHOSEN_ON for draws in plan.draws.values() for drawn in draws):
        notes.append(f"C is chosen on at most {CHOSEN_ON:,} labelled sentences")
    if plan.train is not None:
        named = "named by" if request.naming == "hungarian" else "each named by its most confident of"
        notes += [f"clusters of {plan.train}", f"{named} {plan.valid}"]
    notes += [f"{overlap}{', and are left out' if request.deduplicate else ''}" for overlap in plan.overlaps]
    if plan.overlaps and not request.deduplicate:
        notes.append("leave them out with --deduplicate")
    return notes


def _limited(plan: Plan, request: Request) -> list[str]:
    """Return a note on the usual numbers of labels that --limit leaves out."""
    if request.limit is None or request.counts or request.labelled:
        return []
    source = plan.sources.labelled[0]
    left = [count for count in COUNTS if request.limit < count <= len(source)]
    if not left:
        return []
    numbers = ",".join(map(str, left))
    return [
        f"numbers of labels above --limit {request.limit} are left out; measure them with --labels {numbers}"
    ]


def _unlearnt(plan: Plan) -> Iterator[str]:
    """Yield notes on sources of labels that lack a class of the test sentences."""
    true, classes = plan.labels(plan.test), plan.sources.classes
    teachers = [*(plan.sources.labelled if plan.draws else ()), *([plan.valid.source] if plan.valid else ())]
    for source in dict.fromkeys(teachers):
        absent = np.setdiff1d(true, plan.sources.numbers(source))
        if len(absent):
            count = int(np.isin(true, absent).sum())
            named = some_of([classes[number] for number in absent])
            yield (
                f"{source.name} has no sentence labelled {named}: the {count:,} of {len(true):,} test sentences with "
                "such a label count as wrong"
            )


def usable_of(
    sources: Sources, request: Request, model: TrainedModel
) -> tuple[dict[Sentences, Indices], list[str]]:
    """Return the usable sentences of each source, and in words which sources share sentences with test.

    Raises: DataError if every sentence of a source is in test, and such sentences are to be left out.
    """
    usable: dict[Sentences, Indices] = {}
    overlaps = list[str]()
    for source in dict.fromkeys((sources.valid, sources.train, *sources.labelled)):
        if source is None:
            continue
        recurs = in_other(source, sources.test, model)
        if recurs.any():
            count = f"{int(recurs.sum()):,} of {len(source):,} sentences of {source.name}"
            overlaps.append(f"{count} recur in {sources.test.name}")
        if request.deduplicate and recurs.all():
            raise DataError(f"every sentence of {source.name} recurs in test; give another file")
        usable[source] = np.flatnonzero(~recurs) if request.deduplicate else np.arange(len(source))
    return usable, overlaps
