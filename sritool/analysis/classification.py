"""How well the codes of sentences tell their classes: without labels, and with few.

`make_plan` chooses the sentences that are learnt from, that name clusters, and that are tested on; `Trial` carries
the plan out.

Source: Pang et al. 2021, section 4.3 and Table 5.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np

from sritool.analysis.classification_data import (
    Indices,
    Overlap,
    Request,
    Sentences,
    Sources,
    read_sources,
    usable_of,
)
from sritool.analysis.classifiers import (
    CHOSEN_ON,
    Accuracy,
    Classes,
    Clusters,
    Floats,
    confusion,
    svm_classes,
    word_classes,
)
from sritool.data.sampling import seeded_choice
from sritool.errors import DataError, UsageError
from sritool.evaluation.collapse import has_collapsed
from sritool.evaluation.posterior_codes import CodeSettings, codes_of_split
from sritool.runs.model import Report, TrainedModel, load_model
from sritool.runs.names import each_once, run_names

MAJORITY, WORDS = "majority class", "bag of words"
COUNTS = (0, 100, 1000, 10_000)  # labels, as in the paper's Table 5


class Setting(NamedTuple):
    """A number of labels, and the draws of sentences that have them."""

    labels: int  # as asked for; 0: clusters
    draws: tuple[tuple[int, Indices], ...]  # (which of the labelled sources, its sentences)


class Learner(NamedTuple):
    """What tells the rows of a table apart."""

    name: str  # the run's, or of a row that gives a scale
    method: str
    classifier: str


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

    Raises:
        DataError: A source is missing or has no labels.
        UsageError: More labels are asked for than there are.
    """
    if not (request.wants_clusters or request.wants_labels):
        raise UsageError(
            "no labels and no clusters leave nothing to do; leave --no-zero out, or give --labels"
        )
    sources = read_sources(models, request)
    usable, overlaps = usable_of(sources, request, models[0])
    settings = settings_of(sources, request, [usable[id(source)] for source in sources.labelled])
    none = np.zeros(0, dtype=np.int64)
    test = seeded_choice(len(sources.test), request.limit)
    train = valid = none
    if sources.train is not None and request.wants_clusters:
        bound = min(request.train_sentences, request.limit or request.train_sentences)
        train = seeded_choice(len(sources.train), bound, among=usable[id(sources.train)])
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
        valid = seeded_choice(len(sources.valid), request.limit, among=usable[id(sources.valid)])
    return Plan(sources, test, valid, train, settings, overlaps)


def settings_of(sources: Sources, request: Request, usable: Sequence[Indices]) -> list[Setting]:
    """Lay out the columns of the table: 0 labels, then files by their size, or draws of so many labels.

    Args:
        sources: What is read.
        request: What is classified, and how.
        usable: The sentences of each labelled source that may take part.

    Raises:
        UsageError: There are several files to draw from, or fewer sentences than labels asked for.
    """
    settings = [Setting(0, ())] if request.wants_clusters else []
    if request.labelled and request.counts is None:
        sizes = sorted({len(source) for source in sources.labelled})
        for size in sizes:
            same = [i for i, source in enumerate(sources.labelled) if len(source) == size]
            settings.append(Setting(size, tuple((i, usable[i]) for i in same)))
        return settings
    if not request.wants_labels:
        return settings
    if len(sources.labelled) > 1:
        raise UsageError("--labels draws from one file; give --labelled once, or leave --labels out")
    (pool,), of = usable, len(sources.labelled[0])
    most = min(len(pool), request.limit or len(pool))
    wanted = request.counts or tuple(count for count in COUNTS if count <= most)
    for count in sorted({*wanted} - {0}):
        draws = tuple((0, draw(pool, of, count, request.seed, number)) for number in range(request.draws))
        settings.append(Setting(count, draws))
    return settings


def draw(usable: Indices, of: int, count: int, seed: int, number: int) -> Indices:
    """Choose `count` of the usable sentences at random, in their order; a larger draw holds the smaller.

    Args:
        usable: Sentences that may be drawn.
        of: How many sentences there are; which are drawn depends little on those that are not usable.
        count: How many are drawn.
        seed: Of all draws.
        number: Which draw it is.

    Raises:
        UsageError: There are not so many.
    """
    if count > len(usable):
        raise UsageError(
            f"{count:,} labels cannot be drawn from {len(usable):,} sentences; give --labels fewer"
        )
    return seeded_choice(of, count, [seed, number], usable)


def notes_of(plan: Plan, request: Request) -> list[str]:
    """Tell what was left out, and how the rest was done."""
    sources = plan.sources
    dropout = " with dropout" if request.chain_dropout else ""
    scaled = "" if request.standardize else ", not standardised"
    notes = [f"codes are means of {request.chains} chains{dropout}, or an encoder's own{scaled}"]
    classes = [sources.numbers(source) for source in sources.labelled]
    for setting in plan.settings:
        if any(len(np.unique(classes[source][rows])) < 2 for source, rows in setting.draws):
            notes.append(
                f"a draw of {setting.labels:,} labels is of one class, which is then the answer to all"
            )
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


class Classification(NamedTuple):
    """All rows, and what they rest on."""

    classes: tuple[str, ...]
    data: str  # what test is
    tested: int  # test sentences
    of: int  # and how many there are
    rows: list[Accuracy]
    overlaps: list[Overlap]
    notes: list[str]


def classify(paths: Sequence[Path], request: Request, device: str, report: Report) -> Classification:
    """Measure the accuracy on test of every model at every number of labels, and of two rows that give the scale.

    Args:
        paths: Checkpoints or run folders.
        request: What is classified, and how.
        device: Where the models run.
        report: Is told of the sentences done.

    Raises:
        UsageError: A model without z, runs of different corpora, or more labels than there are.
        DataError: Files without labels.
    """
    kept, notes = each_once(paths)
    models = [load_model(path, device) for path in kept]
    for model in models:
        model.require_latent("classify")
        if request.components is not None and request.components > model.latent:
            raise UsageError(
                f"--pca {request.components} is more than the {model.latent} dimensions of {model.path}'s codes; "
                "give fewer"
            )
    plan = make_plan(models, request)
    trial = Trial(plan, request)
    rows = [trial.majority(), *trial.word_rows(report)]
    for model, name in zip(models, run_names(kept), strict=True):
        label = f"{name}: " if len(models) > 1 else ""

        def told(what: str, done: int, total: int, label: str = label) -> None:
            report(label + what, done, total)

        rows += trial.code_rows(model, name, told)
        if has_collapsed(model.checkpoint):
            notes.append(
                f"{name}: its generator ignored z when it was last validated; "
                "what its codes tell is not what it generates from"
            )
    sources = plan.sources
    notes += notes_of(plan, request)
    return Classification(
        sources.classes, sources.test.name, len(plan.test), len(sources.test), rows, plan.overlaps, notes
    )


class Trial:
    """One plan, carried out with words and with the codes of models.

    Attributes:
        true: Classes of the test sentences. Shape [test].
        labels: Classes of all sentences of each labelled source.
    """

    def __init__(self, plan: Plan, request: Request) -> None:
        self.plan, self.sources, self.request = plan, plan.sources, request
        self.true: Classes = self.sources.numbers(self.sources.test)[plan.test]
        self.labels = [self.sources.numbers(source) for source in self.sources.labelled]

    def majority(self) -> Accuracy:
        """Answer with the commonest class of test, the most that one and the same answer gets."""
        predicted = np.full(len(self.true), int(np.bincount(self.true).argmax()))
        return self._row(Learner(MAJORITY, "", "constant"), None, [0], [predicted])

    def word_rows(self, report: Report) -> list[Accuracy]:
        """Learn from words in place of codes, with the same labels."""
        test = self.sources.test
        wanted = [test.text(index) for index in self.plan.test.tolist()]

        def fit(source: int, chosen: Indices) -> Classes:
            texts = [self.sources.labelled[source].text(index) for index in chosen.tolist()]
            return word_classes(texts, self.labels[source][chosen], wanted, self.request.seed)

        learner = Learner(WORDS, "", "tf-idf, linear svm")
        return [self._learnt(learner, each, fit, report) for each in self.plan.settings if each.labels]

    def code_rows(self, model: TrainedModel, name: str, report: Report) -> list[Accuracy]:
        """Learn from a model's codes, at each number of labels; each sentence is encoded once.

        Args:
            model: A trained model with a z.
            name: The run's.
            report: Is told of the sentences done.
        """
        request, method = self.request, model.method.name

        def codes(source: Sentences, rows: Indices, what: str) -> Floats:
            def told(label: str, done: int, total: int) -> None:
                report(f"{label} {what}", done, total)

            how = CodeSettings(request.chains, True, request.seed, request.chain_dropout)
            return codes_of_split(model, source.split(model), rows, how, request.batch_size, told)[:, 0]

        test = codes(self.sources.test, self.plan.test, "test")
        needed = [self._needed(number) for number in range(len(self.sources.labelled))]
        labelled = [
            codes(source, rows, "labelled")
            for source, rows in zip(self.sources.labelled, needed, strict=True)
        ]

        def fit(source: int, chosen: Indices) -> Classes:
            known = labelled[source][np.searchsorted(needed[source], chosen)]
            labels = self.labels[source][chosen]
            return svm_classes(known, labels, test, request.kernel, request.seed, request.standardize)

        learner = Learner(name, method, f"{request.kernel} svm")
        rows = []
        for setting in self.plan.settings:
            if setting.labels:
                rows.append(self._learnt(learner, setting, fit, report))
                continue
            assert self.sources.train is not None
            assert self.sources.valid is not None
            train = codes(self.sources.train, self.plan.train, "train")
            valid = codes(self.sources.valid, self.plan.valid, "valid")
            rows.append(self._clustered(name, method, train, valid, test))
        return rows

    def _needed(self, source: int) -> Indices:
        """The sentences of a labelled source that any draw has."""
        drawn = [rows for setting in self.plan.settings for number, rows in setting.draws if number == source]
        return np.unique(np.concatenate(drawn)) if drawn else np.zeros(0, dtype=np.int64)

    def _learnt(
        self, learner: Learner, setting: Setting, fit: Callable[[int, Indices], Classes], report: Report
    ) -> Accuracy:
        """The row at one number of labels, from the predictions that each draw leads to."""
        sizes = [len(chosen) for _, chosen in setting.draws]
        label = f"{learner.name}, {setting.labels:,} labels"
        predictions = []
        for number, (source, chosen) in enumerate(setting.draws):
            report(label, sum(sizes[:number]), sum(sizes))
            predictions.append(fit(source, chosen))
        report(label, sum(sizes), sum(sizes))
        return self._row(learner, setting.labels, sizes, predictions)

    def _clustered(self, name: str, method: str, train: Floats, valid: Floats, test: Floats) -> Accuracy:
        """The row without labels: a mixture of Gaussians on train codes, whose components valid names."""
        assert self.sources.valid is not None
        request, labels = self.request, self.sources.numbers(self.sources.valid)[self.plan.valid]
        predictions = []
        for number in range(request.draws):
            seed, classes = request.seed + number, len(self.sources.classes)
            clusters = Clusters(train, classes, seed, request.components, request.standardize)
            names = clusters.names(valid, labels, request.naming)
            predictions.append(names[clusters.probabilities(test).argmax(axis=1)])
        reduced = f", {request.components} principal components" if request.components else ""
        return self._row(Learner(name, method, f"gaussian mixture{reduced}"), 0, [0], predictions)

    def _row(
        self, learner: Learner, labels: int | None, sizes: Sequence[int], predictions: Sequence[Classes]
    ) -> Accuracy:
        """The row that the predictions of every draw make; `sizes` are its labelled sentences."""
        shares = tuple(float((predicted == self.true).mean()) for predicted in predictions)
        classes = len(self.sources.classes)
        table = np.sum([confusion(self.true, predicted, classes) for predicted in predictions], axis=0)
        return Accuracy(*learner, labels, round(float(np.mean(sizes))), shares, table)
