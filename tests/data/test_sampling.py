"""Seeded sampling and splitting: sizes, no leaks between splits, and stability when text is added."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from sritool.data.sampling import borders, sample, shuffle_keys, split_by_ratio, unique
from sritool.data.sentences import Sentences
from sritool.errors import DataError

TEXTS = [f"sentence {number}" for number in range(200)]


def test_sample_keeps_order_and_labels() -> None:
    labels = [text[-1] for text in TEXTS]
    chosen = sample(Sentences(TEXTS, labels), 50, seed=3)
    assert len(chosen.texts) == 50
    assert list(chosen.texts) == sorted(chosen.texts, key=TEXTS.index)
    assert chosen.labels == [text[-1] for text in chosen.texts]
    assert chosen == sample(Sentences(TEXTS, labels), 50, seed=3)
    assert chosen != sample(Sentences(TEXTS, labels), 50, seed=4)
    assert sample(Sentences(TEXTS), 500, seed=3).texts == TEXTS


def test_sampling_is_uniform() -> None:
    counts = dict.fromkeys(TEXTS, 0)
    for seed in range(100):
        for text in sample(Sentences(TEXTS), 100, seed).texts:
            counts[text] += 1
    assert min(counts.values()) > 25
    assert max(counts.values()) < 75


def test_unique_prefers_test_then_valid_then_train() -> None:
    splits = {
        "train": Sentences(["a", "b", "c", "b", "d"], list("12345")),
        "valid": Sentences(["c", "e"]),
        "test": Sentences(["a", "e"]),
    }
    kept = unique(splits)
    assert {name: list(part.texts) for name, part in kept.items()} == {
        "train": ["b", "d"],
        "valid": ["c"],
        "test": ["a", "e"],
    }
    assert kept["train"].labels == ["2", "5"]
    assert list(kept) == ["train", "valid", "test"]


@given(st.lists(st.sampled_from([*TEXTS[:30], ""]), min_size=60, max_size=120), st.integers(0, 5))
def test_splitting_keeps_equal_sentences_together(texts: list[str], seed: int) -> None:
    assume(len(set(texts) - {""}) >= 10)
    parts = split_by_ratio(Sentences(texts, texts), {"valid": 0.1, "test": 0.2}, seed, "x")
    assert sorted(text for part in parts.values() for text in part.texts) == sorted(texts)
    kinds = [set(part.texts) for part in parts.values()]
    assert not kinds[0] & kinds[1] | kinds[0] & kinds[2] | kinds[1] & kinds[2]
    assert "" not in kinds[1] | kinds[2]
    assert all(part.labels == part.texts for part in parts.values())
    filled = sum(1 for text in texts if text)
    most = max(map(texts.count, set(texts) - {""}))
    for name, share in (("valid", 0.1), ("test", 0.2)):
        assert 1 <= len(parts[name].texts) < share * filled + most + 1


def test_case_and_spacing_do_not_distinguish_sentences() -> None:
    texts = [variant for text in TEXTS for variant in (text, text.title(), f" {text}\r")]
    parts = split_by_ratio(Sentences(texts), {"test": 0.1}, 0, "x")
    assert len(parts["test"].texts) == 60
    assert len({text.lower().strip() for text in parts["test"].texts}) == 20
    kept = unique({"train": Sentences(["A  b", "c"]), "test": Sentences(["a b"])})
    assert kept["train"].texts == ["c"]


def test_adding_a_sentence_moves_no_other() -> None:
    """A growing corpus keeps its test set, up to its size."""
    before = split_by_ratio(Sentences(TEXTS), {"test": 0.1}, 0, "x")["test"].texts
    after = split_by_ratio(Sentences([*TEXTS, "one more"]), {"test": 0.1}, 0, "x")["test"].texts
    assert len(set(before) & set(after)) >= len(before) - 1


@pytest.mark.parametrize(
    ("texts", "found"),
    [([], "no sentence"), (["a", "", "a"], "one sentence only"), (["a", "b"], "2 different")],
)
def test_too_few_to_split(texts: list[str], found: str) -> None:
    with pytest.raises(DataError, match=f"x has {found}.*, too few to cut valid and test from it"):
        split_by_ratio(Sentences(texts), {"valid": 0.1, "test": 0.1}, 0, "x")


def test_smallest_text_that_can_be_split() -> None:
    parts = split_by_ratio(Sentences(list("abcd")), {"valid": 0.4, "test": 0.4}, 0, "x")
    assert {name: len(part.texts) for name, part in parts.items()} == {"train": 2, "valid": 1, "test": 1}


@given(
    st.lists(st.integers(0, 40), max_size=200),
    st.sampled_from([{"test": 0.1}, {"valid": 0.05, "test": 0.05}, {"valid": 0.4, "test": 0.45}]),
)
def test_borders_match_sorting_all_keys(found: list[int], shares: dict[str, float]) -> None:
    """Against the first implementation, which sorted all keys."""
    random = np.random.default_rng(0).integers(0, 1 << 63, 41, dtype=np.uint64) * np.uint64(2)
    empty = shuffle_keys([b""], 5)[0]
    keys = np.array([*random[found], empty], np.uint64)
    distinct, counts = np.unique(keys[keys != empty], return_counts=True)
    if len(distinct) < len(shares) + 2:
        with pytest.raises(DataError, match="too few to cut"):
            borders(lambda: [keys], shares, 5, "x")
        return
    filled = np.concatenate(([0], np.cumsum(counts)))
    ends = [0]
    for place, share in enumerate(shares.values(), 1):
        wanted = filled[ends[-1]] + max(round(share * int(filled[-1])), 1)
        most = len(distinct) - 2 - (len(shares) - place)
        ends.append(max(min(int(np.searchsorted(filled, wanted)), most), ends[-1]))
    expected = np.searchsorted(distinct[ends[1:]], keys, side="right") + 1
    expected[(expected > len(shares)) | (keys == empty)] = 0
    result = borders(lambda: np.array_split(keys, 3), shares, 5, "x")
    np.testing.assert_array_equal(result.places(keys), expected)
    assert result.counts == np.bincount(expected[:-1], minlength=len(shares) + 1).tolist()
