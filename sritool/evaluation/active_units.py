"""Active units: the dimensions of z whose posterior mean varies with the sentence.

A mean over a few chains holds their noise too, and dimensions look active that are not. The covariance of the means
over two halves of the chains is free of it: `au` counts by that, `au-naive` by the variance of the means.
"""

from __future__ import annotations

import numpy as np

from sritool.evaluation.metrics import Array, Estimate

ACTIVE_VARIANCE = 0.01  # Burda et al. 2016
_RESAMPLES = 200


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
    """Whether more chains would hardly change which dimensions count as active, by means over two halves [n, latent].

    Each lies four standard deviations of the chains' noise from the threshold, or that noise is a quarter of the
    threshold. What the choice of sentences adds does not fall with more chains, and is left to the standard error.
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
