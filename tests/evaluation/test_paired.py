"""Paired differences: sentence terms reproduce the figures, and what two models have in common cancels."""

from __future__ import annotations

import numpy as np
import pytest

from sritool.data.text_size import TextSize
from sritool.evaluation.estimates import Origin, estimates_of, sentence_terms
from sritool.evaluation.metric_table import METRICS, PAIRED
from sritool.evaluation.paired import Difference, difference
from sritool.evaluation.sentence_figures import SentenceFigures

COUNT = 40
ORIGIN = Origin("adaptive", 8, "chain", 2, 0)


@pytest.fixture
def figures() -> SentenceFigures:
    random = np.random.default_rng(3)
    lengths = random.integers(3, 12, COUNT).astype(np.float64)
    found = SentenceFigures(lengths, lengths - 1.0, TextSize(5 * lengths, 6 * lengths, 0, True))
    values = {"log_likelihood_curve": -3 * np.repeat(lengths, 4).reshape(COUNT, 4)}
    values |= {name: random.random(COUNT) for name in ("recon", "kl", "mi", "recon_permuted", "kl_aggregate")}
    values |= {name: random.random(COUNT) for name in ("encoder_recon", "encoder_kl", "kl_information")}
    values["posterior_kl_curve"] = random.random((COUNT, 4))
    values["log_likelihood_curve"] += random.random((COUNT, 1))
    found.fill(np.arange(COUNT), values)
    return found


@pytest.mark.parametrize("metric", PAIRED)
def test_terms_reproduce_figure_and_error(metric: str, figures: SentenceFigures) -> None:
    for estimate in estimates_of(metric, figures, ORIGIN):
        terms = sentence_terms(estimate.metric, figures)
        assert terms is not None
        assert terms.mean() == pytest.approx(estimate.value, rel=1e-12)
        assert terms.std(ddof=1) / COUNT**0.5 == pytest.approx(estimate.standard_error, rel=1e-9)


def test_only_active_units_have_no_terms(figures: SentenceFigures) -> None:
    assert set(METRICS) - set(PAIRED) == {"au", "au-naive"}
    assert sentence_terms("au", figures) is None


def test_common_variation_cancels() -> None:
    random = np.random.default_rng(0)
    hard, own, other = random.normal(size=(3, 100_000))
    found = difference(50 * hard + own + 0.05, 50 * hard + 0.5 * other)
    assert found is not None
    assert found.standard_error == pytest.approx((1.25 / 100_000) ** 0.5, rel=0.02)
    assert abs(found.value - 0.05) < 4 * found.standard_error
    assert found.is_clear
    assert not Difference(0.05, 0.03, 9).is_clear


def test_only_common_sentences_count() -> None:
    own, other = np.array([1.0, np.nan, 3.0, 7.0, 5.0]), np.array([0.0, 1.0, 1.0, 4.0, np.nan])
    assert difference(own, other) == Difference(2.0, pytest.approx(1 / 3**0.5), 3)
    assert difference(own[:2], other[:2]) is None
    assert difference(own, other[:3]) is None
