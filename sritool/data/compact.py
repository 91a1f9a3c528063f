"""Text of a size that memory cannot hold, kept compactly until its vocabulary is known.

Text is read once: standard input cannot be read again, and a file may change. Words are kept as numbers, four
bytes each, in the order in which they were met first; when all have been counted, the numbers become ids. Text
for SentencePiece is kept in a temporary file that has no name, so that a kill removes it too.
"""

from __future__ import annotations

import tempfile
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Sequence
from itertools import chain, compress, count, islice, pairwise
from pathlib import Path
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from sritool.data.targets import Ints, words_of
from sritool.data.tokenizer import (
    LONGEST_WORD,
    SPECIALS,
    UNK,
    IdArray,
    Tokenizer,
    offsets_of,
    ranked_words,
    train_pieces,
)
from sritool.errors import DataError, UsageError

MOST_WORDS = 10_000_000  # different ones: about 1.3 GB of memory, and no vocabulary of a language
MOST_TO_LEARN = 1_000_000  # sentences that SentencePiece is trained on: its memory grows with them
DEFAULT_PIECES = 8_000
MARKED = SPECIALS[UNK]

Choice = npt.NDArray[np.bool_] | None  # of a batch's lines; None: all


class Tokens(NamedTuple):
    """Lines as their tokenizer reads them."""

    flat: IdArray  # [tokens] int32, -1 for a word that the vocabulary lacks
    lengths: Ints  # [lines]
    words: Ints | None  # [lines], of the text, where a token is a piece


def marks_unknown(lines: Iterable[str]) -> bool:
    """Whether a word of them is ``<unk>``."""
    return any(MARKED in line.split() for line in lines if MARKED in line)


class WordStore:
    """Lines as numbers of words."""

    def __init__(self) -> None:
        self._next = count()
        self._numbers: defaultdict[str, int] = defaultdict(self._next.__next__)
        self._waiting: list[IdArray] = []
        self._batches: list[IdArray] = []
        self._ids: IdArray | None = None
        self._met = 0

    def add(self, texts: Sequence[str], where: str) -> IdArray:
        """Keep lines; returns the number of words of each: [lines] int32."""
        split = list(map(str.split, texts))
        lengths = np.fromiter(map(len, split), dtype=np.int32, count=len(split))
        numbers = map(self._numbers.__getitem__, chain.from_iterable(split))
        self._waiting.append(np.fromiter(numbers, dtype=np.int32, count=int(lengths.sum())))
        self._forget_long()
        if len(self._numbers) > MOST_WORDS:
            raise DataError(
                f"{where} has more than {MOST_WORDS:,} different words; if it is text, "
                "cut it into pieces: --tokenizer unigram"
            )
        return lengths

    def _forget_long(self) -> None:
        """What is too long for a word is no key for long: its number stays, and means what is not known."""
        new = len(self._numbers) - self._met
        if new:
            for word in [word for word in islice(reversed(self._numbers), new) if len(word) > LONGEST_WORD]:
                del self._numbers[word]
            self._met = len(self._numbers)

    def close_batch(self) -> int:
        """The lines since the last time become a batch; returns its number."""
        self._batches.append(np.concatenate([np.zeros(0, dtype=np.int32), *self._waiting]))
        self._waiting = []
        return len(self._batches) - 1

    def build(
        self,
        train: Iterable[tuple[int, IdArray, Choice]],
        fewest: Callable[[Iterable[str]], int],
        vocab_size: int | None,
    ) -> tuple[Tokenizer, int]:
        """The vocabulary of the training lines, and the fewest times that a word of it was met.

        Args: train, (batch, lengths of its lines, which of them are for training); fewest, the smallest count
              of a word, asked with lines that tell whether the text marks unknown words itself.
        """
        size = next(self._next)
        counts = np.zeros(size, dtype=np.int64)
        for batch, lengths, chosen in train:
            numbers = self._batches[batch]
            part = numbers if chosen is None else numbers[np.repeat(chosen, lengths)]
            found = np.bincount(part, minlength=0)
            counts[: len(found)] += found
        place = np.fromiter(self._numbers.values(), dtype=np.int64, count=len(self._numbers))
        marked = MARKED in self._numbers and counts[self._numbers[MARKED]] > 0
        least = fewest([MARKED] if marked else [])
        enough = counts[place] >= least
        often = zip(compress(self._numbers, enough), counts[place[enough]].tolist(), strict=True)
        tokenizer = ranked_words(often, vocab_size, least)
        self._ids = np.full(size, -1, dtype=np.int32)
        self._ids[place] = tokenizer.numbers_of(self._numbers, missing=-1)
        self._numbers.clear()
        return tokenizer, least

    def take(self, batch: int, lengths: IdArray) -> Iterator[tuple[slice, Tokens]]:
        """A batch's lines as tokens, some at a time, with which lines of the batch they are. Only once."""
        assert self._ids is not None
        flat = self._ids[self._batches[batch]]
        self._batches[batch] = np.zeros(0, dtype=np.int32)
        yield slice(None), Tokens(flat, lengths.astype(np.int64), None)


class PieceStore:
    """Lines as text in a file without a name."""

    def __init__(self, kind: str, folder: Path | None = None) -> None:
        """Args: folder, where the file is; None: where temporary files are."""
        self._kind = kind
        self._file = tempfile.TemporaryFile(dir=folder)  # noqa: SIM115 - as long as the store
        self._begins = [0]
        self._may_mark = False
        self._tokenizer: Tokenizer | None = None

    def add(self, texts: Sequence[str], where: str) -> IdArray:
        """Keep lines; returns the size of each in bytes, 0 for one without a word: [lines] int32."""
        encoded = [b"" if not text or text.isspace() else text.encode() for text in texts]
        data = b"".join(encoded)
        self._may_mark = self._may_mark or MARKED.encode() in data
        self._file.write(data)
        return np.fromiter(map(len, encoded), dtype=np.int32, count=len(encoded))

    def close_batch(self) -> int:
        """The lines since the last time become a batch; returns its number."""
        self._begins.append(self._file.tell())
        return len(self._begins) - 2

    def build(
        self,
        train: Iterable[tuple[int, IdArray, Choice]],
        fewest: Callable[[Iterable[str]], int],
        vocab_size: int | None,
    ) -> tuple[Tokenizer, int]:
        """The model of the training lines, of a seeded choice where there are very many; see WordStore.build."""
        batches = [
            (batch, lengths, (lengths > 0) if chosen is None else chosen & (lengths > 0))
            for batch, lengths, chosen in train
        ]
        if self._may_mark and marks_unknown(self._chosen(batches)):
            raise UsageError(
                "the text marks unknown words as <unk>, which pieces would spell out; use --tokenizer word"
            )
        total = sum(int(chosen.sum()) for _, _, chosen in batches)
        lines = self._chosen(batches)
        if total > MOST_TO_LEARN:
            learnt = np.zeros(total, dtype=bool)
            learnt[np.random.default_rng(0).choice(total, MOST_TO_LEARN, replace=False)] = True
            lines = compress(lines, learnt)
        self._tokenizer = train_pieces(lines, self._kind, vocab_size or DEFAULT_PIECES)
        return self._tokenizer, fewest([])

    def _chosen(self, batches: Iterable[tuple[int, IdArray, npt.NDArray[np.bool_]]]) -> Iterator[str]:
        for batch, lengths, chosen in batches:
            for rows, texts in self._texts(batch, lengths):
                yield from compress(texts, chosen[rows])

    def _texts(self, batch: int, lengths: IdArray, most: int = 1 << 20) -> Iterator[tuple[slice, list[str]]]:
        """Lines of a batch, about so many bytes of them at a time."""
        offsets = offsets_of(lengths)
        first = 0
        while first < len(lengths):
            last = max(int(np.searchsorted(offsets, offsets[first] + most, side="right")) - 1, first + 1)
            self._file.seek(self._begins[batch] + int(offsets[first]))
            data = self._file.read(int(offsets[last] - offsets[first]))
            at = (offsets[first : last + 1] - offsets[first]).tolist()
            yield slice(first, last), [data[a:b].decode() for a, b in pairwise(at)]
            first = last

    def take(self, batch: int, lengths: IdArray) -> Iterator[tuple[slice, Tokens]]:
        """A batch's lines as tokens, some at a time, with which lines of the batch they are."""
        assert self._tokenizer is not None
        for rows, texts in self._texts(batch, lengths):
            flat, offsets = self._tokenizer.encode_many(texts)
            yield rows, Tokens(flat, np.diff(offsets), words_of(texts))


Store = WordStore | PieceStore
