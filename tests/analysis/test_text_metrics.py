"""Measures of text against hand-worked examples, brute force and sacrebleu's own scores."""

from __future__ import annotations

import math
import random
from functools import cache

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from sritool.analysis.text_metrics import distinct, edit_distance, self_bleu, unique_share

WORDS = st.lists(st.sampled_from("abc"), max_size=7)


@pytest.mark.parametrize(
    ("one", "other", "distance"),
    [
        ("", "", 0),
        ("a b c", "", 3),
        ("the cat sat", "the cat sat", 0),
        ("the cat sat", "the big cat sat", 1),
        ("the cat sat", "the dog ran", 2),
        ("a b c d", "b c d e", 2),
        ("k i t t e n", "s i t t i n g", 3),
    ],
)
def test_edit_distances_by_hand(one: str, other: str, distance: int) -> None:
    assert edit_distance(one.split(), other.split()) == distance
    assert edit_distance(other.split(), one.split()) == distance


@given(one=WORDS, other=WORDS)
def test_edit_distance_is_the_recursion(one: list[str], other: list[str]) -> None:
    @cache
    def least(i: int, j: int) -> int:
        if not i or not j:
            return i + j
        swap = least(i - 1, j - 1) + (one[i - 1] != other[j - 1])
        return min(swap, least(i - 1, j) + 1, least(i, j - 1) + 1)

    assert edit_distance(one, other) == least(len(one), len(other))


def test_unique_and_distinct_by_hand() -> None:
    sentences = ["the heron waits", "the otter waits", "the heron waits", "rain"]
    assert unique_share(sentences).value == 3 / 4
    words = [text.split() for text in sentences]
    # Words: 3 + 3 + 3 + 1 = 10 with the, heron, waits, otter, rain; pairs: 6 with 4 different ones.
    assert distinct(words, 1).value == 5 / 10
    assert distinct(words, 2).value == 4 / 6
    assert distinct(words, 2).sentences == 4
    assert math.isnan(distinct([["rain"], []], 2).value)


def test_self_bleu_is_sacrebleu_against_all_others() -> None:
    from sacrebleu.metrics import BLEU

    draw = random.Random(3)
    sentences = [[draw.choice("abcde.") for _ in range(draw.randint(0, 9))] for _ in range(40)]
    sentences += [["a", "a", "b"], ["a", "a", "b"], ["z", "y"]]  # a twin, and one with nothing in common
    texts = [" ".join(words) for words in sentences]
    bleu = BLEU(tokenize="none", effective_order=True)
    scores = [bleu.sentence_score(text, texts[:i] + texts[i + 1 :]).score for i, text in enumerate(texts)]
    found = self_bleu(sentences)
    assert 5 < np.mean(scores) < 95
    assert found.value == pytest.approx(np.mean(scores))
    assert found.standard_error == pytest.approx(np.std(scores, ddof=1) / math.sqrt(len(scores)))
    assert found.sentences == 43


def test_self_bleu_of_copies_and_of_strangers() -> None:
    assert self_bleu([["the", "old", "mill", "burns"]] * 3).value == pytest.approx(100)
    strangers = self_bleu([["the", "old", "mill", "burns"], ["a", "fox", "ran", "by"]])
    assert strangers.value < 10
    assert math.isnan(self_bleu([["alone"]]).value)
