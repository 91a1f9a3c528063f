"""Compares runs of several methods: the figures of each run, and the cost of its training."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import NamedTuple

from sritool.analysis.training_cost import NO_LAST, Training, training_of
from sritool.errors import CheckpointError, UsageError, suggestion
from sritool.evaluation import likelihood_estimators
from sritool.evaluation.batches import report_as
from sritool.evaluation.evaluate import Evaluation, evaluate_model, require_one_corpus
from sritool.evaluation.evaluations_on_record import load_hashed
from sritool.evaluation.metric_table import METRICS, WEIGHTED, metric_name, metric_of
from sritool.evaluation.metrics import Estimate
from sritool.evaluation.paired import Difference, difference
from sritool.evaluation.settings import DEFAULT_ESTIMATOR, EvaluationSettings
from sritool.methods.base import Method
from sritool.methods.encoder_method import EncoderMethod
from sritool.runs.checkpoint import load_checkpoint
from sritool.runs.folder import find_checkpoint, newest_runs
from sritool.runs.model import Report, TrainedModel
from sritool.runs.names import each_once, run_names

OWN = "own"  # as the estimator: for each method, the one that it was published with
TRAINING_COLUMNS = ("parameters", "tokens/s", "time", "epochs")
# The first four are the paper's.
DEFAULT_COLUMNS = ("ppl", "recon", "au", "kl", "nll", "posterior-kl", "mi", "permuted", *TRAINING_COLUMNS)


class Row(NamedTuple):
    """Figures and training cost of one run."""

    name: str  # of its folder; its path if two folders have the same name
    corpus: str
    content_hash: str  # of the corpus
    evaluation: Evaluation
    training: Training

    def estimate(self, metric: str) -> Estimate | None:
        """Return a figure, or None if it could not be measured."""
        return next((e for e in self.evaluation.estimates if e.metric == metric), None)

    def minus(self, reference: Row, one_estimator: bool) -> dict[str, Difference]:
        """Return the available paired differences to a reference, by metric; none to itself.

        Both were measured on the same sentences with the same noise. Without `one_estimator`, metrics that use
        log p(x) are left out.
        """
        if self is reference or self.content_hash != reference.content_hash:
            return {}
        found = {}
        for metric, terms in self.evaluation.terms.items():
            others = reference.evaluation.terms.get(metric)
            if others is None or (metric_name(metric) in WEIGHTED and not one_estimator):
                continue
            paired = difference(terms, others)
            if paired is not None:
                found[metric] = paired
        return found


class Comparison(NamedTuple):
    """The runs in the order given, and notes."""

    rows: list[Row]
    notes: list[str]
    one_corpus: bool
    one_estimator: bool  # exact figures can be compared with any estimator
    against: str = ""  # reference run of the differences; "" for a single run

    def differences(self, row: Row) -> dict[str, Difference]:
        """Return the paired differences of a run to the reference, by metric; none for the reference itself."""
        reference = next((other for other in self.rows if other.name == self.against), None)
        return {} if reference is None else row.minus(reference, self.one_estimator)


def better(column: str) -> int:
    """Return −1 if lower figures of a column are better, 1 if higher ones are, and 0 if neither.

    In `time` and `epochs` the shortest plan would win, and the size of a model is no merit either.
    """
    return int(column == "tokens/s") if column in TRAINING_COLUMNS else metric_of(column).better


def check_columns(names: Sequence[str], sort: str | None = None) -> None:
    """Check the columns and the sort column. Raises: UsageError if one is unknown, or there are no columns."""
    known = (*METRICS, *TRAINING_COLUMNS)
    for name in names:
        if name not in known:
            raise UsageError(f"no column {name!r}{suggestion(name, known)}")
    if not names:
        raise UsageError(f"no column to show; give some of {', '.join(known)}")
    orders = ("run", "method", *names)
    if sort is not None and sort not in orders:
        raise UsageError(f"no column {sort!r} to sort by; give one of {', '.join(orders)}")


class ComparableRuns(NamedTuple):
    """Runs that can be compared, and the numbers of the others."""

    paths: list[Path]  # of checkpoints, sorted by run name
    elsewhere: int  # runs on other corpora
    begun: int  # runs still in autoencoder pretraining


def runs_of_newest_corpus(runs_dir: Path) -> ComparableRuns:
    """Find all runs on the corpus of the newest run. Raises: CheckpointError if there is none."""
    wanted = load_checkpoint(find_checkpoint(None, runs_dir)).corpus.content_hash
    paths, elsewhere, begun = [], 0, 0
    for folder in sorted(newest_runs(runs_dir)):  # without those that cannot be read
        with contextlib.suppress(CheckpointError):
            path = find_checkpoint(folder, runs_dir)
            checkpoint = load_checkpoint(path)
            if checkpoint.corpus.content_hash != wanted:
                elsewhere += 1
            elif checkpoint.progress.pretraining:
                begun += 1
            else:
                paths.append(path)
    if not paths:
        reason = f"every run in {runs_dir}/ is still in pretraining"
        raise CheckpointError(f"{reason}; wait, or train on with --resume")
    return ComparableRuns(paths, elsewhere, begun)


def compare(
    checkpoints: Sequence[Path],
    request: EvaluationSettings,
    device: str,
    report: Report,
    samples: int | None = None,
    mixed: bool = False,
    against: Path | None = None,
    columns: Sequence[str] = (),
) -> Comparison:
    """Measure each run on the same sentences with the same noise; figures on record are looked up.

    The request's estimator may be `own`; `samples` replaces each estimator's usual number of draws. With `mixed`,
    runs of different corpora are allowed, each measured on its own corpus. Paired differences are to the run
    `against`; None: to the language model, or else the first run. Notes on time and epochs are given only if these
    are among the `columns` that will be shown.

    Raises:
        DataError: The corpora differ and `mixed` is not set.
        UsageError: As in `evaluate`, or `against` is not among the runs.
    """
    likelihood_estimators.check_estimator(request.estimator, others=(OWN,))
    paths, notes = each_once(checkpoints)
    models = [load_hashed(path, device) for path in paths]
    reference, names, several = reference_index(paths, models, against), run_names(paths), len(paths) > 1
    requests = [_request(model.method, request, samples) for model in models]
    if not mixed:
        require_one_corpus(models, "compare those of one, or give --mixed")
    recipes = [model.checkpoint.config.recipe or "none" for model in models]
    rows: list[Row] = []
    for number, (name, own) in enumerate(zip(names, requests, strict=True), 1):
        model = models.pop(0)  # a measured model is freed
        told = report_as(report, f"{number}/{len(paths)} {name}: " if several else "")
        found = evaluate_model(model, own, told)
        training = training_of(model, request.data_dir)
        corpus = model.checkpoint.corpus
        rows.append(Row(name, corpus.name, corpus.content_hash, found, training))
    one_corpus = len({row.content_hash for row in rows}) == 1
    weighed = [one for row in rows if (one := row.evaluation.likelihood) is not None]
    by_own = request.estimator == OWN
    kinds = {(one.estimator, one.draws) for one in weighed if by_own or one.estimator != "exact"}
    one_estimator = len(kinds) <= 1
    notes += _grouped([(row.name, note) for row in rows for note in _notes_on(row, columns)], names)
    notes += _notes_on_what_differs(dict(zip(names, recipes, strict=True)), one_corpus, one_estimator)
    return Comparison(rows, notes, one_corpus, one_estimator, names[reference] if several else "")


def reference_index(paths: Sequence[Path], models: Sequence[TrainedModel], against: Path | None) -> int:
    """Return the index of the reference run: `against`, or else the language model, or else the first run.

    Raises: UsageError if `against` is not among the runs.
    """
    if against is None:
        return next((i for i, model in enumerate(models) if model.method.name == "lm"), 0)
    for number, path in enumerate(paths):
        if path.resolve() == against.resolve():
            return number
    raise UsageError(f"{against} is not among the runs; add it to them")


def published_estimator(method: Method) -> str:
    """Return the estimator that the method's figures were published with."""
    if method.has_chain:
        return "sri"
    encodes = method.latent > 0 and isinstance(method, EncoderMethod)
    return "encoder" if encodes and method.has_density else DEFAULT_ESTIMATOR


def _request(method: Method, request: EvaluationSettings, samples: int | None) -> EvaluationSettings:
    name = published_estimator(method) if request.estimator == OWN else request.estimator
    likelihood_estimators.check_estimator(name, method)
    draws = samples or likelihood_estimators.ESTIMATORS[name].samples
    return replace(request, estimator=name, likelihood=replace(request.likelihood, samples=draws))


def _notes_on(row: Row, columns: Sequence[str]) -> Iterator[str]:
    yield from row.evaluation.notes
    for estimate in row.evaluation.estimates:
        if estimate.sentences < row.evaluation.measured:
            yield f"{estimate.metric} on {estimate.sentences} of the sentences"
    if row.training.sentences < row.training.of:
        yield f"trained on {row.training.sentences} of {row.training.of} sentences"
    if row.training.left and (row.training.left != NO_LAST or not {"time", "epochs"}.isdisjoint(columns)):
        yield row.training.left
    if row.training.encoder and "time" in columns:
        yield f"the training of its encoder, {row.training.encoder}, is not in its time"


def _notes_on_what_differs(
    recipes: Mapping[str, str], one_corpus: bool, one_estimator: bool
) -> Iterator[str]:
    """Yield a line each if the recipes (by run name), corpora or estimators differ."""
    if len({*recipes.values()}) > 1:
        yield f"trained by different recipes: {', '.join(map(' '.join, recipes.items()))}"
    if not one_corpus:
        yield "the corpora differ: figures of different corpora cannot be compared, and have no paired difference"
    if not one_estimator:
        yield f"the estimators differ: {', '.join(WEIGHTED)} cannot be compared between them"


def _grouped(notes: Sequence[tuple[str, str]], runs: Sequence[str]) -> list[str]:
    """Return each note once, prefixed with its runs unless it holds for all of them."""
    about: dict[str, list[str]] = {}
    for run, note in notes:
        about.setdefault(note, []).append(run)
    return [note if len(of) == len(runs) > 1 else f"{', '.join(of)}: {note}" for note, of in about.items()]
