"""Seeded selection of sentences, by index or by text.

Selection by text ranks sentences by a hash of seed and text. Equal sentences therefore stay together, the order and
number of the others do not matter, and no library's random generator can change the result. Sentences that differ
only in white space or case count as equal, because preparation may make them equal.
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


def seeded_choice(
    of: int, count: int | None, seed: int | Sequence[int] = 0, among: Indices | None = None
) -> Indices:
    """Return a random choice of numbers below `of`, ascending; a larger `count` includes the same numbers.

    `count` numbers are chosen, or all if None; only those in `among`, if given. Choices that must agree use the
    default seed.
    """
    order = np.random.default_rng(seed).permutation(of)
    if among is not None:
        order = order[np.isin(order, among)]
    return np.sort(order[:count])


def sample(part: Sentences, size: int, seed: int) -> Sentences:
    """Return `size` random sentences in their original order, or all if there are no more."""
    if len(part.texts) <= size:
        return part
    # The hash includes the index, so that the choice among equal sentences is random too.
    ranks = shuffle_keys((f"{i} {comparison_form(text)}".encode() for i, text in enumerate(part.texts)), seed)
    return part.take(np.sort(np.argsort(ranks, kind="stable")[:size]))


def unique(splits: Mapping[str, Sentences]) -> dict[str, Sentences]:
    """Keep each sentence once: in test rather than valid, in valid rather than train."""
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
    """Divide `part` into ``train`` and the splits of `shares`; errors as in `borders`."""
    keys = shuffle_keys((comparison_form(text).encode() for text in part.texts), seed)
    found = borders(lambda: [keys], shares, seed, where).places(keys)
    names = ("train", *shares)
    return {name: part.take(np.flatnonzero(found == number)) for number, name in enumerate(names)}


def shuffle_keys(sentences: Iterable[bytes], seed: int) -> Keys:
    """Return a random key for each sentence, to shuffle by; equal sentences have equal keys.

    Sentences are in `normalise.comparison_form`, in UTF-8. The keys have shape [sentences], uint64.
    """
    keyed = blake2b(digest_size=8, key=str(seed).encode()[:64])
    digests = []
    for sentence in sentences:
        digest = keyed.copy()
        digest.update(sentence)
        digests.append(digest.digest())
    return np.frombuffer(b"".join(digests), dtype=">u8").astype(np.uint64)


class Borders(NamedTuple):
    """Ranges of keys of each split: the first split has all keys below the first border, and so on."""

    keys: Keys  # smallest key beyond each split but train  [splits] uint64
    counts: Sequence[int]  # sentences of train and of each other split
    empty: np.uint64  # the key of an empty line, which stays in train

    def places(self, keys: Keys) -> npt.NDArray[np.uint8]:
        """Return the split of each sentence by its key, 0 for train, 1 for the first share, …: [sentences], uint8."""
        found = np.searchsorted(self.keys, keys, side="right") + 1
        found[(found > len(self.keys)) | (keys == self.empty)] = 0
        return found.astype(np.uint8)


def borders(
    keys: Callable[[], Iterable[Keys]], shares: Mapping[str, float], seed: int, where: str
) -> Borders:
    """Return how keys divide sentences among splits.

    Each split gets at least one sentence. Equal sentences go to the same split, so that no test sentence is trained
    on. Empty lines stay in train. Memory holds the smallest keys, 1.5 times as many as the new splits need, or all
    keys if some sentences recur very often.

    Args:
        keys: Returns the result of `shuffle_keys` with this seed, in parts; called several times.
        shares: The share of each split.
        seed: The seed of the keys.
        where: Name of the text in errors.

    Raises:
        DataError: There are too few different sentences.
    """
    empty = shuffle_keys([b""], seed)[0]
    total = sum(int(np.count_nonzero(part != empty)) for part in keys())
    for part_of_all in (1.5 * sum(shares.values()), 1.0):
        last = np.uint64(min(int(part_of_all * 2**64), 2**64 - 1))  # keys are uniform
        low = [part[(part <= last) & (part != empty)] for part in keys()]
        distinct, counts = np.unique(np.concatenate([np.zeros(0, np.uint64), *low]), return_counts=True)
        filled = np.concatenate(
            ([0], np.cumsum(counts))
        )  # number of sentences with the first n distinct keys
        ends, sure = _divide(filled, total, shares)
        if sure:
            break
    different = len(distinct)
    if different < len(shares) + 2:
        found = {0: "no sentence", 1: f"one sentence only{f', {total:,} times' if total > 1 else ''}"}
        many = found.get(different, f"{different} different sentences in {total:,} lines")
        files = " and ".join(f"--{split} FILE" for split in shares)
        raise DataError(
            f"{where} has {many}, too few to cut {' and '.join(shares)} from it; give a text with more different "
            f"sentences, or {files}"
        )
    sizes = np.diff(filled[ends]).tolist()
    return Borders(distinct[ends[1:]], [total - sum(sizes), *sizes], empty)


def _divide(filled: Indices, total: int, shares: Mapping[str, float]) -> tuple[list[int], bool]:
    """Return where each split ends among the smallest distinct keys, and whether more keys cannot change that.

    `filled` counts the sentences with the first n of these keys [keys + 1], and `total` those with any key.
    """
    ends, sure = [0], True
    for place, share in enumerate(shares.values(), 1):
        wanted = filled[ends[-1]] + max(round(share * total), 1)
        most = len(filled) - 3 - (len(shares) - place)  # leave two for train and one for each later split
        found = int(np.searchsorted(filled, wanted))
        sure = sure and found <= most
        ends.append(max(min(found, most), ends[-1]))
    return ends, sure
