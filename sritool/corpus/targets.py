"""Token ids of lines to a split's targets: long lines cut or dropped, ``</s>`` after the others, losses counted."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, TypeVar

import numpy as np
import numpy.typing as npt

from sritool.corpus.store import Split, SplitInfo
from sritool.corpus.tokenizer import EOS, UNK, IdArray, OffsetArray, Tokenizer, offsets_of

Ints = npt.NDArray[np.int64]
Rows = npt.NDArray[np.bool_]
T = TypeVar("T", bound="np.integer[Any]")


class Targets:
    """One split as it is encoded, some lines at a time.

    Memory is that of the ids (4 bytes each), of lengths, words and labels (4 bytes a sentence each), and of one
    batch.
    """

    def __init__(self, tokenizer: Tokenizer, max_length: int, drop_long: bool = False) -> None:
        self.tokenizer, self.max_length, self.drop_long = tokenizer, max_length, drop_long
        self.ids: list[IdArray] = []
        self.lengths: list[IdArray] = []
        self.words: list[IdArray] = []
        self.labels: list[IdArray] = []
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
        offsets = offsets_of(joined(self.lengths, np.int64))
        words = joined(self.words, np.int64) if self.words else np.diff(offsets)
        labels = joined(self.labels, np.int64) if self.labels else None
        return Split(ids=joined(self.ids, np.int32), offsets=offsets, labels=labels, words=words)

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


def joined(parts: list[npt.NDArray[np.int32]], dtype: type[T]) -> npt.NDArray[T]:
    """Parts in a row. The list is emptied as it goes: so that memory is not taken twice."""
    whole = np.empty(sum(map(len, parts)), dtype=dtype)
    end = len(whole)
    while parts:
        part = parts.pop()
        whole[end - len(part) : end] = part
        end -= len(part)
    return whole


def _with_ends(flat: IdArray, lengths: Ints, ended: Rows) -> tuple[IdArray, OffsetArray]:
    """Put ``</s>`` after each sentence that is ``ended`` (not cut)."""
    offsets = offsets_of(lengths + ended)
    ids = np.full(int(offsets[-1]), EOS, dtype=np.int32)
    inside = np.ones(len(ids), dtype=bool)
    inside[offsets[1:][ended] - 1] = False
    ids[inside] = flat
    return ids, offsets
