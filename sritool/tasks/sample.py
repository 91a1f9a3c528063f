"""Sentences from the prior."""

from __future__ import annotations

from typing import NamedTuple

from sritool.core.decoding import DecodingConfig
from sritool.tasks.model import Model


class Samples(NamedTuple):
    """Sentences and how many of them differ."""

    sentences: list[str]
    unique: int


def sample(model: Model, n: int, seed: int, config: DecodingConfig | None) -> Samples:
    """n sentences; greedy in z unless the decoding says otherwise, words sampled for a language model."""
    sentences = model.sample(n, seed, config)
    return Samples(sentences, len(set(sentences)))
