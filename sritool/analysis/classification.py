"""How well the codes of sentences predict their classes, without labels and with few labels.

Source: Pang et al. 2021, section 4.3 and Table 5.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np

from sritool.analysis.classification_data import Request, Sentences
from sritool.analysis.classification_plan import Head, Part, Plan, make_plan, notes_of
from sritool.analysis.classifiers import Accuracy, Classes, Clusters, svm_classes, word_classes
from sritool.data.sampling import Indices
from sritool.errors import UsageError
from sritool.evaluation.batches import report_as
from sritool.evaluation.collapse import has_collapsed
from sritool.evaluation.posterior_codes import CodeSettings, codes_of_split
from sritool.evaluation.sentences import reading_notes
from sritool.runs.model import Floats, Report, TrainedModel, load_model
from sritool.runs.names import each_once, run_names

MAJORITY, WORDS = "majority class", "bag of words"


class Classification(NamedTuple):
    """All rows of the table, and the data behind them."""

    classes: tuple[str, ...]
    data: str  # name of the test data
    tested: int  # test sentences used
    of: int  # test sentences available
    rows: list[Accuracy]
    notes: list[str]


def classify(paths: Sequence[Path], request: Request, device: str, report: Report) -> Classification:
    """Measure the test accuracy of every model, and of two baselines, at every number of labels.

    Raises:
        UsageError: A model has no z, or more labels are asked for than there are.
        DataError: The corpora of the runs differ, or a file has no labels.
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
    true = plan.labels(plan.test)
    commonest = np.full(len(true), int(np.bincount(true).argmax()))  # the same class for every sentence
    rows = [plan.row((MAJORITY, "", "constant"), None, [0], [commonest]), *word_rows(plan, request, report)]
    for model, name in zip(models, run_names(kept), strict=True):
        rows += code_rows(
            plan, request, model, name, report_as(report, f"{name}: " if len(models) > 1 else "")
        )
        if has_collapsed(model.checkpoint):
            ignored = f"{name}: its generator ignored z when it was last validated"
            notes.append(f"{ignored}; its accuracy says nothing of what it generates")
        if plan.test.source.prepared is None:
            texts = [plan.test.source.text(index) for index in plan.test.rows.tolist()]
            notes += [f"{name}, {plan.test.source.name}: {note}" for note in reading_notes(model, texts)]
    notes += notes_of(plan, request)
    (source, tested), classes = plan.test, plan.sources.classes
    return Classification(classes, source.name, len(tested), len(source), rows, notes)


def word_rows(plan: Plan, request: Request, report: Report) -> Iterator[Accuracy]:
    """Yield the rows of a classifier that learns from words instead of codes, with the same labels."""

    def texts(part: Part) -> list[str]:
        return [part.source.text(index) for index in part.rows.tolist()]

    wanted = texts(plan.test)

    def fit(drawn: Part) -> Classes:
        return word_classes(texts(drawn), plan.labels(drawn), wanted, request.seed)

    return _learnt(plan, (WORDS, "", "tf-idf, linear svm"), fit, report)


def code_rows(
    plan: Plan, request: Request, model: TrainedModel, name: str, report: Report
) -> Iterator[Accuracy]:
    """Yield the rows of a run, without labels and with labels; each sentence is encoded once."""
    how = CodeSettings(request.chains, True, request.seed, request.chain_dropout)

    def codes(part: Part, what: str) -> Floats:
        split, told = part.source.split(model), report_as(report, after=f" {what}")
        return codes_of_split(model, split, part.rows, how, request.batch_size, told)[:, 0]

    test, known = codes(plan.test, "test"), dict[Sentences, tuple[Indices, Floats]]()
    for source in plan.sources.labelled:
        drawn = [part.rows for draws in plan.draws.values() for part in draws if part.source is source]
        if drawn:
            rows = np.unique(np.concatenate(drawn))
            known[source] = rows, codes(Part(source, rows), "labelled")

    def fit(drawn: Part) -> Classes:
        rows, given = known[drawn.source]
        given, labels = given[np.searchsorted(rows, drawn.rows)], plan.labels(drawn)
        return svm_classes(given, labels, test, request.kernel, request.seed, request.standardize)

    if plan.train is not None and plan.valid is not None:
        train, valid = codes(plan.train, "train"), codes(plan.valid, "valid")
        classes, clustered = len(plan.sources.classes), []
        for seed in range(request.seed, request.seed + request.draws):
            clusters = Clusters(train, classes, seed, request.components, request.standardize)
            names = clusters.names(valid, plan.labels(plan.valid), request.naming)
            clustered.append(names[clusters.probabilities(test).argmax(axis=1)])
        reduced = f", {request.components} principal components" if request.components else ""
        yield plan.row((name, model.method.name, f"gaussian mixture{reduced}"), 0, [0], clustered)
    yield from _learnt(plan, (name, model.method.name, f"{request.kernel} svm"), fit, report)


def _learnt(plan: Plan, head: Head, fit: Callable[[Part], Classes], report: Report) -> Iterator[Accuracy]:
    """Yield one row for each number of labels, from the predictions of all draws."""
    for labels, draws in plan.draws.items():
        sizes = [len(drawn.rows) for drawn in draws]
        label, predictions = f"{head[0]}, {labels:,} labels", []
        for number, drawn in enumerate(draws):
            report(label, sum(sizes[:number]), sum(sizes))
            predictions.append(fit(drawn))
        report(label, sum(sizes), sum(sizes))
        yield plan.row(head, labels, sizes, predictions)
