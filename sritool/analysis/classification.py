"""How well the codes of sentences tell their classes: without labels, and with few.

Source: Pang et al. 2021, section 4.3 and Table 5.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from sritool.analysis.classification_plan import Plan, Request, Setting, make_plan, notes_of
from sritool.analysis.classifiers import (
    Classes,
    Clusters,
    Floats,
    Interval,
    confusion,
    svm_classes,
    wilson,
    word_classes,
)
from sritool.analysis.labelled_text import Indices, Overlap, Sentences
from sritool.errors import UsageError
from sritool.evaluation.evaluate import run_name
from sritool.evaluation.posterior_codes import CodeSettings, codes_of_split
from sritool.runs.model import Report, TrainedModel, load_model
from sritool.training.validation import has_collapsed

MAJORITY, WORDS = "majority class", "bag of words"


class Accuracy(NamedTuple):
    """One row's share of test sentences whose class was told, at one number of labels."""

    name: str  # the run's, or of a row that gives a scale
    method: str
    classifier: str
    labels: int | None  # None: whatever their number
    used: int  # labelled sentences that were there, on average over draws
    shares: tuple[float, ...]  # of each draw
    confusion: NDArray[np.int64]  # sums over draws  [true, predicted]

    @property
    def value(self) -> float:
        """Mean over draws."""
        return float(np.mean(self.shares))

    @property
    def standard_error(self) -> float:
        """Of the mean over draws; of one draw over test sentences."""
        if len(self.shares) > 1:
            return float(np.std(self.shares, ddof=1) / math.sqrt(len(self.shares)))
        return math.sqrt(self.value * (1 - self.value) / int(self.confusion.sum()))

    @property
    def interval(self) -> Interval | None:
        """95 %, over test sentences (Wilson); None for several draws."""
        if len(self.shares) > 1:
            return None
        return wilson(int(np.trace(self.confusion)), int(self.confusion.sum()))


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
    """Accuracy on test of every model at every number of labels, and of two rows that give the scale.

    Raises: UsageError for a model without z, runs of different corpora, or more labels than there are; DataError for
            files without labels.
    """
    models = [load_model(path, device) for path in paths]
    for model in models:
        model.require_latent("classify")
        if request.components is not None and request.components > model.latent:
            raise UsageError(
                f"--pca {request.components} is more than the {model.latent} dimensions of {model.path}'s codes; "
                "give fewer"
            )
    plan = make_plan(models, request)
    true = plan.sources.numbers(plan.sources.test)[plan.test]
    rows = [majority(true, len(plan.sources.classes)), *word_rows(plan, true, request, report)]
    named = list(zip(models, paths, strict=True))
    for model, path in named:
        label = f"{run_name(path)}: " if len(models) > 1 else ""

        def told(what: str, done: int, total: int, label: str = label) -> None:
            report(label + what, done, total)

        rows += Coded(model, run_name(path), plan, true, request, told).rows()
    sources = plan.sources
    return Classification(
        sources.classes,
        sources.test.name,
        len(true),
        len(sources.test),
        rows,
        plan.overlaps,
        [
            *(_ignores(path) for model, path in named if has_collapsed(model.checkpoint)),
            *notes_of(plan, request),
        ],
    )


def _ignores(path: Path) -> str:
    return (
        f"{run_name(path)}: its generator ignored z when it was last validated; "
        "what its codes tell is not what it generates from"
    )


def majority(true: Classes, classes: int) -> Accuracy:
    """The most that one and the same answer gets."""
    predicted = np.full(len(true), int(np.bincount(true).argmax()))
    return accuracy(MAJORITY, "", "constant", None, [0], true, [predicted], classes)


def word_rows(plan: Plan, true: Classes, request: Request, report: Report) -> list[Accuracy]:
    """What the words tell, with the same labels."""
    sources = plan.sources
    wanted = [sources.test.text(index) for index in plan.test.tolist()]
    numbers = [sources.numbers(source) for source in sources.labelled]

    def fitted(source: int, chosen: Indices) -> Classes:
        texts = [sources.labelled[source].text(index) for index in chosen.tolist()]
        return word_classes(texts, numbers[source][chosen], wanted, request.seed)

    return [
        learnt(WORDS, "", "tf-idf, linear svm", setting, true, plan, fitted, report)
        for setting in plan.settings
        if setting.labels
    ]


def learnt(
    name: str,
    method: str,
    classifier: str,
    setting: Setting,
    true: Classes,
    plan: Plan,
    fitted: Callable[[int, Indices], Classes],
    report: Report,
) -> Accuracy:
    """A row at one number of labels, from the predictions that each draw leads to."""
    sizes = [len(chosen) for _, chosen in setting.draws]
    found = []
    for number, (source, chosen) in enumerate(setting.draws):
        report(f"{name}, {setting.labels:,} labels", sum(sizes[:number]), sum(sizes))
        found.append(fitted(source, chosen))
    report(f"{name}, {setting.labels:,} labels", sum(sizes), sum(sizes))
    return accuracy(name, method, classifier, setting.labels, sizes, true, found, len(plan.sources.classes))


def accuracy(
    name: str,
    method: str,
    classifier: str,
    labels: int | None,
    sizes: Sequence[int],
    true: Classes,
    found: Sequence[Classes],
    classes: int,
) -> Accuracy:
    """The row that the predictions of every draw make. Args: sizes: labelled sentences of each draw."""
    shares = tuple(float((predicted == true).mean()) for predicted in found)
    table = np.sum([confusion(true, predicted, classes) for predicted in found], axis=0)
    return Accuracy(name, method, classifier, labels, round(float(np.mean(sizes))), shares, table)


class Coded:
    """One model's codes of the planned sentences, and what they tell."""

    def __init__(
        self, model: TrainedModel, name: str, plan: Plan, true: Classes, request: Request, report: Report
    ) -> None:
        self.model, self.name, self.plan, self.true = model, name, plan, true
        self.request, self.report = request, report

    def rows(self) -> list[Accuracy]:
        """A row at each number of labels; each sentence is encoded once."""
        sources, method = self.plan.sources, self.model.method.name
        test = self.codes(sources.test, self.plan.test, "test")
        numbers = [sources.numbers(source) for source in sources.labelled]
        needed = [self.needed(number) for number in range(len(sources.labelled))]
        codes = [
            self.codes(source, rows, "labelled")
            for source, rows in zip(sources.labelled, needed, strict=True)
        ]

        def fitted(source: int, chosen: Indices) -> Classes:
            known = codes[source][np.searchsorted(needed[source], chosen)]
            return svm_classes(known, numbers[source][chosen], test, self.request.kernel, self.request.seed)

        kind = f"{self.request.kernel} svm"
        return [
            learnt(self.name, method, kind, setting, self.true, self.plan, fitted, self.report)
            if setting.labels
            else self.clustered(setting, test)
            for setting in self.plan.settings
        ]

    def needed(self, source: int) -> Indices:
        """The sentences of a labelled source that any draw has."""
        drawn = [rows for setting in self.plan.settings for number, rows in setting.draws if number == source]
        return np.unique(np.concatenate(drawn)) if drawn else np.zeros(0, dtype=np.int64)

    def codes(self, source: Sentences, rows: Indices, what: str) -> Floats:
        """[rows, latent], the mean of the chains."""

        def told(label: str, done: int, total: int) -> None:
            self.report(f"{label} {what}", done, total)

        how = CodeSettings(self.request.chains, True, self.request.seed)
        split = source.split(self.model)
        return codes_of_split(self.model, split, rows, how, self.request.batch_size, told)[:, 0]

    def clustered(self, setting: Setting, test: Floats) -> Accuracy:
        """Without labels: a mixture of Gaussians on train codes, whose components valid sentences name."""
        sources, plan, request = self.plan.sources, self.plan, self.request
        assert sources.train is not None
        assert sources.valid is not None
        train, valid = (
            self.codes(sources.train, plan.train, "train"),
            self.codes(sources.valid, plan.valid, "valid"),
        )
        labels = sources.numbers(sources.valid)[plan.valid]
        classes, found = len(sources.classes), []
        for number in range(setting.repeats):
            clusters = Clusters(train, classes, request.seed + number, request.components)
            names = clusters.names(valid, labels, request.naming)
            found.append(names[clusters.probabilities(test).argmax(axis=1)])
        reduced = f", {request.components} principal components" if request.components else ""
        kind = f"gaussian mixture{reduced}"
        return accuracy(self.name, self.model.method.name, kind, 0, [0], self.true, found, classes)
