"""Token ids of lines to a split's targets: long lines cut or dropped, ``</s>`` after the others, losses counted."""

from __future__ import annotations

from array import array
from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from sritool.data.info import SplitInfo
from sritool.data.store import Split
from sritool.data.tokenizer import EOS, UNK, IdArray, Tokenizer, offsets_of

Ints = npt.NDArray[np.int64]


class SplitBuilder:
    """One split as it is encoded, some lines at a time.

    Memory is that of the ids (4 bytes each), and of lengths, words and labels (4 bytes a sentence each). The arrays
    grow in place.

    Attributes:
        empty: Lines without a word, counted by whoever left them out.
        cleaned: Lines whose control characters became spaces, counted likewise.
    """

    def __init__(self, tokenizer: Tokenizer, max_length: int, drop_long: bool = False) -> None:
        self.tokenizer, self.max_length, self.drop_long = tokenizer, max_length, drop_long
        self.ids, self.lengths, self.words, self.labels = array("i"), array("i"), array("i"), array("i")
        self.oov = self.unknown = self.ends = self.dropped = self.truncated = self.longest = 0
        self.empty = self.cleaned = 0

    def add(
        self, flat: IdArray, lengths: Ints, words: Ints | None = None, labels: IdArray | None = None
    ) -> None:
        """Add lines.

        Args:
            flat: Ids of all lines in a row, -1 for a word that the vocabulary lacks. Shape [tokens].
            lengths: Ids of each line. Shape [lines].
            words: Words of each line's text, where a token is a piece. Shape [lines].
            labels: The label of each line. Shape [lines].
        """
        over = lengths > self.max_length
        self.longest = max(self.longest, int(lengths.max(initial=0)))
        too_long = int(np.count_nonzero(over))
        self.truncated += 0 if self.drop_long else too_long
        self.dropped += too_long if self.drop_long else 0
        if too_long:
            room = np.where(over, 0, lengths) if self.drop_long else np.minimum(lengths, self.max_length)
            place = np.arange(len(flat)) - np.repeat(offsets_of(lengths)[:-1], lengths)
            flat = flat[place < np.repeat(room, lengths)]
            kept = ~over if self.drop_long else np.ones(len(over), bool)
            lengths, over = room[kept], over[kept]
            words = None if words is None else words[kept]
            labels = None if labels is None else labels[kept]
        unknown = int(np.count_nonzero(flat == UNK))
        lost = flat < 0
        lacking = int(np.count_nonzero(lost))
        if lacking:
            flat = np.where(lost, np.int32(UNK), flat)
        self.oov += lacking if words is None else unknown
        self.unknown += lacking + unknown
        ids = np.insert(flat, offsets_of(lengths)[1:][~over], EOS)
        self.ends += len(ids) - len(flat)
        lengths = lengths + ~over
        _append(self.ids, ids)
        _append(self.lengths, lengths)
        if words is not None:
            counts = words + 1
            bounds = offsets_of(lengths)
            for row in np.flatnonzero(over):
                counts[row] = len(self.tokenizer.decode(ids[bounds[row] : bounds[row + 1]]).split())
            _append(self.words, counts)
        if labels is not None:
            _append(self.labels, labels)

    def split(self) -> Split:
        """Return the sentences so far."""
        offsets = offsets_of(np.frombuffer(self.lengths, np.int32))
        words = np.array(self.words, np.int64) if self.words else np.diff(offsets)
        labels = np.array(self.labels, np.int64) if self.labels else None
        return Split(ids=np.frombuffer(self.ids, np.int32), offsets=offsets, labels=labels, words=words)

    def info(self, split: Split) -> SplitInfo:
        """Return counts of the split that was made of it."""
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


def _append(numbers: array[int], more: npt.NDArray[Any]) -> None:
    numbers.frombytes(more.astype(np.int32, copy=False).view(np.uint8).data)


def encode_split(tokenizer: Tokenizer, lines: Sequence[str], max_length: int) -> Split:
    """Encode sentences in memory; order and number are kept.

    A longer line than `max_length` words (or pieces) is cut, and then has no ``</s>``. An empty line is a sentence of
    ``</s>`` alone. The text is taken as it is: no lowercasing.
    """
    builder = SplitBuilder(tokenizer, max_length)
    flat, offsets = tokenizer.encode_many(lines)
    builder.add(flat, np.diff(offsets), None if tokenizer.kind == "word" else count_words(lines))
    return builder.split()


def count_words(lines: Sequence[str]) -> Ints:
    """Return the number of words of each line: [lines]."""
    return np.fromiter((len(line.split()) for line in lines), dtype=np.int64, count=len(lines))
