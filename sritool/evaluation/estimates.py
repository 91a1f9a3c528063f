"""Turns figures of sentences into the estimates of a table."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from functools import partial
from typing import NamedTuple

import numpy as np

from sritool.evaluation.active_units import active_unit_estimate
from sritool.evaluation.metric_table import METRICS, NATS, ON_WEIGHTS, WEIGHTED, metric_of
from sritool.evaluation.metrics import Array, Estimate, Reliability, mean_estimate, ppl_terms, rate_terms
from sritool.evaluation.sentence_figures import SentenceFigures, is_measured
from sritool.likelihood.importance import CURVE, first_draws

_BOUNDS = {"mi": "≥", "mi-upper": "≤", "kl-aggregate": "≥", "kl-information": "≥", "kl-contraction": "≤"}
"""Metric -> the side on which the truth may lie far from the figure."""


class Origin(NamedTuple):
    """What produced the figures of a table."""

    estimator: str  # of log p(x); "exact" without z
    samples: int  # M; 0 where it is exact
    sampler: str  # name of the method's q(z|x)
    chains: int  # draws from it per sentence; 0 without z
    seed: int


def estimates_of(metric: str, figures: SentenceFigures, origin: Origin) -> list[Estimate]:
    """Return the estimates of one metric; none if it could not be measured."""
    if metric in ("bpc", "bpb") and figures.size is None:
        return []
    if metric in ("ppl", "nll", "bpc", "bpb"):
        return _likelihood(metric, figures, origin)
    if metric == "posterior-kl":
        curve = figures.posterior_kl_curve
        made = origin.samples, origin.estimator
        return [_with_curve(lambda values: mean_estimate(metric, values, NATS, *made), curve, figures)]
    if "means" in METRICS[metric].needs:
        return _active_units(metric, figures, origin)
    values = sentence_terms(metric, figures)
    assert values is not None
    known = values[~np.isnan(values)]
    if not len(known):
        return []
    found = mean_estimate(metric, known, metric_of(metric).unit, *_made_with(metric, origin))
    # Without z, all terms are 0, which is exact.
    return [found._replace(bound=_BOUNDS.get(metric, "") if known.any() else "")]


def _made_with(metric: str, origin: Origin) -> tuple[int, str]:
    """How many draws of z per sentence a mean over sentences uses, and what drew them."""
    needs = set(METRICS[metric].needs)
    if metric in WEIGHTED:
        return origin.samples, origin.estimator
    every = "draws" in needs and "own codes" not in needs
    return origin.chains if every else min(1, origin.chains), origin.sampler


def sentence_terms(
    metric: str, figures: SentenceFigures, log_likelihood: Array | None = None
) -> Array | None:
    """Return each sentence's term of an estimate; the figure is the mean of the terms, with its standard error.

    Args:
        metric: Name of the estimate.
        figures: Figures of n sentences.
        log_likelihood: log p̂(x) to use, nats [n]; None: that from all draws.

    Returns:
        Shape [n], NaN where a sentence was not measured. None if the estimate has no terms, or needs the number of
        characters and that is unknown.
    """
    log_p = figures.log_likelihood if log_likelihood is None else log_likelihood
    size = figures.size
    if metric == "nll":
        return -log_p
    if metric in ("ppl", "ppl-word"):
        return ppl_terms(log_p, figures.predictions if metric == "ppl" else figures.words)
    if metric in ("bpc", "bpb"):
        if size is None:
            return None
        return rate_terms(log_p, size.characters if metric == "bpc" else size.bytes) / math.log(2)
    term = METRICS[metric].term if metric in METRICS else None
    return None if term is None else term(figures)


def sentence_columns(metrics: Sequence[str], figures: SentenceFigures, estimator: str) -> dict[str, Array]:
    """Return the columns that these metrics have in a table of sentences, the same for every method.

    The metrics of log p(x) alone share the column `nll`. Those that use importance weights add the weights'
    effective sample size and k̂, and `nll-signed` for an estimator with signs. `au` has no column.

    Args:
        metrics: Names of metrics.
        figures: Figures of n sentences.
        estimator: Name of the estimator of log p(x).

    Returns:
        Shape [n] each, NaN where a sentence was not measured, or the model has no such figure.
    """
    found: dict[str, Array] = {}
    for name in (name for name in METRICS if name in metrics):
        if term := METRICS[name].term:
            found[name] = term(figures)
        elif name in WEIGHTED:
            found["nll"] = -figures.log_likelihood
    if "nll" in found and estimator == "sri":
        found["nll-signed"] = -figures.log_likelihood_signed
    if not set(metrics).isdisjoint(ON_WEIGHTS):
        found |= {"ess": figures.effective_sample_size, "pareto k": figures.pareto_k}
    return found


def likelihood_curve(figures: SentenceFigures, origin: Origin) -> list[tuple[Estimate, Estimate]]:
    """Return PPL and NLL from the first M/8, M/4, M/2 and all M draws."""
    found = {}
    for part, values in zip(CURVE, figures.log_likelihood_curve.T, strict=True):
        part_origin = origin._replace(samples=origin.samples and first_draws(origin.samples, part))
        ppl, nll = (_weighed(name, figures, part_origin, values) for name in ("ppl", "nll"))
        found[part_origin.samples] = ppl, nll
    return list(found.values())


def _weighed(metric: str, figures: SentenceFigures, origin: Origin, log_likelihood: Array) -> Estimate:
    """A metric of log p(x), from these log p̂(x)."""
    terms = sentence_terms(metric, figures, log_likelihood)
    assert terms is not None
    unit, predictions = metric_of(metric).unit, None
    if metric in ("ppl", "ppl-word"):
        predictions = int((figures.predictions if metric == "ppl" else figures.words).sum())
    found = mean_estimate(metric, terms, unit, origin.samples, origin.estimator)
    return found._replace(predictions=predictions)


def _likelihood(metric: str, figures: SentenceFigures, origin: Origin) -> list[Estimate]:
    """A metric of log p(x); `ppl` also per original word, and each also by signed weights, if there are any."""
    names = [metric]
    separated = figures.size is None or figures.size.separated
    if metric == "ppl" and separated and not np.array_equal(figures.words, figures.predictions):
        names.append("ppl-word")
    curve = figures.log_likelihood_curve
    found = [_with_curve(partial(_weighed, name, figures, origin), curve, figures) for name in names]
    if is_measured(signed := figures.log_likelihood_signed):
        # There is no figure if the signed weights of a sentence sum to 0 or less, so that their log is −∞.
        defined = signed if np.isfinite(signed).all() else np.full_like(signed, np.nan)
        found.append(_weighed(metric, figures, origin, defined)._replace(metric=f"{metric}-signed"))
    return found


def _with_curve(estimate: Callable[[Array], Estimate], values: Array, figures: SentenceFigures) -> Estimate:
    """The estimate from all draws, with its curve and the weights' diagnostics; values [n, 4]."""
    whole = estimate(values[:, -1])
    sizes, tails = figures.effective_sample_size, figures.pareto_k
    if not is_measured(sizes):
        return whole
    curve = tuple(
        (first_draws(whole.draws, part), estimate(column).value)
        for part, column in zip(CURVE, values.T, strict=True)
    )
    even = float(sizes.mean()), float(np.quantile(sizes, 0.1))
    heavy = float(tails.mean()), float(np.quantile(tails, 0.9))
    return whole._replace(reliability=Reliability(*even, *heavy, curve))


def _active_units(metric: str, figures: SentenceFigures, origin: Origin) -> list[Estimate]:
    if origin.chains == 0:
        return [Estimate(metric, 0.0, 0.0, "dimensions", len(figures.predictions), 0, origin.sampler)]
    if len(figures.draws) < 2:  # nothing varies over one sentence
        return []
    if is_measured(figures.mean_code):
        return [active_unit_estimate(metric, figures.mean_code, None, 0, origin.sampler, origin.seed)]
    if metric == "au-naive":
        means = figures.draws.mean(1)
        return [active_unit_estimate(metric, means, None, origin.chains, origin.sampler, origin.seed)]
    first, second = np.moveaxis(figures.half_means, 1, 0)
    return [active_unit_estimate(metric, first, second, figures.unit_chains, origin.sampler, origin.seed)]
