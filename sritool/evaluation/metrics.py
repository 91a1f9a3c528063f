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
    rate = -float(log_likelihood.sum() / predictions.sum())
    count, error = len(log_likelihood), math.nan
    if count > 1 and math.isfinite(rate):
        residual = -log_likelihood - rate * predictions
        error = float(residual.std(ddof=1) / math.sqrt(count) / predictions.mean())
    value = math.inf if rate > _LARGEST_RATE else math.exp(rate)
    error = value * error if math.isfinite(value) else math.nan
    return Estimate(metric, value, error, unit, count, draws, estimator)


def active_units(halves: Array, threshold: float = ACTIVE_VARIANCE) -> int:
    """Dimensions with Var_x(E_q[z]) above the threshold by two standard errors or more.

    The variance is the covariance over x of two independent halves of the chains, which holds no within-sentence
    noise. It is unbiased, yet not certain: without the two errors its own noise would pass for active units where
    all variances are 0, 12 of 32 with two chains of 1,000 sentences.

    Args: halves [2, n, latent]: means over two independent halves of each sentence's chains.
    """
    variance, error = between_variance(halves[0], halves[1])
    return int((variance > threshold + 2 * error).sum())


def between_variance(first: Array, second: Array) -> tuple[Array, Array]:
    """Covariance over sentences of two [n, latent], dimension by dimension, and its standard error: [latent]."""
    products = (first - first.mean(0)) * (second - second.mean(0))
    count = len(first)
    covariance = products.sum(0) / max(1, count - 1)
    return covariance, products.std(0, ddof=1 if count > 1 else 0) / math.sqrt(count)


def naive_active_units(means: Array, threshold: float = ACTIVE_VARIANCE) -> int:
    """The published count: dimensions where the variance over x of the mean of R chains is above the threshold.

    With few chains it counts their noise, Var_q(z)/R: every unit of a model that ignores z can pass.
    """
    variance, _ = between_variance(means, means)
    return int((variance > threshold).sum())


def active_unit_estimates(draws: Array, estimator: str, seed: int) -> list[Estimate]:
    """`au` and `au-naive` from draws [chains, n, latent], chains and n ≥ 2; errors by bootstrap over sentences."""
    chains, sentences, _ = draws.shape
    halves = np.stack([draws[: chains // 2].mean(0), draws[chains // 2 :].mean(0)])
    means = draws.mean(0)
    random = np.random.default_rng(seed)
    resampled = []
    for _ in range(_RESAMPLES):
        chosen = random.integers(0, sentences, sentences)
        resampled.append((active_units(halves[:, chosen]), naive_active_units(means[chosen])))
    errors = np.std(np.asarray(resampled, dtype=np.float64), axis=0, ddof=1)
    values = (active_units(halves), naive_active_units(means))
    return [
        Estimate(name, float(value), float(error), "dimensions", sentences, chains, estimator)
        for name, value, error in zip(("au", "au-naive"), values, errors, strict=True)
    ]


def derangement(count: int, seed: int) -> NDArray[np.int64]:
    """A seeded permutation of range(count), count ≥ 2, that leaves nothing in its place."""
    order = np.random.default_rng(seed).permutation(count)
    moved = np.empty(count, dtype=np.int64)
    moved[order] = np.roll(order, 1)
    return moved
