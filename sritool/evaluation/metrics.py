"""Measures of a trained model, each with the standard error and the sample that it rests on.

Sums are added up over the split and divided once. Errors are over sentences.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]

ACTIVE_VARIANCE = 0.01  # Burda et al. 2016
_RESAMPLES = 200
_LARGEST_RATE = 709.0  # nats: exp of more is no double
_EVEN = 0.1  # effective sample size over M below which few draws decide
HEAVY_TAIL = 0.7  # k̂ above which no number of draws is enough


class Reliability(NamedTuple):
    """How far the importance weights behind a figure can be believed; over its sentences."""

    effective: float  # mean effective sample size, of M
    effective_decile: float  # the worst decile's bound
    pareto_k: float  # mean k̂; above 0.7 the weights have no variance to speak of
    pareto_k_decile: float  # the worst decile's bound
    curve: tuple[tuple[int, float], ...]  # (draws, the figure from the first so many), up to M

    @property
    def half(self) -> float:
        """The figure at M/2: the rest of Jensen's bias shows in the difference."""
        return self.curve[-2][1]


class Estimate(NamedTuple):
    """One figure and what it rests on.

    A value that no number holds is inf (a perplexity above 1e308), one that is not defined is NaN (the standard error
    of one sentence). Both are said wherever the figure is shown: `cli.formats` has the words, and a note says why.
    """

    metric: str
    value: float
    standard_error: float
    unit: str
    sentences: int
    draws: int  # of z for each sentence
    estimator: str
    reliability: Reliability | None = None  # of figures from importance weights
    bound: str = ""  # "≥" or "≤" where the truth may lie far on that side of the value
    predictions: int | None = None  # of a perplexity: what it is per, counted over all sentences, </s> too

    @property
    def unsettled(self) -> float | None:
        """What half the draws give above all of them, where the weights say that more draws would change the figure.

        None where the weights are good: in nine tenths of the sentences, k̂ is below 0.7 and the effective sample size
        at least a tenth of the draws.
        """
        weights = self.reliability
        if weights is None:
            return None
        uneven = weights.effective_decile < max(
            _EVEN * self.draws, 2.0
        )  # of few draws, one alone decides below 2
        return weights.half - self.value if uneven or weights.pareto_k_decile > HEAVY_TAIL else None


def mean_estimate(metric: str, values: Array, unit: str, draws: int, estimator: str) -> Estimate:
    """Mean over sentences [n] with its standard error."""
    known = len(values) > 1 and bool(np.isfinite(values).all())
    error = float(values.std(ddof=1) / math.sqrt(len(values))) if known else math.nan
    return Estimate(metric, float(values.mean()), error, unit, len(values), draws, estimator)


def perplexity(
    metric: str, log_likelihood: Array, predictions: Array, unit: str, draws: int, estimator: str
) -> Estimate:
    """exp(−Σ log p(x) / Σ predictions), its error by the delta method for a ratio of sums.

    Args:
        metric: Name of the estimate.
        log_likelihood: log p(x) in nats. Shape [n].
        predictions: Tokens, or words, that are counted in each sentence. Shape [n].
        unit: What is counted.
        draws: Of z for each sentence.
        estimator: Of log p(x).
    """
    rate, error = _rate(log_likelihood, predictions)
    value = _perplexity_of(rate)
    error = value * error if math.isfinite(value) else math.nan
    total = int(predictions.sum())
    return Estimate(metric, value, error, unit, len(log_likelihood), draws, estimator, predictions=total)


def bits_per(
    metric: str, log_likelihood: Array, counts: Array, unit: str, draws: int, estimator: str
) -> Estimate:
    """−Σ log p(x) / Σ counts in bits, for characters or bytes; arguments as of `perplexity`."""
    rate, error = (nats / math.log(2) for nats in _rate(log_likelihood, counts))
    return Estimate(metric, rate, error, unit, len(log_likelihood), draws, estimator)


def rate_terms(log_likelihood: Array, counts: Array) -> Array:
    """Each sentence's term of −Σ log p(x) / Σ counts by the delta method: they have the ratio's mean and error."""
    rate = -log_likelihood.sum() / counts.sum()
    terms: Array = rate + (-log_likelihood - rate * counts) / counts.mean()
    return terms


def ppl_terms(log_likelihood: Array, counts: Array) -> Array:
    """The same of the perplexity; not finite where that is beyond all numbers."""
    terms = rate_terms(log_likelihood, counts)
    rate = float(terms.mean())
    linear: Array = _perplexity_of(rate) * (1 + terms - rate)
    return linear


def _perplexity_of(rate: float) -> float:
    return math.inf if rate > _LARGEST_RATE else math.exp(rate)


def _rate(log_likelihood: Array, counts: Array) -> tuple[float, float]:
    """−Σ log p(x) / Σ counts in nats, and its error."""
    rate = -float(log_likelihood.sum() / counts.sum())
    count, error = len(log_likelihood), math.nan
    if count > 1 and math.isfinite(rate):
        error = float(rate_terms(log_likelihood, counts).std(ddof=1) / math.sqrt(count))
    return rate, error


def between_variance(first: Array, second: Array) -> Array:
    """Covariance over sentences of two [n, latent], dimension by dimension: [latent]."""
    products = (first - first.mean(0)) * (second - second.mean(0))
    covariance: Array = products.sum(0) / max(1, len(first) - 1)
    return covariance


def active_units(first: Array, second: Array | None = None) -> int:
    """Count the dimensions of z whose mean varies with the sentence: Var_x(E_q[z]) > 0.01.

    Args:
        first: E_q[z] of each sentence, exact, or the mean over half of its chains. Shape [n, latent].
        second: The mean over the other half; None: `first` is exact. The covariance of the two holds no
            within-sentence noise, which in a mean over R chains adds Var_q(z)/R to the variance.

    Source: Burda et al. 2016; the covariance of halves is ours.
    """
    return int((between_variance(first, first if second is None else second) > ACTIVE_VARIANCE).sum())


def chains_decide(first: Array, second: Array) -> bool:
    """Whether more chains would hardly change which dimensions count as active.

    Each lies four standard deviations of the chains' noise from the threshold, or that noise is a quarter of the
    threshold. What the choice of sentences adds does not fall with more chains, and is left to the standard error.

    Args:
        first: Means over half of each sentence's chains. Shape [n, latent].
        second: Means over the other half. Shape [n, latent].
    """
    variance = between_variance(first, second)
    noise = np.var(first - second, axis=0, ddof=1) / 2  # of a half's mean
    deviation = np.sqrt((noise**2 + 2 * noise * variance.clip(0)) / len(first))
    far = np.abs(variance - ACTIVE_VARIANCE) > 4 * deviation
    return bool((far | (deviation <= ACTIVE_VARIANCE / 4)).all())


def active_unit_estimate(
    metric: str, first: Array, second: Array | None, chains: int, estimator: str, seed: int
) -> Estimate:
    """`active_units` with its error by bootstrap over the sentences, of which there are two at least."""
    count, random = len(first), np.random.default_rng(seed)
    resampled = []
    for _ in range(_RESAMPLES):
        chosen = random.integers(0, count, count)
        resampled.append(active_units(first[chosen], None if second is None else second[chosen]))
    value, error = active_units(first, second), np.std(resampled, ddof=1)
    return Estimate(metric, float(value), float(error), "dimensions", count, chains, estimator)


def derangement(count: int, seed: int) -> NDArray[np.int64]:
    """A seeded permutation of range(count), count ≥ 2, that leaves nothing in its place."""
    order = np.random.default_rng(seed).permutation(count)
    moved = np.empty(count, dtype=np.int64)
    moved[order] = np.roll(order, 1)
    return moved
