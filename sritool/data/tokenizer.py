"""Converts text to ids and back: whitespace words, or SentencePiece pieces for raw text.

Ids 0-3 are the same in every tokenizer. ``<pad>`` and ``<s>`` are never predicted, so a generator's output
layer covers the ids from ``FIRST_PREDICTED`` on. ``encode`` adds neither ``<s>`` nor ``</s>``.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from itertools import chain, repeat, takewhile
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt

from sritool.errors import CheckpointError, DataError

PAD, BOS, EOS, UNK = 0, 1, 2, 3
SPECIALS = ("<pad>", "<s>", "</s>", "<unk>")
FIRST_PREDICTED = EOS
LONGEST_WORD = 200  # characters; a longer "word" is corrupt data and never enters a vocabulary

OWN_MODEL = "sentencepiece"
"""Kind of a model that was not trained here; its own kind and special ids may be any."""

CONTROL = re.compile("[\x00-\x1f\x7f-\x9f\u2028\u2029\ud800-\udfff]")
"""Characters that move a terminal's cursor, end a line or are never part of text."""

IdArray = npt.NDArray[np.int32]
OffsetArray = npt.NDArray[np.int64]


class Tokenizer(Protocol):
    """Interface of a tokenizer.

    Attributes:
        kind: ``word``, ``unigram``, ``bpe`` or ``sentencepiece``.
    """

    kind: str

    def __len__(self) -> int:
        """Number of ids, including the four special ones."""

    def encode(self, text: str) -> list[int]:
        """Return the ids of one sentence, without ``<s>`` and ``</s>``; a word not in the vocabulary is ``UNK``."""
        ids: list[int] = self.encode_many([text])[0].tolist()
        return ids

    def encode_many(self, lines: Sequence[str]) -> tuple[IdArray, OffsetArray]:
        """Return the concatenated ids of all lines [total] int32, and their offsets [lines + 1] int64."""

    def decode(self, ids: Iterable[int]) -> str:
        """Return the text of one sentence up to the first ``</s>``, without ``<pad>`` and ``<s>``."""

    def surface(self, index: int) -> str:
        """Return the text of one id with its space; "?" for ``<unk>``, "" for an id without text."""

    def vocabulary(self) -> list[str]:
        """Return the word or piece of each id."""

    def state(self) -> dict[str, Any]:
        """Return plain Python values and bytes from which ``tokenizer_from_state`` makes the same tokenizer."""


class WordTokenizer(Tokenizer):
    """Words separated by white space; the index of a word is its id.

    A literal ``<unk>`` in text is the unknown word. A literal ``<pad>``, ``<s>`` or ``</s>`` in text is
    unknown too, since text must not forge the ids that mark structure.
    """

    kind = "word"

    def __init__(self, words: Sequence[str]) -> None:
        """Create a tokenizer from its words in order of id, the four special words first.

        Raises:
            DataError: The special words are missing, or a word is repeated, empty or has a space.
        """
        self.words = tuple(words)
        if self.words[: len(SPECIALS)] != SPECIALS:
            raise DataError(f"a vocabulary begins with {' '.join(SPECIALS)}; prepare the corpus again")
        self._ids = {word: index for index, word in enumerate(self.words) if index >= UNK}
        if len(self._ids) != len(self.words) - UNK or any(word.split() != [word] for word in self._ids):
            raise DataError(
                "the vocabulary has a repeated word, an empty one or one with a space; prepare it again"
            )

    def __len__(self) -> int:
        return len(self.words)

    def numbers_of(self, words: Iterable[str], missing: int = UNK) -> IdArray:
        """Return the id of each word, `missing` if the vocabulary lacks it. A literal ``<unk>`` is UNK."""
        return np.fromiter(map(self._ids.get, words, repeat(missing)), dtype=np.int32)

    def encode_many(self, lines: Sequence[str]) -> tuple[IdArray, OffsetArray]:
        split = [line.split() for line in lines]
        return self.numbers_of(chain.from_iterable(split)), offsets_of([len(words) for words in split])

    def decode(self, ids: Iterable[int]) -> str:
        return " ".join(self.words[index] for index in content(ids))

    def surface(self, index: int) -> str:
        return f"{self.words[index]} " if index > UNK else "? " if index == UNK else ""

    def vocabulary(self) -> list[str]:
        return list(self.words)

    def state(self) -> dict[str, Any]:
        return {"kind": self.kind, "words": list(self.words)}


class SentencePieceTokenizer(Tokenizer):
    """Pieces of a SentencePiece model.

    A model trained here has our special ids and normalises only white space. A model from elsewhere is used
    unchanged, except that its special pieces are moved first, so that ids 0-3 are those of every tokenizer.
    """

    def __init__(self, kind: str, model: bytes) -> None:
        """Create a tokenizer from a model.

        Args:
            kind: ``unigram`` or ``bpe``; ``sentencepiece`` for a model that was not trained here.
            model: A serialised SentencePiece model.

        Raises:
            DataError: The bytes are not a model, or its special ids are not ours.
        """
        from sentencepiece import SentencePieceProcessor

        if kind not in ("unigram", "bpe", OWN_MODEL):
            raise DataError(f"no SentencePiece model is of kind {kind!r}; use unigram or bpe")
        self.kind = kind
        self.model = model
        self._processor = processor = SentencePieceProcessor()
        try:
            processor.LoadFromSerializedProto(model)
        except RuntimeError as error:
            raise DataError("the bytes are not a SentencePiece model; prepare the corpus again") from error
        special = [processor.pad_id(), processor.bos_id(), processor.eos_id(), processor.unk_id()]
        if special != [PAD, BOS, EOS, UNK] and kind != OWN_MODEL:
            raise DataError("the SentencePiece model has other special ids; train it with sritool preprocess")
        others = sorted({*range(processor.GetPieceSize())} - {*special})
        self._theirs = [
            *special,
            *others,
        ]  # the model's id by ours; -1 for a special piece that the model lacks
        self._ours = np.zeros(processor.GetPieceSize(), np.int32)  # our id by the model's
        self._ours[others] = np.arange(UNK + 1, len(self._theirs))
        for ours, index in enumerate(special):
            if index >= 0:
                self._ours[index] = ours

    def __len__(self) -> int:
        return len(self._theirs)

    def encode_many(self, lines: Sequence[str]) -> tuple[IdArray, OffsetArray]:
        pieces = self._processor.Encode(list(lines), out_type=int, num_threads=1) if lines else []
        flat = self._ours[np.fromiter(chain.from_iterable(pieces), dtype=np.int32)]
        return flat, offsets_of([len(line) for line in pieces])

    def decode(self, ids: Iterable[int]) -> str:
        """Return the text of pieces; an unknown character reads ``<unk>``."""
        text = self._processor.DecodeIds([self._theirs[index] for index in content(ids)])
        # A model from elsewhere may decode its pieces to anything, even escape sequences.
        return CONTROL.sub(" ", str(text))

    def surface(self, index: int) -> str:
        return self._piece(index).replace("\u2581", " ") if index > UNK else "?" if index == UNK else ""

    def vocabulary(self) -> list[str]:
        """Return the pieces, with spaces in SentencePiece's notation."""
        return [*SPECIALS, *(self._piece(index) for index in range(UNK + 1, len(self)))]

    def _piece(self, index: int) -> str:
        return str(self._processor.IdToPiece(self._theirs[index]))

    def check_pieces(self) -> None:
        """Raise a DataError unless every piece is text, which a model from elsewhere does not guarantee."""
        try:
            for index in range(self._processor.GetPieceSize()):
                self._processor.IdToPiece(index)
            self.decode(range(UNK, len(self)))
        except (UnicodeDecodeError, RuntimeError, IndexError) as error:
            raise DataError("a piece of the SentencePiece model is not UTF-8") from error

    def state(self) -> dict[str, Any]:
        return {"kind": self.kind, "model": self.model}


def content(ids: Iterable[int]) -> list[int]:
    """Return the ids before the first ``</s>``, without ``<pad>`` and ``<s>``."""
    return [index for index in takewhile(EOS.__ne__, map(int, ids)) if index > EOS]


def offsets_of(lengths: Sequence[int] | OffsetArray | IdArray) -> OffsetArray:
    """Return the start of each of consecutive stretches, and the end of the last one: [n + 1] int64."""
    offsets = np.zeros(len(lengths) + 1, dtype=np.int64)
    np.cumsum(np.asarray(lengths, dtype=np.int64), out=offsets[1:])
    return offsets


def tokenizer_from_state(state: Mapping[str, Any]) -> Tokenizer:
    """Create a tokenizer from its ``state()``.

    Raises:
        CheckpointError: The state is not valid, or has words that prepared text never has: longer than
            `LONGEST_WORD`, or with control characters, which samples would send to the terminal.
    """
    try:
        kind = state["kind"]
        if kind == WordTokenizer.kind:
            words = state["words"]
            if not isinstance(words, list | tuple) or not all(isinstance(word, str) for word in words):
                raise TypeError("words are not strings")
            if max(map(len, words), default=0) > LONGEST_WORD:
                raise DataError(f"a word has more than {LONGEST_WORD} characters")
            if CONTROL.search(" ".join(words)):
                raise DataError("a word has control characters")
            return WordTokenizer(words)
        if not isinstance(state["model"], bytes):
            raise TypeError("the model is not bytes")
        tokenizer = SentencePieceTokenizer(kind, state["model"])
        tokenizer.check_pieces()
        return tokenizer
    except (KeyError, TypeError, DataError) as error:
        raise CheckpointError(
            f"the stored tokenizer is damaged ({error}); use another checkpoint or prepare the corpus again"
        ) from error
