"""Mutual information, against sentences of several kinds whose codes tell the kind, and against Gaussians."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from torch import Tensor

from sritool.likelihood.information import aggregate_terms, information, log_sum_over_sentences

KINDS, SENTENCES = 5, 400


class Kinds:
    """x is uniform over the sentences of kind z with probability 1 − noise, and over all of them otherwise."""

    def __init__(self, kinds: Tensor, noise: float) -> None:
        self.kinds, self.noise = kinds, noise  # [batch]

    def log_likelihood(self, z: Tensor) -> Tensor:
        """z [..., batch, KINDS]: one-hot."""
        own = torch.eye(KINDS, dtype=z.dtype)[self.kinds]
        same = (z * own).sum(-1)
        return (((1 - self.noise) * same * KINDS + self.noise) / SENTENCES).log()


def terms(noise: float, seed: int = 0, batch: int = 64) -> np.ndarray:
    """The estimate's terms, with codes drawn from the posterior."""
    random = np.random.default_rng(seed)
    kinds = torch.arange(SENTENCES) % KINDS
    own = random.random(SENTENCES) < (1 - noise) + noise / KINDS  # p(z = kind | x)
    shift = np.where(own, 0, random.integers(1, KINDS, SENTENCES))
    codes = torch.eye(KINDS, dtype=torch.float64)[(kinds.numpy() + shift) % KINDS]
    evidence = np.full(SENTENCES, -math.log(SENTENCES))
    log_sum = np.full(SENTENCES, -np.inf)
    for part in torch.arange(SENTENCES).split(batch):
        known = torch.from_numpy(evidence[part])
        found = log_sum_over_sentences(Kinds(kinds[part], noise), codes, known)
        log_sum = np.logaddexp(log_sum, found.numpy())
    conditional = Kinds(kinds, noise).log_likelihood(codes).numpy()
    return information(conditional, evidence, log_sum)


def known(noise: float) -> float:
    """I(x; z) = Σ_z p(z|x) log p(x|z)/p(x), the same for every x."""
    right = (1 - noise) + noise / KINDS
    ratios = (1 - noise) * KINDS + noise, noise
    return right * math.log(ratios[0]) + (1 - right) * math.log(ratios[1])


def test_code_that_tells_the_kind() -> None:
    np.testing.assert_allclose(terms(0.0), math.log(KINDS), atol=1e-12)


@pytest.mark.parametrize("noise", [0.2, 0.6])
def test_code_that_is_sometimes_wrong(noise: float) -> None:
    found = np.stack([terms(noise, seed) for seed in range(4)])
    error = found.std() / math.sqrt(found.size)
    assert error < 0.05
    assert abs(found.mean() - known(noise)) < 4 * error


def test_code_that_tells_nothing() -> None:
    np.testing.assert_allclose(terms(1.0 - 1e-12), 0.0, atol=1e-9)


def test_batches_add_up() -> None:
    np.testing.assert_allclose(terms(0.3, batch=9), terms(0.3, batch=400), atol=1e-12)


def test_information_is_at_most_log_n() -> None:
    """Codes that identify the sentence give log N, not more."""
    evidence = np.full(8, -50.0)
    alone = information(np.full(8, -1.0), evidence, np.full(8, 49.0))
    np.testing.assert_allclose(alone, math.log(8))


@pytest.mark.parametrize(("mean", "spread"), [(0.0, 1.0), (0.3, 1.0), (0.0, 0.6), (0.5, 1.7)])
def test_aggregate_divergence_matches_its_gaussian(mean: float, spread: float) -> None:
    """It is not above it, although 32 dimensions have 560 moments and there are only 1,500 codes."""
    codes = mean + spread * np.random.default_rng(0).normal(size=(1500, 32))
    found = aggregate_terms(codes, seed=0)
    exact = 16 * (mean**2 + spread**2 - 1 - 2 * math.log(spread))
    error = found.std() / math.sqrt(len(found))
    assert exact - 0.6 - 4 * error < found.mean() < exact + 4 * error


def test_upper_side_does_not_saturate() -> None:
    """I(x; z) = 14.7 nats in 16 dimensions, where 500 sentences give the lower bound at most log 500 = 6.2."""
    random, within = np.random.default_rng(1), 0.4
    means = random.normal(size=(500, 16)) * math.sqrt(1 - within**2)
    codes = means + within * random.normal(size=means.shape)
    to_prior = 0.5 * (means**2 + within**2 - 1 - 2 * math.log(within)).sum(1)
    terms = to_prior - aggregate_terms(codes, seed=0)
    exact = -16 * math.log(within)
    assert abs(terms.mean() - exact) < 4 * terms.std() / math.sqrt(500)
