"""Means, perplexities and derangements, against known answers."""

from __future__ import annotations

import math
import warnings

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from sritool.evaluation.metrics import Estimate, derangement, mean_estimate, ppl_terms


def perplexity(log_likelihood: np.ndarray, predictions: np.ndarray) -> Estimate:
    return mean_estimate("ppl", ppl_terms(log_likelihood, predictions), "per token", 4, "sri")


def test_mean_estimate() -> None:
    values = np.array([1.0, 4.0, 2.0, 9.0])
    found = mean_estimate("nll", values, "nats/sentence", 10, "adaptive")
    assert found.value == 4.0
    assert found.standard_error == pytest.approx(math.sqrt(((9 + 0 + 4 + 25) / 3) / 4))
    assert found[4:7] == (4, 10, "adaptive")
    assert math.isnan(mean_estimate("nll", values[:1], "nats/sentence", 10, "adaptive").standard_error)


def test_perplexity_divides_sums_once() -> None:
    log_likelihood, predictions = np.array([-10.0, -2.0]), np.array([5.0, 2.0])
    assert perplexity(log_likelihood, predictions).value == pytest.approx(math.exp(12 / 7))


def test_perplexity_of_a_uniform_model_is_the_vocabulary() -> None:
    predictions = np.arange(1.0, 30.0)
    found = perplexity(-math.log(50) * predictions, predictions)
    assert found.value == pytest.approx(50)
    assert found.standard_error == pytest.approx(0, abs=1e-9)


def test_perplexity_of_huge_losses_is_infinite() -> None:
    found = perplexity(np.array([-9000.0, -8000.0]), np.array([4.0, 5.0]))
    assert found.value == math.inf
    assert not math.isfinite(found.standard_error)


def test_perplexity_error_agrees_with_the_bootstrap() -> None:
    random = np.random.default_rng(0)
    predictions = random.integers(3, 30, 1500).astype(float)
    log_likelihood = -predictions * random.gamma(8, 0.5, 1500) - random.normal(3, 2, 1500)
    found = perplexity(log_likelihood, predictions)
    resampled = []
    for _ in range(2000):
        chosen = random.integers(0, 1500, 1500)
        resampled.append(math.exp(-log_likelihood[chosen].sum() / predictions[chosen].sum()))
    assert found.standard_error == pytest.approx(float(np.std(resampled, ddof=1)), rel=0.1)


@given(count=st.integers(2, 300), seed=st.integers(0, 2**31))
def test_derangement_moves_everything(count: int, seed: int) -> None:
    moved = derangement(count, seed)
    assert sorted(moved.tolist()) == list(range(count))
    assert not (moved == np.arange(count)).any()
    assert (moved == derangement(count, seed)).all()


def test_derangements_differ_by_seed() -> None:
    assert len({tuple(derangement(20, seed)) for seed in range(10)}) == 10


def test_infinite_figures_have_no_error() -> None:
    """A log-likelihood of minus infinity makes the mean and the perplexity infinite, without a warning."""
    lost = np.array([-3.0, -np.inf, -4.0])
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        nll = mean_estimate("nll", -lost, "nats/sentence", 4, "sri")
        ppl = perplexity(lost, np.ones(3))
    assert (nll.value, ppl.value) == (math.inf, math.inf)
    assert math.isnan(nll.standard_error)
    assert math.isnan(ppl.standard_error)
