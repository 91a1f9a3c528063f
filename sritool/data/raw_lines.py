"""The lines of a corpus in a temporary file, until its splits and its vocabulary are known.

Text is read once: standard input cannot be read again, and a file may change. The temporary file is in Arrow's format
and has no name, so that a kill removes it too. Memory holds the different words and, where splits are cut from train,
a number for each line.
"""

from __future__ import annotations

import tempfile
from collections import Counter, defaultdict
from collections.abc import Iterator
from itertools import compress, count
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from sritool.data.arrow_arrays import array_of, values_of
from sritool.data.normalise import comparison_bytes, control_rows, normal_forms, words_of
from sritool.data.options import PrepareOptions
from sritool.data.sampling import Keys, shuffle_keys, splits_by_key
from sritool.data.sentences import Chunk, CorpusText, Cut
from sritool.data.tokenizer import LONGEST_WORD
from sritool.errors import DataError

MOST_WORDS = 10_000_000  # different ones: about 1.3 GB of memory, and no vocabulary of a language
MOST_LABELS = 1_000


class Lines(NamedTuple):
    """Some lines of one split, each with a word.

    Attributes:
        split: The split's name.
        content: Lists of numbers of words, a ``pyarrow.ListArray``; or text for pieces, a ``pyarrow.StringArray``.
        labels: Number of each line's label, -1 where the split has no labels. Shape [lines], int32.
        cleaned: How many of these lines had control characters, which became spaces.
    """

    split: str
    content: Any
    labels: npt.NDArray[np.int32]
    cleaned: int


class RawLines:
    """Reads a corpus into a temporary file, and hands its lines out by split.

    Attributes:
        splits: Names of all splits, those included that are cut from train.
        word_numbers: Words by their number, in the order in which they were first met. All that is too long for a
            word has the number of "".
        label_numbers: Labels, likewise.
        labelled: Splits that have labels.
        sentences: Lines with a word, by split.
        empty: Lines without a word, by split; those of train stay in train.
        cleaned: Lines without a word that had control characters, by split.
        longest: Words of the longest line, by split.
    """

    def __init__(self, text: CorpusText, options: PrepareOptions, folder: Path | None = None) -> None:
        """Read all text.

        Args:
            text: The corpus.
            options: How text is cleaned, and whether words or pieces are wanted.
            folder: Where the temporary file is; None: the system's folder for such files.

        Raises:
            DataError: The text cannot be read, or it has too few lines to cut splits from, or too many different
                words or labels.
        """
        import pyarrow as pa

        self._text, self._options = text, options
        self._from_train = ("train", *(text.cut.shares if text.cut else ()))
        self.splits = sorted({*text.splits, *self._from_train}, key=("train", "valid", "test").index)
        self.word_numbers: defaultdict[str, int] = defaultdict(count().__next__)
        self.label_numbers: defaultdict[str, int] = defaultdict(count().__next__)
        self.labelled: set[str] = set()
        self.sentences, self.empty, self.cleaned = Counter[str](), Counter[str](), Counter[str]()
        self.longest = Counter[str]()
        content = pa.list_(pa.int32()) if options.tokenizer == "word" else pa.string()
        self._schema = pa.schema({"content": content, "label": pa.int32(), "cleaned": pa.uint8()})
        self._split_of_batch: list[str] = []
        self._keys: list[Keys] = []  # of the lines of each batch of train, where splits are cut from it
        self._homes: list[npt.NDArray[np.uint8]] = []  # the split of these lines, by its place in _from_train
        self._file = tempfile.TemporaryFile(dir=folder)  # noqa: SIM115 - closed by __exit__
        try:
            with pa.ipc.new_stream(self._file, self._schema) as writer:
                for split in text.splits:
                    self._read(split, writer)
            if text.cut:
                self._cut(text.cut)
        except BaseException:
            self._file.close()
            raise

    def __enter__(self) -> RawLines:
        return self

    def __exit__(self, *_: object) -> None:
        self._file.close()

    def lines(self, *splits: str) -> Iterator[Lines]:
        """Yield the lines of some splits, a batch at a time."""
        import pyarrow as pa

        self._file.seek(0)
        homes_of_train = iter(self._homes)
        for split, batch in zip(self._split_of_batch, pa.ipc.open_stream(self._file), strict=True):
            if split == "train" and self._homes:
                home = next(homes_of_train)
                for place, name in enumerate(self._from_train):
                    if name in splits:
                        yield _lines_of(name, batch.take(array_of(np.flatnonzero(home == place))))
            elif split in splits:
                yield _lines_of(split, batch)

    def _read(self, split: str, writer: Any) -> None:
        part = self._text.splits[split]
        where = part.where or split
        read = 0
        for chunk in part.chunks():
            writer.write_batch(self._batch_of(chunk, split, where))
            self._split_of_batch.append(split)
            read += len(chunk.texts)
            if len(self.label_numbers) > MOST_LABELS:
                raise DataError(
                    f"the label column of {where} holds more than {MOST_LABELS:,} different labels by line "
                    f"{read:,}, and a label is one of at most so many classes; "
                    "for plain sentences give --input-format text"
                )

    def _batch_of(self, chunk: Chunk, split: str, where: str) -> Any:
        """Return what is kept of some lines: those with a word."""
        import pyarrow as pa
        import pyarrow.compute as pc

        options = self._options
        raw, labels = chunk.texts, chunk.labels
        cleaned = control_rows(raw)
        plain = not cleaned.any()
        texts = normal_forms(raw, options.lowercase, options.split_punctuation, plain)
        words = words_of(texts)
        if words.null_count:
            valid = words.is_valid()
            filled = values_of(valid.cast(pa.uint8()), np.uint8).astype(bool)
            self.empty[split] += words.null_count
            self.cleaned[split] += int(cleaned[~filled].sum())
            raw, texts, words, cleaned = (
                raw.filter(valid),
                texts.filter(valid),
                words.filter(valid),
                cleaned[filled],
            )
            labels = None if labels is None else list(compress(labels, filled))
        self.sentences[split] += len(words)
        self.longest[split] = max(self.longest[split], pc.max(pc.list_value_length(words)).as_py() or 0)
        if self._text.cut and split == "train":
            self._keys.append(shuffle_keys(comparison_bytes(raw, plain), self._text.cut.seed))
        numbers = np.full(len(words), -1, np.int32)
        if labels is not None:
            self.labelled.add(split)
            numbers[:] = [self.label_numbers[label] for label in labels]
        content = self._numbered(words, where) if options.tokenizer == "word" else texts
        return pa.record_batch([content, array_of(numbers), array_of(cleaned)], schema=self._schema)

    def _numbered(self, words: Any, where: str) -> Any:
        """Return lists of words as lists of their numbers."""
        import pyarrow as pa
        import pyarrow.compute as pc

        met = words.flatten().dictionary_encode()
        too_long = pc.greater(pc.utf8_length(met.dictionary), LONGEST_WORD)
        names = pc.if_else(too_long, "", met.dictionary).to_pylist()
        numbers = np.fromiter(map(self.word_numbers.__getitem__, names), np.int32, len(names))
        if len(self.word_numbers) > MOST_WORDS:
            raise DataError(
                f"{where} has more than {MOST_WORDS:,} different words; if it is text, "
                "cut it into pieces: --tokenizer unigram"
            )
        return pa.ListArray.from_arrays(words.offsets, array_of(numbers[values_of(met.indices, np.int32)]))

    def refuse_documents(self, split: str, where: str) -> None:
        """Name the cause where a text has too few lines because whole documents stand on a line each.

        Args:
            split: The split that has too few lines.
            where: What the error calls it.

        Raises:
            DataError: Its longest line is no sentence.
        """
        lines, words = self.sentences[split], self.longest[split]
        if words <= self._options.max_length:
            return
        many = f"{lines} lines, the longest of" if lines > 1 else "one line of"
        files = "and with files for all three splits: --train, --valid, --test"
        if self._options.chunk:
            raise DataError(
                f"{where} has {many} {words:,} words, and lines are not divided among splits; give "
                f"{files.removeprefix('and with ')}"
            )
        raise DataError(
            f"{where} has {many} {words:,} words, and a line is taken for a sentence; give each sentence a line of "
            f"its own, or cut documents into parts of 50 words with --chunk 50, {files}"
        )

    def _cut(self, cut: Cut) -> None:
        """Say which lines of train go to which split."""
        if self.sentences["train"] < len(cut.shares) + 2:
            self.refuse_documents("train", self._text.splits["train"].where or "train")
        ends = np.cumsum([len(part) for part in self._keys])[:-1]
        where = self._text.splits["train"].where or "train"
        found = splits_by_key(
            np.concatenate([np.zeros(0, np.uint64), *self._keys]), cut.shares, cut.seed, where
        )
        self._keys, self._homes = [], np.split(found, ends)
        self.sentences.update(
            dict(zip(self._from_train, np.bincount(found, minlength=3).tolist(), strict=False))
        )
        if "train" in self.labelled:
            self.labelled.update(self._from_train)


def _lines_of(split: str, batch: Any) -> Lines:
    labels, cleaned = values_of(batch.column("label"), np.int32), values_of(batch.column("cleaned"), np.uint8)
    return Lines(split, batch.column("content"), labels, int(cleaned.sum()))
