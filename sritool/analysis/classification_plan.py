"""Which sentences a classification learns from, names clusters by, and is tested on."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple

import numpy as np

from sritool.analysis.classifiers import CHOSEN_ON, KERNELS, NAMINGS
from sritool.analysis.labelled_text import (
    Indices,
    Overlap,
    Sentences,
    Sources,
    aligned,
    choose,
    draw,
    in_other,
    prepared_sentences,
    read_sentences,
)
from sritool.data.readers import FieldNames
from sritool.errors import DataError, UsageError
from sritool.evaluation.evaluate import require_one_corpus
from sritool.evaluation.sentences import prepared_corpus
from sritool.runs.model import TrainedModel

COUNTS = (0, 100, 1000, 10_000)  # labels, as in the paper's Table 5


@dataclass(frozen=True)
class Request:
    """What to classify, and how."""

    labelled: tuple[Path, ...] = ()  # files whose labels are learnt from; none: draws from train
    train: Path | None = None  # each None: that split of the corpus that the models were trained on
    valid: Path | None = None
    test: Path | None = None
    columns: FieldNames = field(default_factory=FieldNames)
    counts: tuple[int, ...] | None = None  # labels to draw, 0 for none; None: whole files, or COUNTS
    zero: bool | None = None  # whether to cluster without labels; None: where 0 is among the counts
    draws: int = 5
    train_sentences: int = 10_000  # that are clustered where there are no labels
    limit: int | None = None  # of train, valid and test each
    deduplicate: bool = False
    chains: int = 5
    components: int | None = None  # principal ones that are clustered
    naming: str = "hungarian"
    kernel: str = "linear"
    seed: int = 0
    batch_size: int = 64
    data_dir: Path = Path("data")

    def __post_init__(self) -> None:
        for name, value, known in (("kernel", self.kernel, KERNELS), ("naming", self.naming, NAMINGS)):
            if value not in known:
                raise UsageError(f"no {name} {value!r}; choose one of {', '.join(known)}")


class Setting(NamedTuple):
    """A number of labels, and the draws of sentences that have them."""

    labels: int  # as asked for; 0: clusters
    draws: tuple[tuple[int, Indices], ...]  # (which of the labelled sources, its sentences)
    repeats: int  # draws, or seeds of the clusters


class Plan(NamedTuple):
    """Which sentences take part."""

    sources: Sources
    test: Indices
    valid: Indices
    train: Indices
    settings: list[Setting]
    overlaps: list[Overlap]


def make_plan(models: Sequence[TrainedModel], request: Request) -> Plan:
    """Read all sources and choose sentences.

    Raises: DataError for sources that are missing or have no labels; UsageError for more labels than there are.
    """
    if not (wants_zero(request) or wants_draws(request)):
        raise UsageError(
            "no labels and no clusters leave nothing to do; leave --no-zero out, or give --labels"
        )
    sources = read_sources(models, request)
    usable, overlaps = usable_of(sources, request, models[0])
    settings = settings_of(sources, request, [usable[id(source)] for source in sources.labelled])
    none = np.zeros(0, dtype=np.int64)
    test = choose(np.arange(len(sources.test)), len(sources.test), request.limit)
    train = valid = none
    if sources.train is not None and wants_zero(request):
        bound = min(request.train_sentences, request.limit or request.train_sentences)
        train = choose(usable[id(sources.train)], len(sources.train), bound)
        if len(train) < len(sources.classes):
            raise DataError(
                f"{len(train)} sentences of {sources.train.name} are too few for {len(sources.classes)} clusters; "
                "give more: --train-sentences, --limit"
            )
        if request.components is not None and request.components > len(train):
            raise UsageError(
                f"--pca {request.components} is more than the {len(train)} sentences that are clustered; give fewer"
            )
    if sources.valid is not None:
        valid = choose(usable[id(sources.valid)], len(sources.valid), request.limit)
    return Plan(sources, test, valid, train, settings, overlaps)


def usable_of(
    sources: Sources, request: Request, model: TrainedModel
) -> tuple[dict[int, Indices], list[Overlap]]:
    """The sentences of each source, by its id, that may take part, and which sources have sentences of test.

    Raises: DataError if a source has no others, and they are to be left out.
    """
    usable: dict[int, Indices] = {}
    overlaps: list[Overlap] = []
    for source in dict.fromkeys((sources.valid, sources.train, *sources.labelled)):
        if source is None:
            continue
        recurs = in_other(source, sources.test, model)
        if recurs.any():
            overlaps.append(Overlap(source.name, sources.test.name, int(recurs.sum()), len(source)))
        if request.deduplicate and recurs.all():
            raise DataError(f"every sentence of {source.name} recurs in test; give another file")
        usable[id(source)] = np.flatnonzero(~recurs) if request.deduplicate else np.arange(len(source))
    return usable, overlaps


def wants_zero(request: Request) -> bool:
    """Whether there is a column without labels."""
    return (request.counts is None or 0 in request.counts) if request.zero is None else request.zero


def wants_draws(request: Request) -> bool:
    """Whether there is a column with labels, if no file has them."""
    return request.counts is None or any(request.counts)


def read_sources(models: Sequence[TrainedModel], request: Request) -> Sources:
    """The files that are given, and for the others splits of the corpus that the models were trained on."""

    def source(path: Path | None, split: str, needs_labels: bool = True) -> Sentences:
        if path is not None:
            return read_sentences(path, request.columns, needs_labels)
        require_one_corpus(models, "classify with")
        try:
            return prepared_sentences(prepared_corpus(models[0], request.data_dir), split, needs_labels)
        except DataError as error:
            advice = f"--{split} FILE" + ("" if needs_labels else " or --no-zero")
            raise DataError(str(error).replace("--text FILE", advice)) from error

    zero = wants_zero(request)
    test = source(request.test, "test")
    valid = source(request.valid, "valid") if zero else None
    labelled = tuple(read_sentences(path, request.columns) for path in request.labelled)
    drawn = not labelled and wants_draws(request)
    train = source(request.train, "train", drawn) if zero or drawn else None
    found = aligned(test, valid, train, (train,) if drawn and train is not None else labelled)
    # Sentences that are drawn from train are the same source, so that no sentence is encoded twice.
    return found._replace(train=found.labelled[0]) if drawn else found


def settings_of(sources: Sources, request: Request, usable: Sequence[Indices]) -> list[Setting]:
    """The columns of the table: 0, then files by their size, or draws of so many labels."""
    settings = [Setting(0, (), request.draws)] if wants_zero(request) else []
    if request.labelled and request.counts is None:
        sizes = sorted({len(source) for source in sources.labelled})
        for size in sizes:
            same = [i for i, source in enumerate(sources.labelled) if len(source) == size]
            settings.append(Setting(size, tuple((i, usable[i]) for i in same), len(same)))
        return settings
    if not wants_draws(request):
        return settings
    if len(sources.labelled) > 1:
        raise UsageError("--labels draws from one file; give --labelled once, or leave --labels out")
    (pool,), of = usable, len(sources.labelled[0])
    wanted = request.counts or tuple(count for count in COUNTS if count <= len(pool))
    for count in sorted({*wanted} - {0}):
        draws = tuple((0, draw(pool, of, count, request.seed, number)) for number in range(request.draws))
        settings.append(Setting(count, draws, request.draws))
    return settings


def _has_one_class(plan: Plan, source: int, chosen: Indices) -> bool:
    return len(np.unique(plan.sources.numbers(plan.sources.labelled[source])[chosen])) < 2


def notes_of(plan: Plan, request: Request) -> list[str]:
    """What was left out, and how the rest was done."""
    sources = plan.sources
    notes = [f"codes are means of {request.chains} chains, or an encoder's own"]
    alone = [
        setting for setting in plan.settings if any(_has_one_class(plan, *draw) for draw in setting.draws)
    ]
    for setting in alone:
        notes.append(f"a draw of {setting.labels:,} labels is of one class, which is then the answer to all")
    if any(len(rows) > CHOSEN_ON for setting in plan.settings for _, rows in setting.draws):
        notes.append(f"the machines' C is chosen on {CHOSEN_ON:,} of the labels where there are more")
    named = "named by" if request.naming == "hungarian" else "each named by its most confident of"
    for what, source, rows in (
        ("clusters of", sources.train, plan.train),
        (named, sources.valid, plan.valid),
    ):
        if source is not None and len(rows):
            of = f"{len(rows):,} of {len(source):,}" if len(rows) < len(source) else f"all {len(source):,}"
            notes.append(f"{what} {of} sentences of {source.name}")
    notes += [f"{overlap}{', and are left out' if request.deduplicate else ''}" for overlap in plan.overlaps]
    if plan.overlaps and not request.deduplicate:
        notes.append("leave them out with --deduplicate")
    return notes
