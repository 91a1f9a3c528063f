"""The aggregate posterior E_x q(z|x) against the prior: figure 1 of the paper."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray

from sritool.data.sampling import Indices
from sritool.data.split import Split
from sritool.errors import UsageError
from sritool.evaluation.metrics import Array
from sritool.evaluation.posterior_codes import CodeSettings, codes_of_split
from sritool.model.random import Stream
from sritool.runs.model import Report, TrainedModel

GRID = 201  # points of a density
FEWEST = 20  # sentences; with fewer, neither maps nor densities are informative
FEWEST_ON_MAP = 3  # codes that t-SNE needs
SHOWN = 4.0  # least reach of a density's axis, in standard deviations of the prior


class Point(NamedTuple):
    """A place on a map, a point of a density, or the standard deviations of a dimension (x) and its prior (y)."""

    # Places: `posterior`, `control`; of a dimension: `density`, `deviation`; density of the `prior`.
    part: str
    name: str  # for a posterior place the sentence's label or length in words; for a dimension its number
    x: float
    y: float


class Dimension(NamedTuple):
    """One dimension of the aggregate posterior; the prior has mean 0, deviation 1 and distance 0."""

    dimension: int  # from 1
    mean: float
    deviation: float
    ks: float  # Kolmogorov-Smirnov distance to N(0, 1)


class AggregatePosterior(NamedTuple):
    """One draw of q(z|x) per sentence, and equally many draws of the prior."""

    names: list[str]  # label of each sentence, or its length in words
    codes: Array  # [n, latent]
    codes_map: Array  # [n, 2], by t-SNE
    control_map: Array  # [n, 2], draws of the prior, by t-SNE with the same settings
    grid: Array  # [points], z
    densities: Array  # [latent, points], NaN for a constant dimension
    dimensions: list[Dimension]

    def rows(self) -> list[Point]:
        """Return everything that the picture shows."""
        placed = [
            *(("posterior", name, place) for name, place in zip(self.names, self.codes_map, strict=True)),
            *(("control", "", place) for place in self.control_map),
        ]
        found = [Point(part, name, *map(float, place)) for part, name, place in placed]
        prior = np.exp(-0.5 * self.grid**2) / np.sqrt(2 * np.pi)
        curves = [("density", str(row + 1), density) for row, density in enumerate(self.densities)]
        for part, name, density in [*curves, ("prior", "N(0, 1)", prior)]:
            if not np.isnan(density).any():
                points = np.stack([self.grid, density], 1).tolist()
                found += [Point(part, name, x, y) for x, y in points]
        return found + [Point("deviation", str(one.dimension), one.deviation, 1.0) for one in self.dimensions]

    @property
    def notes(self) -> list[str]:
        """Notes that the reader of the picture needs."""
        deviations = [of.deviation for of in self.dimensions]
        bound = largest_distance(len(self.codes), len(deviations))
        found = [
            f"over the {len(deviations)} dimensions: standard deviations {min(deviations):.2f} to "
            f"{max(deviations):.2f}, means up to {max(abs(of.mean) for of in self.dimensions):.2f} from 0, "
            f"Kolmogorov-Smirnov distances to N(0, 1) up to {max(of.ks for of in self.dimensions):.3f}; "
            f"of {len(deviations)} dimensions of {len(self.codes)} draws from N(0, 1) the largest would exceed "
            f"{bound:.3f} in 5 % of cases"
        ]
        constant = [str(of.dimension) for of in self.dimensions if of.deviation == 0]
        if constant:
            found.append(f"without a density, as they are constant: dimensions {', '.join(constant)}")
        return found


def aggregate(
    model: TrainedModel,
    split: Split,
    examples: Indices,
    seed: int,
    report: Report,
    labels: Sequence[str] = (),
    batch_size: int = 64,
) -> AggregatePosterior:
    """Draw the aggregate posterior, map it and its control, and compare its marginals with the prior.

    Args:
        model: A model with z.
        split: The split of the sentences.
        examples: Indices of 20 or more sentences, [n].
        seed: Seed of the draws and the maps.
        report: Progress callback.
        labels: Names of the corpus' labels, by number.
        batch_size: Sentences per batch.

    Raises:
        UsageError: The model has no z, or there are too few sentences.
        NumericalError: A code is not finite.
    """
    model.require_latent("draw the aggregate posterior")
    if len(examples) < FEWEST:
        raise UsageError(
            f"the aggregate posterior takes {FEWEST} sentences or more, not {len(examples)}; "
            "take --limit higher, or another --split"
        )
    how = CodeSettings(chains=1, mean=False, seed=seed)
    codes = codes_of_split(model, split, examples, how, batch_size, report)[:, 0].astype(np.float64)
    control = control_of(len(codes), model.latent, seed)
    grid = grid_of(codes)
    return AggregatePosterior(
        names_of(split, examples, labels),
        codes,
        *map_both(codes, control, seed, report),
        grid,
        np.stack([density(column, grid) for column in codes.T]),
        [dimension_of(number, column) for number, column in enumerate(codes.T, 1)],
    )


def largest_distance(count: int, dimensions: int) -> float:
    """Return the 5 % bound of the largest Kolmogorov-Smirnov distance of independent dimensions.

    Each dimension has `count` draws of N(0, 1). This is Kolmogorov's limit for many draws; at such bounds the first
    term of its series is enough.
    """
    tail = 1 - 0.95 ** (1 / dimensions)  # probability that one given dimension exceeds the bound
    return math.sqrt(-math.log(tail / 2) / 2 / count)


def control_of(count: int, latent: int, seed: int) -> Array:
    """Draw from the prior, [count, latent]; a larger count begins with the same draws."""
    numbers = torch.arange(count)
    drawn: Array = Stream(seed, "control").normal(numbers, latent, dtype=torch.float64).numpy()
    return drawn


def names_of(split: Split, examples: Indices, labels: Sequence[str]) -> list[str]:
    """Name each sentence by its label (a number k as `label k`) or, without labels, by its length in words."""
    if split.labels is not None and labels:
        named = [f"label {label}" if label.isdecimal() else label for label in labels]
        return [named[label] for label in split.labels[examples]]
    return [str(words) for words in split.words[examples] - split.ended[examples]]  # </s> is no word


def grid_of(codes: Array) -> Array:
    """Return the grid of the densities: it covers the prior's range and nearly all codes."""
    reach = max(SHOWN, float(np.quantile(np.abs(codes), 0.999)))
    return np.linspace(-reach, reach, GRID)


def density(values: Array, grid: Array) -> Array:
    """Estimate a marginal density by a Gaussian kernel of Scott's width; NaN if all values are equal."""
    from scipy.stats import gaussian_kde

    if len(values) < 2 or not values.std() > 0:
        return np.full(len(grid), np.nan)
    return np.asarray(gaussian_kde(values)(grid), dtype=np.float64)


def dimension_of(number: int, values: Array) -> Dimension:
    """Measure how far one dimension is from N(0, 1)."""
    from scipy.stats import kstest

    deviation = float(values.std(ddof=1)) if len(values) > 1 and np.ptp(values) else 0.0
    return Dimension(number, float(values.mean()), deviation, float(kstest(values, "norm").statistic))


def map_both(
    codes: NDArray[np.floating], control: NDArray[np.floating], seed: int, report: Report
) -> tuple[Array, Array]:
    """Map codes and control separately, by t-SNE with the same settings."""
    report("map of the codes", 0, len(codes))
    places = embed(codes, seed)
    report("map of the control", 0, len(control))
    control_places = embed(control, seed)
    report("map of the control", len(control), len(control))
    return places, control_places


def embed(codes: NDArray[np.floating], seed: int = 0) -> Array:
    """Map codes [n, latent] to the plane [n, 2] by t-SNE, so that similar codes lie close together.

    Equal codes get the same place. Fewer than three distinct codes are put on a line. The perplexity is 30, or a
    third of the other distinct codes if that is less. The same codes, seed and versions of NumPy and scikit-learn
    give the same map: t-SNE runs in one thread, as the order of a sum over threads varies from run to run.

    Source: van der Maaten and Hinton 2008, by scikit-learn, from the first two principal components.
    """
    from sklearn.manifold import TSNE
    from threadpoolctl import threadpool_limits  # type: ignore[import-untyped]

    points = np.asarray(codes, dtype=np.float64)
    distinct, place = np.unique(points, axis=0, return_inverse=True)
    place = place.reshape(-1)
    if len(distinct) < FEWEST_ON_MAP:  # t-SNE divides by their spread, which may be 0
        line = np.arange(len(distinct)) - (len(distinct) - 1) / 2
        return np.stack([line, np.zeros_like(line)], axis=1)[place]
    if distinct.shape[1] == 1:  # the PCA start needs two components
        distinct = np.hstack([distinct, np.zeros_like(distinct)])
    perplexity = min(30.0, (len(distinct) - 1) / 3)
    with threadpool_limits(1):
        found = TSNE(2, perplexity=perplexity, init="pca", random_state=seed).fit_transform(distinct)
    return np.asarray(found, dtype=np.float64)[place]
