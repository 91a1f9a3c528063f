"""Noise on sentences: swapped, dropped or replaced words.

Version k of a sentence is version k − 1 with one more change, so that a curve over k follows the same sentences with
increasing noise. The changes depend only on seed, kind, index and words: not on a model, a library's random
generator, or other sentences (except for the words that `replace` inserts).

Source: the swaps are those of Pang et al. 2021, section 4.2.
"""

from __future__ import annotations

from bisect import bisect_right
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from hashlib import blake2b
from itertools import accumulate, count, islice

from sritool.errors import UsageError

Words = tuple[str, ...]

KINDS = ("swap", "drop", "replace")
_BITS = 64  # bits of a random number


class Unigram:
    """Words of a text, drawn with their frequencies in it."""

    def __init__(self, sentences: Iterable[str]) -> None:
        counts = Counter(word for text in sentences for word in text.split())
        self._words = sorted(counts)  # so that the order of sentences does not matter
        self._ends = [0, *accumulate(counts[word] for word in self._words)]
        self._place = {word: index for index, word in enumerate(self._words)}

    def has_other(self, word: str) -> bool:
        """Return whether there is a word other than this one."""
        return len(self._words) > (word in self._place)

    def other(self, word: str, below: Callable[[int], int]) -> str:
        """Draw a word of the text other than this one; `below` draws a whole number below its argument."""
        begin = end = 0
        if word in self._place:
            place = self._place[word]
            begin, end = self._ends[place], self._ends[place + 1]
        number = below(self._ends[-1] - (end - begin))
        if number >= begin:
            number += end - begin
        return self._words[bisect_right(self._ends, number) - 1]


def versions(
    words: Sequence[str], largest: int, kind: str, key: str, unigram: Unigram | None = None
) -> list[Words]:
    """Return a sentence with 0, 1, …, `largest` changes; fewer versions if no more changes are possible.

    `swap` exchanges the words at two distinct random positions, which takes at least two words. A later swap may undo
    an earlier one, and equal words may be swapped. `drop` removes one more word, but never the last one.
    `replace` replaces one more of the original words by another word from `unigram`.

    Args:
        words: The sentence.
        largest: Maximum number of changes.
        kind: One of `KINDS`.
        key: Seed and index of the sentence; together with kind and words it determines the random numbers.
        unigram: Source of the words that `replace` inserts.

    Returns:
        At most largest + 1 versions, the sentence itself first.

    Raises:
        UsageError: The kind does not exist.
    """
    check_kind(kind)
    below = _below(f"{key} {kind} {' '.join(words)}")
    changes = {"swap": _swaps, "drop": _drops}
    if kind in changes:
        noisy = changes[kind](tuple(words), below)
    else:
        noisy = _replacements(tuple(words), below, unigram or Unigram([]))
    return [tuple(words), *islice(noisy, largest)]


def check_kind(kind: str) -> None:
    """Raise a UsageError if the kind of noise does not exist."""
    if kind not in KINDS:
        raise UsageError(f"no noise {kind!r}; choose one of {', '.join(KINDS)}")


def _swaps(words: Words, below: Callable[[int], int]) -> Iterator[Words]:
    changed = list(words)
    while len(changed) > 1:
        first, second = below(len(changed)), below(len(changed) - 1)
        second += second >= first
        changed[first], changed[second] = changed[second], changed[first]
        yield tuple(changed)


def _drops(words: Words, below: Callable[[int], int]) -> Iterator[Words]:
    left = list(words)
    while len(left) > 1:
        del left[below(len(left))]
        yield tuple(left)


def _replacements(words: Words, below: Callable[[int], int], unigram: Unigram) -> Iterator[Words]:
    changed = list(words)
    unchanged = [place for place, word in enumerate(words) if unigram.has_other(word)]
    while unchanged:
        place = unchanged.pop(below(len(unchanged)))
        changed[place] = unigram.other(words[place], below)
        yield tuple(changed)


def _below(key: str) -> Callable[[int], int]:
    """Return a function that draws successive whole numbers from a key: uniform in [0, n) up to n·2^−64."""
    numbers = _numbers(key)
    return lambda bound: (next(numbers) * bound) >> _BITS


def _numbers(key: str) -> Iterator[int]:
    for block in count():
        digest = blake2b(f"{block} {key}".encode()).digest()
        for begin in range(0, len(digest), _BITS // 8):
            yield int.from_bytes(digest[begin : begin + _BITS // 8], "little")
