"""The count of active units, against posteriors with known moments."""

from __future__ import annotations

import math

import numpy as np
import pytest

from sritool.evaluation.active_units import active_unit_estimate, between_variance, chains_decide

KNOWN = np.array([0.8, 0.2, 0.05, 0.0, 0.0, 0.0])  # Var_x(E_q[z]) of each dimension: three are active
WITHIN = 0.3  # Var_q(z)


def chains(sentences: int, count: int, seed: int = 0) -> np.ndarray:
    """Draws [count, sentences, 6] of a posterior with known moments."""
    random = np.random.default_rng(seed)
    means = random.normal(size=(sentences, len(KNOWN))) * np.sqrt(KNOWN)
    return means + random.normal(size=(count, sentences, len(KNOWN))) * math.sqrt(WITHIN)


def test_between_variance_is_unbiased() -> None:
    found = [between_variance(*chains(5, 2, seed)) for seed in range(2500)]
    error = np.std(found, axis=0, ddof=1) / 50
    assert np.abs((np.mean(found, axis=0) - KNOWN) / error).max() < 5


SIZES = (500, 1000, 4000)


@pytest.mark.parametrize("sentences", SIZES)
@pytest.mark.parametrize(("variance", "expected"), [(0.0, 0), (0.05, 32), (0.3, 32)])
def test_units_of_known_variance(sentences: int, variance: float, expected: int) -> None:
    """Exact means of an encoder, and enough chains to decide, give the same count for any number of sentences.

    q = N(mean, 1 − variance) in each of 32 dimensions, so the aggregate is the prior.
    """
    random = np.random.default_rng(sentences)
    means = random.normal(size=(sentences, 32)) * math.sqrt(variance)
    found = active_unit_estimate("au", means, None, 0, "test", seed=0)
    assert (found.value, found.unit, found.sentences) == (expected, "dimensions", sentences)

    def half(count: int) -> np.ndarray:
        return means + random.normal(size=means.shape) * math.sqrt((1 - variance) / count)

    count = 1
    while not chains_decide(first := half(count), second := half(count)):
        count *= 2
    assert count <= 32
    estimate = active_unit_estimate("au", first, second, 2 * count, "test", seed=0)
    assert abs(estimate.value - expected) <= 2 * estimate.standard_error
    assert abs(estimate.value - expected) <= 1
    naive = active_unit_estimate("au-naive", 0.5 * (half(1) + half(1)), None, 2, "test", seed=0)
    assert naive.value == 32, "chain noise alone passes the published threshold"


def test_error_of_units_near_the_threshold() -> None:
    """For any number of sentences the count lies within its printed error."""
    variances = np.linspace(0.0, 0.02, 32)  # half of them are active
    for size in SIZES:
        means = np.random.default_rng(size).normal(size=(size, 32)) * np.sqrt(variances)
        found = active_unit_estimate("au", means, None, 0, "test", seed=0)
        assert 0 < found.standard_error < 3
        assert abs(found.value - 16) < 3 * found.standard_error


def test_few_chains_do_not_decide_on_pure_noise() -> None:
    random = np.random.default_rng(0)
    assert not chains_decide(*random.normal(size=(2, 512, 32)))
    assert chains_decide(*(random.normal(size=(2, 512, 32)) / 6))
