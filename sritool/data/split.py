"""One split of a corpus in memory: the ids of its sentences, and how ids of lines become them."""

from __future__ import annotations

from array import array
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from sritool.data.corpus_info import SplitInfo
from sritool.data.joined import PIECE, pieces_of
from sritool.data.sampling import seeded_choice
from sritool.data.tokenizer import EOS, UNK, IdArray, OffsetArray, Tokenizer, offsets_of

Ints = npt.NDArray[np.int64]


@dataclass(frozen=True, eq=False)
class Split:
    """Sentences as targets: word ids and then ``</s>``, which is missing where the sentence was cut.

    The arrays of a stored corpus are read-only views of its files, and each may be a `joined.Joined` of several.
    What goes over a whole split of any size takes them in pieces.

    Attributes:
        ids: All sentences in a row. Shape [predictions], int32.
        offsets: Where each sentence begins, and where the last one ends. Shape [sentences + 1], int64.
        labels: Index of each sentence's label in ``CorpusInfo.labels``. Shape [sentences], int64.
        word_counts: Original words of each sentence, ``</s>`` counted where it is there; None where every id is a
            word. Shape [sentences], int64.
    """

    ids: IdArray
    offsets: OffsetArray
    labels: Ints | None
    word_counts: Ints | None = None

    def __len__(self) -> int:
        return len(self.offsets) - 1

    @cached_property
    def lengths(self) -> Ints:
        """Predictions of each sentence, ``</s>`` included: [sentences] int64."""
        lengths = np.empty(len(self), np.int64)
        for begin in range(0, len(self), PIECE):
            lengths[begin : begin + PIECE] = np.diff(self.offsets[begin : begin + PIECE + 1])
        return lengths

    @property
    def words(self) -> Ints:
        """Original words of each sentence, ``</s>`` counted where it is there: [sentences] int64."""
        return self.lengths if self.word_counts is None else self.word_counts

    @property
    def predictions(self) -> int:
        """Predictions of the whole split, the denominator of perplexity."""
        return len(self.ids)

    @cached_property
    def ended(self) -> npt.NDArray[np.bool_]:
        """Whether each sentence has its ``</s>``, or was cut before it: [sentences] bool."""
        ended = np.empty(len(self), np.bool_)
        for begin in range(0, len(self), PIECE):
            last = self.offsets[begin + 1 : begin + PIECE + 1] - 1
            ended[begin : begin + PIECE] = self.ids[last] == EOS
        return ended

    def counts(self, types: int) -> Ints:
        """Return how often each id below `types` stands there: [types] int64."""
        return sum(
            (np.bincount(ids, minlength=types) for ids in pieces_of(self.ids)), np.zeros(types, np.int64)
        )

    def targets(self, index: int) -> IdArray:
        """Return the targets of one sentence, a view: [length] int32."""
        return self.ids[self.offsets[index] : self.offsets[index + 1]]

    def choice(self, count: int) -> Split:
        """Return a fixed random choice of `count` of its sentences, in their order; itself where it has no more."""
        if count >= len(self):
            return self
        chosen = seeded_choice(len(self), count)
        ids = [self.targets(int(index)) for index in chosen]
        labels = None if self.labels is None else self.labels[chosen]
        counts = None if self.word_counts is None else self.word_counts[chosen]
        return Split(np.concatenate(ids), offsets_of(self.lengths[chosen]), labels, counts)


class Parts(NamedTuple):
    """Lines cut into parts."""

    each: Ints  # parts of each line  [lines]
    lengths: Ints  # [parts]
    ends: npt.NDArray[np.bool_]  # whether a part is the last one of its line  [parts]


def chunked(lengths: Ints, longest: int) -> Parts:
    """Cut lines into parts of `longest` tokens, of which the last one has what is left.

    Args:
        lengths: Tokens of each line. Shape [lines].
        longest: Most tokens of a part.
    """
    count = np.maximum(-(-lengths // longest), 1).astype(np.int64)
    last = np.cumsum(count) - 1
    of_parts = np.full(int(count.sum()), longest, np.int64)
    of_parts[last] = lengths - (count - 1) * longest
    ends = np.zeros(len(of_parts), np.bool_)
    ends[last] = True
    return Parts(count, of_parts, ends)


class SplitBuilder:
    """A split that grows by some lines at a time, with counts of what is lost on the way.

    Memory is that of the ids (4 bytes each), and of lengths, words and labels (4 bytes a sentence each), until `take`
    hands them over.
    """

    def __init__(
        self, tokenizer: Tokenizer, max_length: int, drop_long: bool = False, chunk: bool = False
    ) -> None:
        """Begin without a sentence.

        Args:
            tokenizer: What made the ids.
            max_length: Most ids of a line.
            drop_long: Whether longer lines are dropped, not cut.
            chunk: Whether longer lines become several sentences, and nothing of them is lost.
        """
        self._tokenizer, self._max_length, self._drop_long = tokenizer, max_length, drop_long
        self._chunk, self._parts = chunk, 0
        self._oov = self._unknown = self._ends = self._too_long = self._longest = 0
        self._clear()

    def _clear(self) -> None:
        self._ids, self._lengths, self._words, self._labels = array("i"), array("i"), array("i"), array("i")

    @property
    def predictions(self) -> int:
        """Predictions that have not been taken."""
        return len(self._ids)

    def take(self) -> Split:
        """Return the sentences since the last call, and keep none of them; counts go on."""
        split = self.split()
        self._clear()
        return split

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
        over = lengths > self._max_length
        too_long = int(np.count_nonzero(over))
        self._too_long += too_long
        self._longest = max(self._longest, int(lengths.max(initial=0)))
        if too_long and self._chunk:
            parts = chunked(lengths, self._max_length)
            self._parts += int(parts.each[over].sum())
            words = None if words is None else self._words_of_parts(flat, words, parts)
            labels = None if labels is None else np.repeat(labels, parts.each)
            lengths, over = parts.lengths, ~parts.ends
        elif too_long:
            room = np.where(over, 0 if self._drop_long else self._max_length, lengths)
            place = np.arange(len(flat)) - np.repeat(offsets_of(lengths)[:-1], lengths)
            flat = flat[place < np.repeat(room, lengths)]
            kept = ~(over & self._drop_long)
            lengths, over = room[kept], over[kept]
            words = None if words is None else words[kept]
            labels = None if labels is None else labels[kept]
        unknown = int(np.count_nonzero(flat == UNK))
        lacking = int(np.count_nonzero(flat < 0))
        if lacking:
            flat = np.where(flat < 0, np.int32(UNK), flat)
        self._oov += lacking if words is None else unknown
        self._unknown += lacking + unknown
        ids = np.insert(flat, offsets_of(lengths)[1:][~over], EOS)
        self._ends += len(ids) - len(flat)
        lengths = lengths + ~over
        _append(self._ids, ids)
        _append(self._lengths, lengths)
        if words is not None:
            counts, bounds = words + ~over, offsets_of(lengths)
            for row in np.flatnonzero(over & (not self._chunk)):
                counts[row] = len(self._tokenizer.decode(ids[bounds[row] : bounds[row + 1]]).split())
            _append(self._words, counts)
        if labels is not None:
            _append(self._labels, labels)

    def _words_of_parts(self, flat: IdArray, words: Ints, parts: Parts) -> Ints:
        """Words that begin in each part, which add up to those of the whole lines: [parts]."""
        begun = np.concatenate(([0], np.cumsum(self._spaces[flat])))
        of_parts: Ints = np.diff(begun[offsets_of(parts.lengths)])
        first = offsets_of(parts.each)[:-1]
        of_parts[first] += words - np.add.reduceat(
            of_parts, first
        )  # a first word need have no space before it
        return np.maximum(of_parts, 0)

    @cached_property
    def _spaces(self) -> Ints:
        """Spaces in each piece, one before each word but perhaps the first: [ids]."""
        surfaces = map(self._tokenizer.surface, range(len(self._tokenizer)))
        return np.array([surface.count(" ") for surface in surfaces], np.int64)

    def split(self) -> Split:
        """Return the sentences so far."""
        offsets = offsets_of(np.frombuffer(self._lengths, np.int32))
        words = np.array(self._words, np.int64) if self._words else None
        labels = np.array(self._labels, np.int64) if self._labels else None
        return Split(np.frombuffer(self._ids, np.int32), offsets, labels, words)

    def info(self, split: Split, empty: int, cleaned: int) -> SplitInfo:
        """Return counts of the split that was made of it.

        Args:
            split: What `split` returned.
            empty: Lines without a word, which were left out before.
            cleaned: Lines whose control characters became spaces before.
        """
        return SplitInfo(
            sentences=len(split),
            words=sum(int(piece.sum()) for piece in pieces_of(split.words)) - self._ends,
            tokens=split.predictions - self._ends,
            predictions=split.predictions,
            unknown=self._unknown,
            oov=self._oov,
            empty=empty,
            dropped=self._too_long if self._drop_long else 0,
            truncated=0 if self._drop_long or self._chunk else self._too_long,
            cleaned=cleaned,
            longest=self._longest,
            chunked=self._too_long if self._chunk else 0,
            parts=self._parts,
        )


def _append(numbers: array[int], more: npt.NDArray[Any]) -> None:
    numbers.frombytes(more.astype(np.int32, copy=False).view(np.uint8).data)


def encode_split(tokenizer: Tokenizer, lines: Sequence[str], max_length: int) -> Split:
    """Encode sentences in memory; order and number are kept. The text is taken as it is: no lowercasing.

    Args:
        tokenizer: Text to ids.
        lines: The sentences. An empty one becomes ``</s>`` alone.
        max_length: Most words or pieces of a sentence. A longer one is cut, and then has no ``</s>``.
    """
    builder = SplitBuilder(tokenizer, max_length)
    flat, offsets = tokenizer.encode_many(lines)
    builder.add(flat, np.diff(offsets), None if tokenizer.kind == "word" else count_words(lines))
    return builder.split()


def count_words(lines: Sequence[str]) -> Ints:
    """Return the number of words of each line: [lines]."""
    return np.fromiter((len(line.split()) for line in lines), dtype=np.int64, count=len(lines))
