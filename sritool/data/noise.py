"""Noise on sentences, words in and words out: swaps, words left out, words replaced.

Version k of a sentence is version k − 1 with one more change, so that curves over k are of the same sentences, ever
noisier. The changes depend on seed, kind, index and words alone: not on a model, the other sentences (but for the
words that `replace` puts in), or any library's generator.

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
_BITS = 64  # of a random number


class Unigram:
    """Words of a text, each drawn as often as it stands there."""

    def __init__(self, sentences: Iterable[str]) -> None:
        counts = Counter(word for text in sentences for word in text.split())
        self._words = sorted(counts)  # so that the order of sentences does not matter
        self._ends = [0, *accumulate(counts[word] for word in self._words)]
        self._place = {word: index for index, word in enumerate(self._words)}

    def has_other(self, word: str) -> bool:
        """Return whether there is another word than this."""
        return len(self._words) > (word in self._place)

    def other(self, word: str, below: Callable[[int], int]) -> str:
        """Return a word of the text that is not this one; `below` draws a whole number below its argument."""
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
    """Return a sentence with 0, 1, …, `largest` changes; fewer versions where it has no room for more.

    `swap` exchanges the words at two distinct random positions, which takes two words or more. A later swap may undo
    an earlier one, and equal words may change places. `drop` leaves out one more word, never the last one left.
    `replace` puts another word of `unigram` in the place of one that is still its own.

    Args:
        words: The sentence.
        largest: The most changes.
        kind: One of `KINDS`.
        key: What the random numbers depend on beside kind and words: seed and index of the sentence.
        unigram: Where the words that `replace` puts in are drawn from.

    Returns:
        At most largest + 1 versions, the sentence itself first.

    Raises:
        UsageError: There is no such kind.
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
    """Raise a UsageError unless there is noise of this kind."""
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
    own = [place for place, word in enumerate(words) if unigram.has_other(word)]
    while own:
        place = own.pop(below(len(own)))
        changed[place] = unigram.other(words[place], below)
        yield tuple(changed)


def _below(key: str) -> Callable[[int], int]:
    """Return what draws whole numbers from a key, one after the other: uniform in [0, n) up to n·2^−64."""
    numbers = _numbers(key)
    return lambda bound: (next(numbers) * bound) >> _BITS


def _numbers(key: str) -> Iterator[int]:
    for block in count():
        digest = blake2b(f"{block} {key}".encode()).digest()
        for begin in range(0, len(digest), _BITS // 8):
            yield int.from_bytes(digest[begin : begin + _BITS // 8], "little")
