"""One split of a corpus in memory, and the builder that makes it from the ids of lines."""

from __future__ import annotations

from array import array
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from sritool.data.arrays import PIECE, pieces_of
from sritool.data.corpus_info import SplitInfo
from sritool.data.options import PrepareOptions
from sritool.data.sampling import seeded_choice
from sritool.data.tokenizer import EOS, UNK, IdArray, OffsetArray, Tokenizer, offsets_of

Ints = npt.NDArray[np.int64]


@dataclass(frozen=True, eq=False)
class Split:
    """Sentences as targets: word ids followed by ``</s>``, which is missing if the sentence was cut.

    The arrays of a stored corpus are read-only views of its files. With several files, ids and offsets are
    `arrays.Joined`, which code that reads a whole split takes in pieces; labels and word counts are copied.
    """

    ids: IdArray  # all sentences, concatenated  [predictions] int32
    offsets: OffsetArray  # start of each sentence, and end of the last one  [sentences + 1] int64
    labels: Ints | None  # index of each sentence's label in ``CorpusInfo.labels``  [sentences] int64
    # Original words of each sentence, plus </s> if present; None: every id is a word.  [sentences] int64
    word_counts: Ints | None = None

    def __len__(self) -> int:
        return len(self.offsets) - 1

    @cached_property
    def lengths(self) -> Ints:
        """Predictions per sentence, ``</s>`` included: [sentences] int64."""
        lengths = np.empty(len(self), np.int64)
        for begin in range(0, len(self), PIECE):
            lengths[begin : begin + PIECE] = np.diff(self.offsets[begin : begin + PIECE + 1])
        return lengths

    @property
    def words(self) -> Ints:
        """Original words of each sentence, plus ``</s>`` if present: [sentences] int64."""
        return self.lengths if self.word_counts is None else self.word_counts

    @property
    def predictions(self) -> int:
        """Predictions of the whole split, the denominator of perplexity."""
        return len(self.ids)

    @cached_property
    def ended(self) -> npt.NDArray[np.bool_]:
        """Whether each sentence ends in ``</s>``, so was not cut: [sentences] bool."""
        ended = np.empty(len(self), np.bool_)
        for begin in range(0, len(self), PIECE):
            last = self.offsets[begin + 1 : begin + PIECE + 1] - 1
            ended[begin : begin + PIECE] = self.ids[last] == EOS
        return ended

    def counts(self, types: int) -> Ints:
        """Return how often each id below `types` occurs: [types] int64."""
        return sum(
            (np.bincount(ids, minlength=types) for ids in pieces_of(self.ids)), np.zeros(types, np.int64)
        )

    def targets(self, index: int) -> IdArray:
        """Return the targets of one sentence, a view: [length] int32."""
        return self.ids[self.offsets[index] : self.offsets[index + 1]]

    def choice(self, count: int) -> Split:
        """Return a fixed random choice of `count` sentences, in their order; the split itself if it has no more."""
        if count >= len(self):
            return self
        chosen = seeded_choice(len(self), count)
        ids = [self.targets(int(index)) for index in chosen]
        labels = None if self.labels is None else self.labels[chosen]
        counts = None if self.word_counts is None else self.word_counts[chosen]
        return Split(np.concatenate(ids), offsets_of(self.lengths[chosen]), labels, counts)


class Parts(NamedTuple):
    """Lines cut into parts."""

    each: Ints  # number of parts of each line  [lines]
    lengths: Ints  # tokens of each part  [parts]
    ends: npt.NDArray[np.bool_]  # whether a part is the last of its line  [parts]


def chunked(lengths: Ints, longest: int) -> Parts:
    """Cut lines with these numbers of tokens [lines] into parts of `longest`; the last part has the rest."""
    count = np.maximum(-(-lengths // longest), 1).astype(np.int64)
    last = np.cumsum(count) - 1
    of_parts = np.full(int(count.sum()), longest, np.int64)
    of_parts[last] = lengths - (count - 1) * longest
    ends = np.zeros(len(of_parts), np.bool_)
    ends[last] = True
    return Parts(count, of_parts, ends)


def kept_tokens(flat: IdArray, lengths: Ints, options: PrepareOptions) -> IdArray:
    """Return the concatenated tokens [tokens] of lines with these lengths [lines], without those cut or dropped."""
    over = lengths > options.max_length
    if options.chunk or not over.any():
        return flat
    room = np.where(over, 0 if options.drop_long else options.max_length, lengths)
    place = np.arange(len(flat)) - np.repeat(offsets_of(lengths)[:-1], lengths)
    return flat[place < np.repeat(room, lengths)]


class SplitBuilder:
    """Builds a split from batches of lines, and counts what is dropped or changed.

    Until `take`, memory holds 4 bytes per id, and 4 per sentence for each of length, words and label.
    """

    def __init__(self, tokenizer: Tokenizer, options: PrepareOptions, cleaned: int = 0) -> None:
        """Start an empty split; `tokenizer` made the ids, and `options` say how to treat long lines."""
        self._tokenizer, self._options = tokenizer, options
        self.cleaned = cleaned  # lines whose control characters became spaces
        self._oov = self._unknown = self._ends = self._too_long = self._parts = self._longest = 0
        self._left_out = 0
        self._clear()

    def _clear(self) -> None:
        self._ids, self._lengths, self._words, self._labels = array("i"), array("i"), array("i"), array("i")

    @property
    def predictions(self) -> int:
        """Number of predictions not yet taken."""
        return len(self._ids)

    def take(self) -> Split:
        """Return and clear the sentences added since the last call; counts continue."""
        offsets = offsets_of(np.frombuffer(self._lengths, np.int32))
        words = np.array(self._words, np.int64) if self._words else None
        labels = np.array(self._labels, np.int64) if self._labels else None
        split = Split(np.frombuffer(self._ids, np.int32), offsets, labels, words)
        self._clear()
        return split

    def add(
        self, flat: IdArray, lengths: Ints, words: Ints | None = None, labels: IdArray | None = None
    ) -> None:
        """Add lines.

        Args:
            flat: Concatenated ids of all lines, -1 for a word that the vocabulary lacks. Shape [tokens].
            lengths: Number of ids in each line. Shape [lines].
            words: Number of words in each line's text, if a token is a piece. Shape [lines].
            labels: The label of each line. Shape [lines].
        """
        longest, drop = self._options.max_length, self._options.drop_long
        over = lengths > longest
        too_long = int(np.count_nonzero(over))
        self._too_long += too_long
        self._longest = max(self._longest, int(lengths.max(initial=0)))
        if too_long and self._options.chunk:
            parts = chunked(lengths, longest)
            self._parts += int(parts.each[over].sum())
            words = None if words is None else self._words_of_parts(flat, words, parts)
            labels = None if labels is None else np.repeat(labels, parts.each)
            lengths, over = parts.lengths, ~parts.ends
        elif too_long:
            before, flat = len(flat), kept_tokens(flat, lengths, self._options)
            self._left_out += before - len(flat)
            kept = ~(over & drop)
            lengths, over = np.minimum(lengths, longest)[kept], over[kept]
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
            for row in np.flatnonzero(over & (not self._options.chunk)):
                counts[row] = len(self._tokenizer.decode(ids[bounds[row] : bounds[row + 1]]).split())
            _append(self._words, counts)
        if labels is not None:
            _append(self._labels, labels)

    def _words_of_parts(self, flat: IdArray, words: Ints, parts: Parts) -> Ints:
        """Count the words that begin in each part; they add up to the words of the whole lines: [parts]."""
        begun = np.concatenate(([0], np.cumsum(self._spaces[flat])))
        of_parts: Ints = np.diff(begun[offsets_of(parts.lengths)])
        first = offsets_of(parts.each)[:-1]
        # The first word of a line may have no space before it.
        of_parts[first] += words - np.add.reduceat(of_parts, first)
        return np.maximum(of_parts, 0)

    @cached_property
    def _spaces(self) -> Ints:
        """Number of spaces in each piece, one before each word, except perhaps the first: [ids]."""
        surfaces = map(self._tokenizer.surface, range(len(self._tokenizer)))
        return np.array([surface.count(" ") for surface in surfaces], np.int64)

    def info(self, split: Split, empty: int) -> SplitInfo:
        """Return the counts of the finished split; `empty` is the number of lines without a word."""
        options, too_long = self._options, self._too_long
        return SplitInfo(
            sentences=len(split),
            words=int(split.words.sum()) - self._ends,
            tokens=split.predictions - self._ends,
            predictions=split.predictions,
            unknown=self._unknown,
            oov=self._oov,
            empty=empty,
            dropped=too_long if options.drop_long else 0,
            truncated=0 if options.drop_long or options.chunk else too_long,
            cleaned=self.cleaned,
            longest=self._longest,
            chunked=too_long if options.chunk else 0,
            parts=self._parts,
            left_out=self._left_out,
        )


def _append(numbers: array[int], more: npt.NDArray[Any]) -> None:
    numbers.frombytes(more.astype(np.int32, copy=False).view(np.uint8).data)


def encode_split(tokenizer: Tokenizer, lines: Sequence[str], max_length: int) -> Split:
    """Encode sentences in memory, keeping order and number; the text is not lowercased.

    An empty sentence becomes ``</s>`` alone. A sentence of more than `max_length` ids is cut and has no ``</s>``.
    """
    builder = SplitBuilder(tokenizer, PrepareOptions(max_length=max_length))
    flat, offsets = tokenizer.encode_many(lines)
    builder.add(flat, np.diff(offsets), None if tokenizer.kind == "word" else count_words(lines))
    return builder.take()


def without_ends(split: Split, cut: npt.NDArray[np.bool_]) -> Split:
    """Return the sentences, without </s> where `cut` is true."""
    dropped = cut & split.ended & (split.lengths > 1)
    ids = np.delete(split.ids, split.offsets[1:][dropped] - 1)
    return Split(ids, offsets_of(split.lengths - dropped), None, split.words)


def count_words(lines: Sequence[str]) -> Ints:
    """Return the number of words of each line: [lines]."""
    return np.fromiter((len(line.split()) for line in lines), dtype=np.int64, count=len(lines))
