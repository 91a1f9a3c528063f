"""log p(x) of each line of a text."""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

import numpy as np

from sritool.core.config import LikelihoodConfig
from sritool.corpus.textfiles import read_split
from sritool.tasks.measure import Report, Settings, measure
from sritool.tasks.model import Model


class Score(NamedTuple):
    """One line's."""

    log_p: float  # nats
    predictions: int  # tokens predicted, </s> included
    unknown: int  # tokens that the vocabulary lacks
    sentence: str


def score(
    model: Model, text: Path, seed: int, likelihood: LikelihoodConfig, batch_size: int, report: Report
) -> list[Score]:
    """Score every line of a file or "-"; order and number of lines are kept, an empty line is </s> alone."""
    from sritool.corpus.tokenizer import UNK

    lines = [line.rstrip("\r") for line in read_split(text).texts]
    split = model.split(lines)
    settings = Settings(("nll",), likelihood, seed, batch_size=batch_size)
    measured = measure(model.method, split, np.arange(len(split)), settings, report)
    return [
        Score(float(value), int(split.lengths[i]), int((split.targets(i) == UNK).sum()), lines[i])
        for i, value in enumerate(measured.rows["log_likelihood"])
    ]
