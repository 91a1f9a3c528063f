"""Sentences from the prior."""

from __future__ import annotations

from typing import NamedTuple

from sritool.core.decoding import DecodingConfig
from sritool.tasks.measure import Report
from sritool.tasks.model import Model

AT_ONCE = 512  # sentences between two reports


class Samples(NamedTuple):
    """Sentences and how many of them differ."""

    sentences: list[str]
    unique: int


def sample(model: Model, n: int, seed: int, config: DecodingConfig, report: Report) -> Samples:
    """n sentences decoded from codes of the prior; the first of more are the same."""
    codes = model.prior(n, seed)
    sentences: list[str] = []
    for begin in range(0, n, AT_ONCE):
        report("decoding", begin, n)
        sentences += model.decode(codes[begin : begin + AT_ONCE], config, seed, begin)
    report("decoding", n, n)
    return Samples(sentences, len(set(sentences)))
