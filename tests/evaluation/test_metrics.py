"""Measures on data whose answer is known."""

from __future__ import annotations

import math
import warnings

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from sritool.evaluation.metrics import (
    active_unit_estimate,
    between_variance,
    chains_decide,
    derangement,
    mean_estimate,
    perplexity,
)

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
    """Of an encoder, whose means are exact, and of chains, at as many as it takes: the same at each size.

    q = N(mean, 1 − variance) in each of 32 dimensions, so that the aggregate is the prior.
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


def test_units_near_the_threshold_have_an_error() -> None:
    """The same model at three sizes: counts that differ do so within their printed errors."""
    variances = np.linspace(0.0, 0.02, 32)  # half of them are active
    for size in SIZES:
        means = np.random.default_rng(size).normal(size=(size, 32)) * np.sqrt(variances)
        found = active_unit_estimate("au", means, None, 0, "test", seed=0)
        assert 0 < found.standard_error < 3
        assert abs(found.value - 16) < 3 * found.standard_error


def test_few_chains_do_not_decide_where_all_is_noise() -> None:
    random = np.random.default_rng(0)
    assert not chains_decide(*random.normal(size=(2, 512, 32)))
    assert chains_decide(*(random.normal(size=(2, 512, 32)) / 6))


def test_mean_estimate() -> None:
    values = np.array([1.0, 4.0, 2.0, 9.0])
    found = mean_estimate("nll", values, "nats/sentence", 10, "adaptive")
    assert found.value == 4.0
    assert found.standard_error == pytest.approx(math.sqrt(((9 + 0 + 4 + 25) / 3) / 4))
    assert found[4:7] == (4, 10, "adaptive")
    assert math.isnan(mean_estimate("nll", values[:1], "nats/sentence", 10, "adaptive").standard_error)


def test_perplexity_divides_sums_once() -> None:
    log_likelihood, predictions = np.array([-10.0, -2.0]), np.array([5.0, 2.0])
    assert perplexity("ppl", log_likelihood, predictions, "", 1, "").value == pytest.approx(math.exp(12 / 7))


def test_perplexity_of_a_uniform_model_is_the_vocabulary() -> None:
    predictions = np.arange(1.0, 30.0)
    found = perplexity("ppl", -math.log(50) * predictions, predictions, "", 1, "")
    assert found.value == pytest.approx(50)
    assert found.standard_error == pytest.approx(0, abs=1e-9)


def test_perplexity_of_a_model_gone_astray_is_infinite() -> None:
    found = perplexity("ppl", np.array([-9000.0, -8000.0]), np.array([4.0, 5.0]), "", 1, "")
    assert found.value == math.inf
    assert not math.isfinite(found.standard_error)


def test_perplexity_error_agrees_with_the_bootstrap() -> None:
    random = np.random.default_rng(0)
    predictions = random.integers(3, 30, 1500).astype(float)
    log_likelihood = -predictions * random.gamma(8, 0.5, 1500) - random.normal(3, 2, 1500)
    found = perplexity("ppl", log_likelihood, predictions, "", 1, "")
    resampled = []
    for _ in range(2000):
        chosen = random.integers(0, 1500, 1500)
        resampled.append(math.exp(-log_likelihood[chosen].sum() / predictions[chosen].sum()))
    assert found.standard_error == pytest.approx(float(np.std(resampled, ddof=1)), rel=0.1)


@given(count=st.integers(2, 300), seed=st.integers(0, 2**31))
def test_a_derangement_moves_everything(count: int, seed: int) -> None:
    moved = derangement(count, seed)
    assert sorted(moved.tolist()) == list(range(count))
    assert not (moved == np.arange(count)).any()
    assert (moved == derangement(count, seed)).all()


def test_derangements_differ_by_seed() -> None:
    assert len({tuple(derangement(20, seed)) for seed in range(10)}) == 10


def test_what_is_infinite_has_no_error() -> None:
    """A log-likelihood of minus infinity makes the mean and the perplexity infinite, without a warning."""
    lost = np.array([-3.0, -np.inf, -4.0])
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        nll = mean_estimate("nll", -lost, "nats/sentence", 4, "sri")
        ppl = perplexity("ppl", lost, np.ones(3), "per token", 4, "sri")
    assert (nll.value, ppl.value) == (math.inf, math.inf)
    assert math.isnan(nll.standard_error)
    assert math.isnan(ppl.standard_error)
