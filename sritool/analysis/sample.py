"""Sentences from the prior, or from given codes."""

from __future__ import annotations

from typing import NamedTuple

from sritool.model.decoding import DecodingConfig
from sritool.runs.model import Floats, Report, TrainedModel


class Samples(NamedTuple):
    """Sentences and how many of them differ."""

    sentences: list[str]
    unique: int


def sample(
    model: TrainedModel,
    n: int,
    seed: int,
    config: DecodingConfig,
    report: Report | None = None,
    codes: Floats | None = None,
) -> Samples:
    """n sentences decoded from codes of the prior, the first of more being the same; or from these codes."""
    codes = model.prior(n, seed) if codes is None else codes
    sentences = model.decode(codes, config, seed, report=report)
    return Samples(sentences, len(set(sentences)))
