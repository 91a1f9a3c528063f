"""Measures of a trained model, each with its standard error and sample size.

Sums run over the whole split and are divided once. Errors are over sentences.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]

_LARGEST_RATE = 709.0  # nats: exp of more overflows a double
EVEN = 0.1  # share of M; with a smaller effective sample size, few draws decide
HEAVY_TAIL = 0.7  # k̂ above which no practical number of draws is enough


class Reliability(NamedTuple):
    """How far the importance weights behind a figure can be trusted, over its sentences."""

    effective: float  # mean effective sample size, of M
    effective_decile: float  # the worst decile's bound
    pareto_k: float  # mean k̂; above 0.7 the mean weight cannot be trusted
    pareto_k_decile: float  # the worst decile's bound
    curve: tuple[tuple[int, float], ...]  # (number of first draws, figure from them), up to M

    @property
    def half(self) -> float:
        """The figure at M/2; its difference from that at M shows what is left of Jensen's bias."""
        return self.curve[-2][1]


class Estimate(NamedTuple):
    """One figure and what it is based on.

    A value too large for a number is inf (a perplexity above 1e308), an undefined one is NaN (the standard error of
    one sentence). Wherever the figure is shown, `cli.formats` puts both into words, and a note gives the reason.
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
    predictions: int | None = None  # of a perplexity: the tokens or words that it is per, </s> included

    @property
    def unsettled(self) -> float | None:
        """The figure from half the draws minus that from all, if the weights show that more draws would change it.

        None if the weights are good: in nine tenths of the sentences, k̂ is below 0.7 and the effective sample size at
        least a tenth of the draws.
        """
        weights = self.reliability
        if weights is None:
            return None
        enough = max(EVEN * self.draws, 2.0)  # below 2, a single draw decides
        uneven = weights.effective_decile < enough or weights.pareto_k_decile > HEAVY_TAIL
        return weights.half - self.value if uneven else None


def most_sentences(estimates: Iterable[Estimate]) -> int:
    """Return the largest number of sentences behind any of these figures; 0 without a figure."""
    return max((estimate.sentences for estimate in estimates), default=0)


def mean_and_error(values: Array) -> tuple[float, float]:
    """Return the mean of values [n] and its standard error, NaN for one value or if one is not finite."""
    known = len(values) > 1 and bool(np.isfinite(values).all())
    error = float(values.std(ddof=1) / math.sqrt(len(values))) if known else math.nan
    return float(values.mean()), error


def mean_estimate(metric: str, values: Array, unit: str, draws: int, estimator: str) -> Estimate:
    """Return the mean over sentences [n] with its standard error."""
    return Estimate(metric, *mean_and_error(values), unit, len(values), draws, estimator)


def rate_terms(log_likelihood: Array, counts: Array) -> Array:
    """Compute each sentence's term of the rate −Σ log p(x) / Σ counts, in nats; both arguments are [n].

    Mean and standard error of the terms are those of the rate, by the delta method for a ratio of sums. All terms are
    infinite if the rate is.
    """
    rate = -log_likelihood.sum() / counts.sum()
    if not math.isfinite(rate):
        return np.full(len(counts), rate)
    terms: Array = rate + (-log_likelihood - rate * counts) / counts.mean()
    return terms


def ppl_terms(log_likelihood: Array, counts: Array) -> Array:
    """Compute the same for the perplexity, exp of the rate; all terms are infinite if it overflows."""
    terms = rate_terms(log_likelihood, counts)
    rate = float(terms.mean())
    if rate > _LARGEST_RATE:
        return np.full(len(counts), math.inf)
    linear: Array = math.exp(rate) * (1 + terms - rate)
    return linear


def derangement(count: int, seed: int) -> NDArray[np.int64]:
    """Return a seeded permutation of range(count), count ≥ 2, without fixed points."""
    order = np.random.default_rng(seed).permutation(count)
    moved = np.empty(count, dtype=np.int64)
    moved[order] = np.roll(order, 1)
    return moved
