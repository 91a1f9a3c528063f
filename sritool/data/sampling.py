"""Seeded choices among sentences: by their numbers, or by each sentence's text alone.

By text, sentences are ranked by a hash of seed and text. So equal sentences always fall together, order and number of
the others do not matter, and no library's generator can change the outcome. Sentences that differ in white
space or case only count as equal: later they may be.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from hashlib import blake2b

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
    """Return `part` as ``train``, and the splits of `shares` cut from it; arguments and errors as `splits_by_key`."""
    found = splits_by_key(
        shuffle_keys((comparison_form(text).encode() for text in part.texts), seed), shares, seed, where
    )
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


def splits_by_key(keys: Keys, shares: Mapping[str, float], seed: int, where: str) -> npt.NDArray[np.uint8]:
    """Return the split of each sentence by its key: 0 for train, 1 for the first one of ``shares``, and so on.

    Each split gets one sentence at least. Equal sentences all go to one split: no test sentence has been trained
    on. Empty lines stay in train.

    Args:
        keys: What `shuffle_keys` returns. Shape [sentences].
        shares: The share of each split.
        seed: Of the keys.
        where: What errors call the text.

    Returns:
        Shape [sentences], uint8.

    Raises:
        DataError: There are too few different sentences.
    """
    empty = shuffle_keys([b""], seed)[0]
    distinct, counts = np.unique(keys[keys != empty], return_counts=True)
    if len(distinct) < len(shares) + 2:
        found = {0: "no sentence", 1: "one sentence only"}.get(
            len(distinct), f"{len(distinct)} different sentences"
        )
        raise DataError(
            f"{where} has {found}, too few to cut {' and '.join(shares)} from it; give a longer file"
        )
    filled = np.concatenate(([0], np.cumsum(counts)))  # sentences among the first of the distinct ones
    ends = [0]
    for place, share in enumerate(shares.values(), 1):
        wanted = filled[ends[-1]] + max(round(share * int(filled[-1])), 1)
        most = len(distinct) - 2 - (len(shares) - place)  # two are left for train, one for each split to come
        ends.append(max(min(int(np.searchsorted(filled, wanted)), most), ends[-1]))
    place_of = np.searchsorted(distinct[ends[1:]], keys, side="right") + 1
    place_of[(place_of > len(shares)) | (keys == empty)] = 0
    return place_of.astype(np.uint8)


def merged(parts: Sequence[Sentences]) -> Sentences:
    """Return sentences of several files one after the other; labelled only if all of them are."""
    labels = None
    if all(part.labels is not None for part in parts):
        labels = [label for part in parts for label in part.labels or ()]
    return Sentences([text for part in parts for text in part.texts], labels)
