"""How an estimate of the likelihood depends on the number of draws: perplexity or NLL against M."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import NamedTuple

from sritool.config.settings import LikelihoodConfig
from sritool.evaluation import likelihood_estimators
from sritool.evaluation.batches import report_as
from sritool.evaluation.evaluate import evaluate_model, record_of, require_one_corpus
from sritool.evaluation.evaluations_on_record import HashedModel, load_hashed
from sritool.evaluation.metrics import Estimate
from sritool.evaluation.sentences import choose_sentences
from sritool.evaluation.settings import DEFAULT_ESTIMATOR, EvaluationSettings
from sritool.runs.model import Report, TrainedModel
from sritool.runs.names import each_once, run_names


class Point(NamedTuple):
    """A figure estimated from the first `draws` draws of z per sentence."""

    run: str
    estimator: str
    metric: str  # ppl, per token; or nll, in nats per sentence
    draws: int  # 0 if the figure is exact
    value: float
    se: float | None  # over sentences; None for fewer than all M draws
    sentences: int
    predictions: int | None  # number of tokens that ppl averages over, </s> included


class PplDraws(NamedTuple):
    """All points, run by run, what they were measured on, and notes."""

    points: list[Point]
    data: str
    notes: list[str]


def ppl_draws(
    checkpoints: Sequence[Path],
    request: EvaluationSettings,
    wanted: Sequence[str],
    device: str,
    report: Report,
) -> PplDraws:
    """Measure one metric of each run by each estimator, or look it up; new figures are recorded.

    The request's only metric is ppl or nll; its estimator and `likelihood.samples` are ignored. Each estimator of
    `wanted` is used for the runs that it fits; none: `adaptive`, and those on record with their usual M.

    Raises:
        UsageError: An estimator fits no run.
        DataError: The corpora differ.
    """
    (metric,) = request.metrics
    checkpoints, notes = each_once(checkpoints)
    models = [load_hashed(path, device) for path in checkpoints]
    for name in wanted:
        likelihood_estimators.check_estimator(name)
        if not any(_fits(name, model) for model in models):
            likelihood_estimators.check_estimator(name, models[0].method)
    require_one_corpus(models, "draw them one by one")
    points: list[Point] = []
    data = ""
    for name, model in zip(run_names(checkpoints), models, strict=True):
        for own in _requests(model, request, wanted):
            found = evaluate_model(model, own, report_as(report, f"{name}, {own.estimator}: "))
            points += [point for e in found.estimates if e.metric == metric for point in _points(name, e)]
            notes += [f"{name}: {note}" for note in found.notes]
            data = f"{found.data}, {points[-1].sentences} of {found.total} sentences"
    return PplDraws(points, data, list(dict.fromkeys(notes)))


def _fits(estimator: str, model: TrainedModel) -> bool:
    """Whether the estimator fits the model; without z, every estimator gives the exact figure."""
    return not model.latent or likelihood_estimators.ESTIMATORS[estimator].fits(model.method)


def _requests(
    model: HashedModel, request: EvaluationSettings, wanted: Sequence[str]
) -> Iterator[EvaluationSettings]:
    """Yield one request per estimator: those wanted, or else the default one and those on record."""
    if not model.latent:
        yield replace(request, estimator=DEFAULT_ESTIMATOR)
        return
    chosen = choose_sentences(model, request.split, None, request.limit, request.data_dir)
    for name, estimator in likelihood_estimators.ESTIMATORS.items():
        own = replace(request, estimator=name, likelihood=LikelihoodConfig(samples=estimator.samples))
        asked = name in (wanted or (DEFAULT_ESTIMATOR,))
        if not _fits(name, model) or (wanted and not asked):
            continue
        if asked or not record_of(model, chosen, own).missing(request.metrics):
            yield own


def _points(run: str, estimate: Estimate) -> Iterator[Point]:
    """Yield the figure from parts of the draws, and from all."""
    shared = (run, estimate.estimator, estimate.metric)
    counts = estimate.sentences, estimate.predictions
    whole = Point(*shared, estimate.draws, estimate.value, estimate.standard_error, *counts)
    if estimate.reliability is not None:
        for draws, value in estimate.reliability.curve:
            if draws < estimate.draws:
                yield whole._replace(draws=draws, value=value, se=None)
    yield whole
