"""Noisy versions of sentences against every change that there is, and against their probabilities."""

from __future__ import annotations

from collections import Counter
from itertools import combinations, pairwise

import pytest
from scipy.stats import chisquare

from sritool.data.noise import KINDS, Unigram, versions
from sritool.errors import UsageError

WORDS = ("one", "heron", "lifts", "the", "lantern", "upstairs")
UNIGRAM = Unigram(["a kettle a mason", "a lantern"])
RARE = 1e-3  # of a test of chance under a fixed seed: it fails for good or never


def swapped(words: tuple[str, ...], first: int, second: int) -> tuple[str, ...]:
    changed = list(words)
    changed[first], changed[second] = words[second], words[first]
    return tuple(changed)


def moved(one: tuple[str, ...], other: tuple[str, ...]) -> int:
    return sum(a != b for a, b in zip(one, other, strict=True))


@pytest.mark.parametrize("key", range(20))
def test_each_version_is_one_swap_from_the_last(key: int) -> None:
    found = versions(WORDS, 5, "swap", str(key))
    assert found[0] == WORDS
    assert len(found) == 6
    for k in range(1, 6):
        every = {swapped(found[k - 1], *pair) for pair in combinations(range(6), 2)}
        assert found[k] in every
        assert sorted(found[k]) == sorted(WORDS)
        assert moved(found[k], WORDS) <= 2 * k


def test_every_pair_of_positions_is_as_likely() -> None:
    words = ("a", "b", "c", "d")
    counts = Counter(versions(words, 1, "swap", str(key))[1] for key in range(3000))
    every = {swapped(words, *pair) for pair in combinations(range(4), 2)}
    assert set(counts) == every
    assert chisquare([counts[version] for version in sorted(every)]).pvalue > RARE


def test_the_second_swap_knows_nothing_of_the_first() -> None:
    words = ("a", "b", "c")
    pairs: Counter[tuple[object, object]] = Counter()
    for key in range(2700):
        _, once, twice = versions(words, 2, "swap", str(key))
        pairs[once, tuple(a == b for a, b in zip(once, twice, strict=True))] += 1
    assert len(pairs) == 9  # three first swaps by the position that the second leaves alone
    assert chisquare(list(pairs.values())).pvalue > RARE


def test_words_are_left_out_one_by_one_and_each_as_often() -> None:
    first: Counter[str] = Counter()
    for key in range(1800):
        found = versions(WORDS, 9, "drop", str(key))
        assert [len(version) for version in found] == [6, 5, 4, 3, 2, 1]  # one is always left
        for more, fewer in pairwise(found):
            assert fewer in set(combinations(more, len(fewer)))
        first[next(iter(set(WORDS) - set(found[1])))] += 1
    assert chisquare([first[word] for word in WORDS]).pvalue > RARE


def test_replaced_words_are_others_of_the_text_as_often_as_they_stand_there() -> None:
    put_in: Counter[str] = Counter()
    for key in range(1500):
        found = versions(WORDS, 9, "replace", str(key), UNIGRAM)
        assert [moved(version, WORDS) for version in found] == list(range(7))
        for before, after in pairwise(found):
            assert moved(before, after) == 1
        put_in[found[-1][0]] += 1  # in the place of `one`, which the text has not
        assert found[-1][4] != "lantern"
    assert set(put_in) == {"a", "kettle", "mason", "lantern"}
    expected = [1500 * share / 6 for share in (3, 1, 1, 1)]
    assert chisquare([put_in[word] for word in ("a", "kettle", "mason", "lantern")], expected).pvalue > RARE


def test_another_word_is_drawn_from_the_others_alone() -> None:
    counts = [UNIGRAM.other("kettle", lambda bound, n=number: n) for number in range(5)]  # type: ignore[misc]
    assert counts == ["a", "a", "a", "lantern", "mason"]


@pytest.mark.parametrize(
    ("words", "kind", "room"),
    [
        ((), "swap", 0),
        (("one",), "swap", 0),
        (("one", "heron"), "swap", 4),
        (("one",), "drop", 0),
        (("one", "heron"), "drop", 1),
        ((), "replace", 0),
        (("one", "heron"), "replace", 2),
    ],
)
def test_room_for_changes(words: tuple[str, ...], kind: str, room: int) -> None:
    assert len(versions(words, 4, kind, "0", UNIGRAM)) == room + 1


def test_a_text_of_one_word_has_no_other() -> None:
    assert versions(("kettle", "a"), 3, "replace", "0", Unigram(["a"]))[1:] == [("a", "a")]


@pytest.mark.parametrize("kind", KINDS)
def test_versions_depend_on_seed_kind_index_and_words_alone(kind: str) -> None:
    long = versions(WORDS, 5, kind, "3 7", UNIGRAM)
    assert versions(list(WORDS), 2, kind, "3 7", UNIGRAM) == long[:3]
    assert versions(WORDS, 5, kind, "3 8", UNIGRAM) != long
    assert versions(WORDS, 5, kind, "4 7", UNIGRAM) != long


def test_versions_stay_what_they_were() -> None:
    """A noisy text that was handed around must not change.

    The digest's first four words are 0.0767, 0.4743, 0.8661 and 0.5811 of 2^64: positions 0 and, of the five others,
    the one at 2 (0 and 3 change places); then 5 and 2.
    """
    assert versions(WORDS, 2, "swap", "0 0")[1:] == [
        ("the", "heron", "lifts", "one", "lantern", "upstairs"),
        ("the", "heron", "upstairs", "one", "lantern", "lifts"),
    ]


def test_another_kind() -> None:
    with pytest.raises(UsageError, match="no noise 'shuffle'; choose one of swap, drop, replace"):
        versions(WORDS, 1, "shuffle", "0")
