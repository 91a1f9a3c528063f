"""Seeded choices among sentences: by their numbers, or by each sentence's text alone.

By text, sentences are ranked by a hash of seed and text. So equal sentences always fall together, order and number of
the others do not matter, and no library's generator can change the outcome. Sentences that differ in white
space or case only count as equal: later they may be.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from hashlib import blake2b
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from sritool.data.normalise import comparison_form
from sritool.data.sentences import Sentences
from sritool.errors import DataError

Keys = npt.NDArray[np.uint64]
Indices = npt.NDArray[np.int64]
_BIN_BITS = 16


def seeded_choice(
    of: int, count: int | None, seed: int | Sequence[int] = 0, among: Indices | None = None
) -> Indices:
    """Return a random choice of the numbers below `of`, ascending; a larger choice with one seed holds the smaller.

    Args:
        of: How many there are.
        count: How many are chosen; None, or more than there are: all.
        seed: Of the order in which they are taken. Choices that have to agree all have the usual one.
        among: Only these may be chosen.
    """
    order = np.random.default_rng(seed).permutation(of)
    if among is not None:
        order = order[np.isin(order, among)]
    return np.sort(order[:count])


def sample(part: Sentences, size: int, seed: int) -> Sentences:
    """Return some sentences at random, in their original order.

    Args:
        part: The sentences.
        size: How many are chosen; all where there are no more.
        seed: Of the choice.
    """
    if len(part.texts) <= size:
        return part
    # The index in the hash, so that which of several equal sentences is chosen is random too.
    ranks = shuffle_keys((f"{i} {comparison_form(text)}".encode() for i, text in enumerate(part.texts)), seed)
    return part.take(np.sort(np.argsort(ranks, kind="stable")[:size]))


def unique(splits: Mapping[str, Sentences]) -> dict[str, Sentences]:
    """Return each sentence once: test keeps it before valid, valid before train."""
    seen: set[str] = set()
    kept: dict[str, Sentences] = {}
    for name in sorted(splits, key=("test", "valid", "train").index):
        first = []
        for index, text in enumerate(map(comparison_form, splits[name].texts)):
            if text not in seen:
                seen.add(text)
                first.append(index)
        kept[name] = splits[name].take(first)
    return {name: kept[name] for name in splits}


def split_by_ratio(
    part: Sentences, shares: Mapping[str, float], seed: int, where: str
) -> dict[str, Sentences]:
    """Return `part` as ``train``, and the splits of `shares` cut from it; arguments and errors as `borders`."""
    keys = shuffle_keys((comparison_form(text).encode() for text in part.texts), seed)
    found = borders(lambda: [keys], shares, seed, where).places(keys)
    names = ("train", *shares)
    return {name: part.take(np.flatnonzero(found == number)) for number, name in enumerate(names)}


def shuffle_keys(sentences: Iterable[bytes], seed: int) -> Keys:
    """Return a random number for each sentence, by which it is shuffled; equal sentences have equal ones.

    Args:
        sentences: What `normalise.comparison_form` returns of them, in UTF-8.
        seed: Of the order.

    Returns:
        Shape [sentences], uint64.
    """
    keyed = blake2b(digest_size=8, key=str(seed).encode()[:64])
    digests = []
    for sentence in sentences:
        digest = keyed.copy()
        digest.update(sentence)
        digests.append(digest.digest())
    return np.frombuffer(b"".join(digests), dtype=">u8").astype(np.uint64)


class Borders(NamedTuple):
    """Where splits lie among the keys: that of the first name has all below the first border, and so on.

    Attributes:
        keys: The least key that is beyond each split but train. Shape [splits], uint64.
        counts: Sentences of each split: train, and those of the shares.
        empty: The key of an empty line, which stays in train.
    """

    keys: Keys
    counts: Sequence[int]
    empty: np.uint64

    def places(self, keys: Keys) -> npt.NDArray[np.uint8]:
        """Return the split of each sentence by its key, 0 for train, 1 for the first one of the shares, and so on.

        Args:
            keys: What `shuffle_keys` returns. Shape [sentences].

        Returns:
            Shape [sentences], uint8.
        """
        found = np.searchsorted(self.keys, keys, side="right") + 1
        found[(found > len(self.keys)) | (keys == self.empty)] = 0
        return found.astype(np.uint8)


def borders(
    keys: Callable[[], Iterable[Keys]], shares: Mapping[str, float], seed: int, where: str
) -> Borders:
    """Return how sentences are divided among splits by their keys.

    Each split gets one sentence at least. Equal sentences all go to one split: no test sentence has been trained
    on. Empty lines stay in train. Memory is that of the smallest keys, somewhat more than go to the new splits.

    Args:
        keys: Gives what `shuffle_keys` returned, some at a time; asked several times.
        shares: The share of each split.
        seed: Of the keys.
        where: What errors call the text.

    Raises:
        DataError: There are too few different sentences.
    """
    empty = shuffle_keys([b""], seed)[0]
    bins = np.zeros(1 << _BIN_BITS, np.int64)
    for part in keys():
        bins += np.bincount(_bin_of(part[part != empty]), minlength=len(bins))
    total = int(bins.sum())
    enough = int(np.searchsorted(np.cumsum(bins), 1.5 * sum(shares.values()) * total))
    for last in (enough, len(bins)):
        low = np.concatenate(
            [np.zeros(0, np.uint64), *(part[(_bin_of(part) <= last) & (part != empty)] for part in keys())]
        )
        distinct, counts = np.unique(low, return_counts=True)
        filled = np.concatenate(([0], np.cumsum(counts)))  # sentences among the first of the distinct ones
        different = len(distinct) + int(np.count_nonzero(bins[last + 1 :]))  # at least
        ends, sure = _divide(filled, total, shares, different)
        if sure:
            break
    if different < len(shares) + 2:
        there = {0: "no sentence", 1: "one sentence only"}.get(different, f"{different} different sentences")
        raise DataError(
            f"{where} has {there}, too few to cut {' and '.join(shares)} from it; give a longer file"
        )
    sizes = np.diff(filled[ends]).tolist()
    return Borders(distinct[ends[1:]], [total - sum(sizes), *sizes], empty)


def _divide(
    filled: Indices, total: int, shares: Mapping[str, float], different: int
) -> tuple[list[int], bool]:
    """Return where each split ends among the smallest different keys, and whether more keys could not change that.

    Args:
        filled: Sentences among the first of these keys. Shape [keys + 1].
        total: All sentences.
        shares: The share of each split.
        different: Different keys of all sentences, or fewer.
    """
    ends, sure = [0], True
    for place, share in enumerate(shares.values(), 1):
        wanted = filled[ends[-1]] + max(round(share * total), 1)
        most = different - 2 - (len(shares) - place)  # two are left for train, one for each split to come
        found = int(np.searchsorted(filled, wanted))
        sure = sure and found <= min(most, len(filled) - 2)
        ends.append(max(min(found, most, len(filled) - 1), ends[-1]))
    return ends, sure


def _bin_of(keys: Keys) -> npt.NDArray[np.int64]:
    """A key's first bits, by which the smallest ones are told."""
    return (keys >> np.uint64(64 - _BIN_BITS)).astype(np.int64)


def merged(parts: Sequence[Sentences]) -> Sentences:
    """Return sentences of several files one after the other; labelled only if all of them are."""
    labels = None
    if all(part.labels is not None for part in parts):
        labels = [label for part in parts for label in part.labels or ()]
    return Sentences([text for part in parts for text in part.texts], labels)
