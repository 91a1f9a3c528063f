"""Measures of sentences as strings of words: how far two are apart, and how varied many are. No model is needed."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Hashable, Sequence
from typing import NamedTuple

import numpy as np

Words = Sequence[str]

_ORDER = 4  # longest n-grams of BLEU


class Figure(NamedTuple):
    """A measure of some sentences."""

    value: float
    standard_error: float  # NaN where there is none
    sentences: int  # that it rests on


def edit_distance(one: Sequence[Hashable], other: Sequence[Hashable]) -> int:
    """Fewest insertions, deletions and substitutions of tokens that make one of the other.

    Source: Levenshtein 1966; by the dynamic programme of Wagner and Fischer 1974.
    """
    row = list(range(len(other) + 1))
    for i, token in enumerate(one, 1):
        diagonal, row[0] = row[0], i
        for j, against in enumerate(other, 1):
            kept = diagonal if token == against else 1 + min(diagonal, row[j], row[j - 1])
            diagonal, row[j] = row[j], kept
    return row[-1]


def unique_share(sentences: Sequence[str]) -> Figure:
    """Different sentences over all sentences, in [0, 1]; it falls as more are drawn."""
    return Figure(len(set(sentences)) / len(sentences), math.nan, len(sentences))


def distinct(sentences: Sequence[Words], n: int) -> Figure:
    """Different n-grams over all n-grams of all sentences together, in [0, 1]; it falls as more are drawn.

    NaN where no sentence has n words.

    Source: Li, Galley, Brockett, Gao and Dolan 2016, "A diversity-promoting objective function for neural
    conversation models" (distinct-1, distinct-2).
    """
    ngrams = [tuple(words[i : i + n]) for words in sentences for i in range(len(words) - n + 1)]
    value = len(set(ngrams)) / len(ngrams) if ngrams else math.nan
    return Figure(value, math.nan, len(sentences))


def self_bleu(sentences: Sequence[Words]) -> Figure:
    """Mean BLEU-4, in 0 … 100, of each sentence against all others as its references; high where they are alike.

    Sentence BLEU as sacrebleu computes it on words as they are (tokenize="none"): exponential smoothing, orders up to
    the sentence's length. How often an n-gram occurs in the other sentences is kept by n-gram, so that the cost grows
    with the words and not with the square of the sentences. The figure rises with the number of sentences. The
    standard error is over sentences. NaN for fewer than two.

    Source: Zhu et al. 2018, "Texygen: a benchmarking platform for text generation models"; Papineni et al. 2002; Post
    2018 (sacrebleu).
    """
    if len(sentences) < 2:
        return Figure(math.nan, math.nan, len(sentences))
    from sacrebleu.metrics import BLEU

    others, lengths = _Others(), Counter(len(words) for words in sentences)
    counts = [_ngrams(words) for words in sentences]
    for own in counts:
        others.add(own)
    scores = []
    for words, own in zip(sentences, counts, strict=True):
        correct, total = [0] * _ORDER, [max(0, len(words) - n) for n in range(_ORDER)]
        for ngram, count in own.items():
            correct[len(ngram) - 1] += min(count, others.most(ngram, count))
        length = _closest(len(words), lengths)
        found = BLEU.compute_bleu(
            correct,
            total,
            len(words),
            length,
            smooth_method="exp",
            effective_order=True,
            max_ngram_order=_ORDER,
        )
        scores.append(found.score)
    error = float(np.std(scores, ddof=1)) / math.sqrt(len(scores))
    return Figure(float(np.mean(scores)), error, len(scores))


def _ngrams(words: Words) -> Counter[tuple[str, ...]]:
    """How often each n-gram of one to four words occurs."""
    return Counter(tuple(words[i : i + n]) for n in range(1, _ORDER + 1) for i in range(len(words) - n + 1))


class _Others:
    """The most often that an n-gram occurs in one sentence, and in one of all the others."""

    def __init__(self) -> None:
        self._two: dict[tuple[str, ...], tuple[int, int]] = {}

    def add(self, counts: Counter[tuple[str, ...]]) -> None:
        for ngram, count in counts.items():
            first, second = self._two.get(ngram, (0, 0))
            self._two[ngram] = (count, first) if count > first else (first, max(count, second))

    def most(self, ngram: tuple[str, ...], own: int) -> int:
        """In one sentence that is not the one in which it occurs `own` times."""
        first, second = self._two[ngram]
        return second if own == first else first


def _closest(length: int, lengths: Counter[int]) -> int:
    """The length of another sentence that is nearest, the shorter of two."""
    others = (each for each, count in lengths.items() if each != length or count > 1)
    return min(others, key=lambda each: (abs(each - length), each))
