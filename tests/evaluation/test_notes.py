"""The note on a chain's likelihood: it is believable only if weights are even and nothing folds."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from sritool.evaluation.estimates import Origin
from sritool.evaluation.metrics import mean_estimate
from sritool.evaluation.notes import notes_on
from sritool.evaluation.sentence_figures import SentenceFigures


def notes_of(size: float, half: float, folded: float, *metrics: str) -> list[str]:
    """Notes on figures of M = 10 chains and an NLL of 28 nats per sentence."""
    sentences = np.ones(4)
    figures = SentenceFigures(sentences, sentences)
    found = {
        "effective_sample_size": size * sentences,
        "log_likelihood_curve": np.outer(sentences, [-28.0, -28.0, -half, -28.0]),
        "log_likelihood_signed": -28.0 * sentences,
        "folded_share": folded * sentences,
        "sign_ratio": sentences,
        "posterior_kl_correction": 0.0 * sentences,
    }
    figures.fill(np.arange(4), found)
    method: Any = SimpleNamespace(latent=2)
    estimates = [mean_estimate(name, sentences, "nats/sentence", 10, "sri") for name in metrics]
    return [note.text for note in notes_on(figures, estimates, Origin("sri", 10, "chain", 2, 0), method)]


@pytest.mark.parametrize(
    ("size", "half", "folded", "words"),
    [
        (9.0, 28.01, 0.0, "can be believed"),
        (2.7, 28.01, 0.0, "too high"),  # few draws carry the weight
        (9.0, 28.4, 0.0, "too high"),  # the figure still moves
        (9.0, 28.01, 0.2, "too low"),
        (2.7, 28.4, 0.2, "bounds nothing"),
    ],
)
def test_verdict_on_a_chains_likelihood(size: float, half: float, folded: float, words: str) -> None:
    (about_folds,) = [note for note in notes_of(size, half, folded) if "fold" in note]
    assert words in about_folds


@pytest.mark.parametrize(
    ("size", "half", "folded", "doubtful"),
    [(9.0, 28.01, 0.0, False), (2.7, 28.01, 0.0, True), (9.0, 28.4, 0.0, True), (9.0, 28.01, 0.2, True)],
)
def test_doubtful_nll_of_chains_makes_posterior_kl_doubtful(
    size: float, half: float, folded: float, doubtful: bool
) -> None:
    def is_noted(metric: str) -> bool:
        return any("--estimator adaptive" in note for note in notes_of(size, half, folded, metric))

    assert is_noted("posterior-kl") == doubtful
    assert not is_noted("nll")
