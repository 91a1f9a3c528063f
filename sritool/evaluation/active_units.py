"""Active units: the dimensions of z whose posterior mean varies with the sentence.

A mean over a few chains includes their noise, so inactive dimensions may look active. The covariance of the means
over two halves of the chains is free of that noise: `au` counts by it, `au-naive` by the variance of the means.
"""

from __future__ import annotations

import numpy as np

from sritool.evaluation.metrics import Array, Estimate

ACTIVE_VARIANCE = 0.01  # Burda et al. 2016
_RESAMPLES = 200


def between_variance(first: Array, second: Array) -> Array:
    """Covariance over sentences of two arrays [n, latent], dimension by dimension: [latent]."""
    products = (first - first.mean(0)) * (second - second.mean(0))
    covariance: Array = products.sum(0) / max(1, len(first) - 1)
    return covariance


def active_units(first: Array, second: Array | None = None) -> int:
    """Count the dimensions of z whose mean varies with the sentence: Var_x(E_q[z]) > 0.01.

    Args:
        first: Exact E_q[z] of each sentence, or the mean over half of its chains. Shape [n, latent].
        second: The mean over the other half; None: `first` is exact. The covariance of the two is free of
            within-sentence noise, which adds Var_q(z)/R to the variance of a mean over R chains.

    Source: Burda et al. 2016; the covariance of halves is ours.
    """
    return int((between_variance(first, first if second is None else second) > ACTIVE_VARIANCE).sum())


def chains_decide(first: Array, second: Array) -> bool:
    """Whether more chains would hardly change which dimensions count as active, by means over two halves [n, latent].

    That is so if each dimension lies more than four standard deviations of the chains' noise from the threshold, or
    if that deviation is at most a quarter of the threshold. The noise from the choice of sentences does not fall with
    more chains; the standard error covers it.
    """
    variance = between_variance(first, second)
    noise = np.var(first - second, axis=0, ddof=1) / 2  # of the mean over a half
    deviation = np.sqrt((noise**2 + 2 * noise * variance.clip(0)) / len(first))
    far = np.abs(variance - ACTIVE_VARIANCE) > 4 * deviation
    return bool((far | (deviation <= ACTIVE_VARIANCE / 4)).all())


def active_unit_estimate(
    metric: str, first: Array, second: Array | None, chains: int, estimator: str, seed: int
) -> Estimate:
    """Return `active_units` with its error by bootstrap over the sentences, at least two."""
    count, random = len(first), np.random.default_rng(seed)
    resampled = []
    for _ in range(_RESAMPLES):
        chosen = random.integers(0, count, count)
        resampled.append(active_units(first[chosen], None if second is None else second[chosen]))
    value, error = active_units(first, second), np.std(resampled, ddof=1)
    return Estimate(metric, float(value), float(error), "dimensions", count, chains, estimator)
