"""A map of codes in the plane."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from sritool.errors import NumericalError, ShapeError, UsageError

FEWEST = 3


def embed(codes: NDArray[np.floating], seed: int = 0, perplexity: float = 30.0) -> NDArray[np.float64]:
    """Places of codes in the plane by t-SNE: near codes lie near each other, far distances mean little.

    Equal codes have one place. The same codes, seed and versions of NumPy and scikit-learn give the same places:
    it runs in one thread, because the order of a sum over threads, and with it the map, changes from run to run.

    Args:    codes [n, latent]; perplexity: about how many neighbours count, lowered to a third of the other
             distinct codes where these are few.
    Returns: [n, 2].
    Raises:  ShapeError for what is no table of codes; UsageError for fewer than 3 of them or a perplexity that is
             not positive; NumericalError for a code that is not finite.
    Source:  van der Maaten and Hinton 2008, by scikit-learn, from the first two principal components.
    """
    from sklearn.manifold import TSNE
    from threadpoolctl import threadpool_limits  # type: ignore[import-untyped]

    points = np.asarray(codes, dtype=np.float64)
    if points.ndim != 2 or not points.shape[1]:
        raise ShapeError(f"codes to map have the shape [n, latent], not {list(points.shape)}")
    if len(points) < FEWEST:
        raise UsageError(f"a map needs {FEWEST} codes or more, not {len(points)}; take more sentences")
    if not perplexity > 0:
        raise UsageError(f"perplexity is positive, not {perplexity:g}; give about 30")
    if not np.isfinite(points).all():
        bad = int((~np.isfinite(points).all(axis=1)).sum())
        raise NumericalError(f"{bad} of {len(points)} codes are not finite; look at how they were inferred")
    distinct, place = np.unique(points, axis=0, return_inverse=True)
    place = place.reshape(-1)
    if len(distinct) < FEWEST:  # t-SNE divides by a spread that they may not have
        line = np.arange(len(distinct)) - (len(distinct) - 1) / 2
        return np.stack([line, np.zeros_like(line)], axis=1)[place]
    if distinct.shape[1] == 1:  # two components are asked for
        distinct = np.hstack([distinct, np.zeros_like(distinct)])
    bounded = min(perplexity, (len(distinct) - 1) / 3)
    with threadpool_limits(1):
        found = TSNE(2, perplexity=bounded, init="pca", random_state=seed).fit_transform(distinct)
    return np.asarray(found, dtype=np.float64)[place]
