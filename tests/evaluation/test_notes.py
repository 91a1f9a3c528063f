"""The note on a chain's likelihood: it is believable only if weights are even and nothing folds."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from sritool.evaluation.estimates import Origin
from sritool.evaluation.notes import notes_on
from sritool.evaluation.sentence_figures import SentenceFigures


def verdict(size: float, half: float, folded: float) -> str:
    """The note on folds and signs, for M = 10 and an NLL of 28 nats per sentence."""
    sentences = np.ones(4)
    figures = SentenceFigures(sentences, sentences)
    found = {
        "effective_sample_size": size * sentences,
        "log_likelihood_curve": np.outer(sentences, [-28.0, -28.0, -half, -28.0]),
        "log_likelihood_signed": -28.0 * sentences,
        "folded_share": folded * sentences,
        "sign_ratio": sentences,
    }
    figures.fill(np.arange(4), found)
    method: Any = SimpleNamespace(latent=2)
    notes = notes_on(figures, [], Origin("sri", 10, "chain", 2, 0), method)
    (about_folds,) = [note.text for note in notes if "fold" in note.text]
    return about_folds


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
    assert words in verdict(size, half, folded)
