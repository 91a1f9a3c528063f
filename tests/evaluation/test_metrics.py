"""Measures on data whose answer is known."""

from __future__ import annotations

import math
import warnings

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from sritool.evaluation.metrics import (
    active_unit_estimates,
    active_units,
    between_variance,
    derangement,
    mean_estimate,
    naive_active_units,
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
    found = [between_variance(*chains(5, 2, seed))[0] for seed in range(2500)]
    error = np.std(found, axis=0, ddof=1) / 50
    assert np.abs((np.mean(found, axis=0) - KNOWN) / error).max() < 5


def test_between_variance_knows_its_error() -> None:
    found = np.array(
        [between_variance(*chains(400, 2, seed)) for seed in range(300)]
    )  # [repeat, 2, dimension]
    assert np.abs(found[:, 1].mean(0) / found[:, 0].std(0, ddof=1) - 1).max() < 0.2


@pytest.mark.parametrize(("sentences", "spread"), [(256, 1.0), (1000, 1.0), (1000, 0.27)])
def test_a_collapsed_posterior_has_no_active_units(sentences: int, spread: float) -> None:
    """32 dimensions that say nothing of x, two chains: fewer than one of them is counted, on average."""
    random = np.random.default_rng(0)
    draws = random.normal(size=(40, 2, sentences, 32)) * math.sqrt(spread)
    assert np.mean([active_units(halves) for halves in draws]) < 1
    assert naive_active_units(draws[0].mean(0)) == 32


def test_active_units_with_two_chains() -> None:
    draws = chains(40_000, 2)
    assert active_units(draws) == 3
    assert naive_active_units(draws.mean(0)) == 6, "chain noise alone passes the published threshold"
    both = active_unit_estimates(draws[:, :4000], "test", seed=0)
    assert [estimate.metric for estimate in both] == ["au", "au-naive"]
    assert both[1].value == 6
    assert {(e.sentences, e.draws, e.unit) for e in both} == {(4000, 2, "dimensions")}


def test_naive_count_is_right_where_chains_are_many() -> None:
    assert naive_active_units(chains(1000, 300).mean(0)) == 3


def test_odd_numbers_of_chains_are_halved_too() -> None:
    draws = chains(20_000, 5)
    both = active_unit_estimates(draws[:, :3000], "test", seed=0)
    assert both[0].value == active_units(np.stack([draws[:2, :3000].mean(0), draws[2:, :3000].mean(0)]))
    assert both[0].draws == 5


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
