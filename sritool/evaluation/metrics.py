"""Measures of a trained model, each with the standard error and the sample that it rests on.

Sums are added up over the split and divided once. Errors are over sentences.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]

_LARGEST_RATE = 709.0  # nats: exp of more is no double
EVEN = 0.1  # effective sample size over M below which few draws decide
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
        enough = max(EVEN * self.draws, 2.0)  # of few draws, one alone decides below 2
        uneven = weights.effective_decile < enough or weights.pareto_k_decile > HEAVY_TAIL
        return weights.half - self.value if uneven else None


def mean_and_error(values: Array) -> tuple[float, float]:
    """The mean [n] and its standard error, NaN of one value or where one is not finite."""
    known = len(values) > 1 and bool(np.isfinite(values).all())
    error = float(values.std(ddof=1) / math.sqrt(len(values))) if known else math.nan
    return float(values.mean()), error


def mean_estimate(metric: str, values: Array, unit: str, draws: int, estimator: str) -> Estimate:
    """Mean over sentences [n] with its standard error."""
    return Estimate(metric, *mean_and_error(values), unit, len(values), draws, estimator)


def rate_terms(log_likelihood: Array, counts: Array) -> Array:
    """Each sentence's term of the rate −Σ log p(x) / Σ counts, in nats: they have the ratio's mean and error.

    Both are of each sentence: [n]. Terms are by the delta method for a ratio of sums; all infinite where the rate is.
    """
    rate = -log_likelihood.sum() / counts.sum()
    if not math.isfinite(rate):
        return np.full(len(counts), rate)
    terms: Array = rate + (-log_likelihood - rate * counts) / counts.mean()
    return terms


def ppl_terms(log_likelihood: Array, counts: Array) -> Array:
    """The same of the perplexity, exp of the rate; all infinite where that is beyond all numbers."""
    terms = rate_terms(log_likelihood, counts)
    rate = float(terms.mean())
    if rate > _LARGEST_RATE:
        return np.full(len(counts), math.inf)
    linear: Array = math.exp(rate) * (1 + terms - rate)
    return linear


def derangement(count: int, seed: int) -> NDArray[np.int64]:
    """A seeded permutation of range(count), count ≥ 2, that leaves nothing in its place."""
    order = np.random.default_rng(seed).permutation(count)
    moved = np.empty(count, dtype=np.int64)
    moved[order] = np.roll(order, 1)
    return moved
