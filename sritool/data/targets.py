"""Token ids of lines to a split's targets: long lines cut or dropped, ``</s>`` after the others, losses counted."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, TypeVar

import numpy as np
import numpy.typing as npt

from sritool.data.info import SplitInfo
from sritool.data.store import Split
from sritool.data.tokenizer import EOS, UNK, IdArray, OffsetArray, Tokenizer, offsets_of

LARGE = 1 << 23  # numbers of four bytes: an array of 32 MiB is given back to the system when it is done with

Ints = npt.NDArray[np.int64]
Rows = npt.NDArray[np.bool_]
T = TypeVar("T", bound="np.integer[Any]")


class Parts:
    """Numbers that come some at a time, kept in arrays so large that their memory goes back to the system."""

    def __init__(self) -> None:
        self._small: list[IdArray] = []
        self._large: list[IdArray] = []
        self._waiting = 0

    def append(self, part: IdArray) -> None:
        """Put more at the end."""
        self._small.append(part)
        self._waiting += len(part)
        if self._waiting >= LARGE:
            self._large.append(np.concatenate(self._small) if len(self._small) > 1 else part)
            self._small, self._waiting = [], 0

    def joined(self, dtype: type[T]) -> npt.NDArray[T]:
        """All in a row. The parts are given up as it goes, so that memory is not taken twice."""
        parts = [*self._large, *self._small]
        self._large, self._small = [], []
        whole = np.empty(sum(map(len, parts)), dtype=dtype)
        end = len(whole)
        while parts:
            part = parts.pop()
            whole[end - len(part) : end] = part
            end -= len(part)
        return whole


class Targets:
    """One split as it is encoded, some lines at a time.

    Memory is that of the ids (4 bytes each), of lengths, words and labels (4 bytes a sentence each), and of one
    batch.
    """

    def __init__(self, tokenizer: Tokenizer, max_length: int, drop_long: bool = False) -> None:
        self.tokenizer, self.max_length, self.drop_long = tokenizer, max_length, drop_long
        self.ids, self.lengths, self.words, self.labels = Parts(), Parts(), Parts(), Parts()
        self.has_words = self.has_labels = False
        self.oov = self.unknown = self.ends = self.dropped = self.truncated = self.longest = 0
        self.empty = self.cleaned = 0

    def add(
        self, flat: IdArray, lengths: Ints, words: Ints | None = None, labels: IdArray | None = None
    ) -> None:
        """Lines in a row.

        Args: flat [tokens] int32, -1 for a word that the vocabulary lacks; it is written to. lengths [lines].
              words [lines]: of the original text, where a token is a piece; labels [lines].
        """
        over = lengths > self.max_length
        kept = ~over if self.drop_long else np.ones(len(lengths), dtype=bool)
        self.longest = max(self.longest, int(lengths.max(initial=0)))
        self.dropped += int((~kept).sum())
        self.truncated += int((over & kept).sum())
        if over.any():
            flat = flat[self._within(len(flat), lengths, over)]
        lost = flat < 0 if words is None else flat == UNK
        self.oov += int(lost.sum())
        flat[lost] = UNK
        ids, bounds = _with_ends(flat, np.minimum(lengths, self.max_length)[kept], ~over[kept])
        self.unknown += int((flat == UNK).sum())
        self.ends += len(ids) - len(flat)
        self.ids.append(ids)
        self.lengths.append(np.diff(bounds).astype(np.int32))
        self.has_words, self.has_labels = words is not None, labels is not None
        if words is not None:
            counts = (words + 1)[kept]
            for row in np.flatnonzero(over[kept]):
                counts[row] = len(self.tokenizer.decode(ids[bounds[row] : bounds[row + 1]]).split())
            self.words.append(counts.astype(np.int32))
        if labels is not None:
            self.labels.append(labels[kept])

    def _within(self, size: int, lengths: Ints, over: Rows) -> Rows:
        """Which tokens stay: [tokens]."""
        stay = np.ones(size, dtype=bool)
        offsets = offsets_of(lengths)
        first = 0 if self.drop_long else self.max_length
        for begin, end in zip((offsets[:-1][over] + first).tolist(), offsets[1:][over].tolist(), strict=True):
            stay[begin:end] = False
        return stay

    def split(self) -> Split:
        """The sentences so far; what was kept of them is given up."""
        offsets = offsets_of(self.lengths.joined(np.int64))
        words = self.words.joined(np.int64) if self.has_words else np.diff(offsets)
        labels = self.labels.joined(np.int64) if self.has_labels else None
        return Split(ids=self.ids.joined(np.int32), offsets=offsets, labels=labels, words=words)

    def info(self, split: Split) -> SplitInfo:
        """Counts of the split that was made of it."""
        return SplitInfo(
            sentences=len(split),
            words=int(split.words.sum()) - self.ends,
            tokens=split.predictions - self.ends,
            predictions=split.predictions,
            unknown=self.unknown,
            oov=self.oov,
            empty=self.empty,
            dropped=self.dropped,
            truncated=self.truncated,
            cleaned=self.cleaned,
            longest=self.longest,
        )


def encode_split(tokenizer: Tokenizer, lines: Sequence[str], max_length: int) -> Split:
    """Encode sentences in memory; order and number are kept.

    A longer line than ``max_length`` words (or pieces) is cut, and then has no ``</s>``. An empty line is a
    sentence of ``</s>`` alone. The text is taken as it is: no lowercasing.
    """
    targets = Targets(tokenizer, max_length)
    flat, offsets = tokenizer.encode_many(lines)
    targets.add(flat, np.diff(offsets), None if tokenizer.kind == "word" else words_of(lines))
    return targets.split()


def words_of(lines: Sequence[str]) -> Ints:
    """Words of each line: [lines]."""
    return np.fromiter((len(line.split()) for line in lines), dtype=np.int64, count=len(lines))


def _with_ends(flat: IdArray, lengths: Ints, ended: Rows) -> tuple[IdArray, OffsetArray]:
    """Put ``</s>`` after each sentence that is ``ended`` (not cut)."""
    offsets = offsets_of(lengths + ended)
    ids = np.full(int(offsets[-1]), EOS, dtype=np.int32)
    inside = np.ones(len(ids), dtype=bool)
    inside[offsets[1:][ended] - 1] = False
    ids[inside] = flat
    return ids, offsets
