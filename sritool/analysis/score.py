"""Scores each line of a text by log p(x)."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import NamedTuple

import numpy as np

from sritool.config.settings import LikelihoodConfig
from sritool.data.tokenizer import UNK
from sritool.evaluation.measure import measure
from sritool.evaluation.settings import EvaluationSettings
from sritool.runs.model import Report, TrainedModel

FIRST, PART = 32, 1_000  # lines scored before their figures are yielded: at first, and at most


class Score(NamedTuple):
    """The score of one line."""

    log_p: float  # nats
    predictions: int  # tokens predicted, </s> included
    unknown: int  # tokens that the vocabulary lacks
    sentence: str


def score(
    model: TrainedModel,
    sentences: Sequence[str],
    seed: int,
    likelihood: LikelihoodConfig,
    batch_size: int,
    report: Report,
) -> Iterator[list[Score]]:
    """Yield the scores of sentences in parts, first a small one, so that a long text's figures appear early.

    Their order and number are kept; an empty one is </s> alone.
    """
    split = model.split(sentences)
    settings = EvaluationSettings(("nll",), likelihood=likelihood, seed=seed, batch_size=batch_size)
    end, size = 0, min(FIRST, PART)
    while end < len(split):
        begin, end = end, min(end + size, len(split))
        size = min(2 * size, PART)
        rows = np.arange(begin, end)

        def tell(what: str, done: int, of: int, begin: int = begin, count: int = len(rows)) -> None:
            report(what, begin + done * count // max(of, 1), len(split))

        measured = measure(model.method, split, rows, settings, tell)
        log_p = measured.figures.log_likelihood.tolist()
        unknown = [int((split.targets(int(i)) == UNK).sum()) for i in rows]
        counts = split.lengths[rows].tolist(), unknown
        yield [Score(*line) for line in zip(log_p, *counts, sentences[begin:end], strict=True)]
