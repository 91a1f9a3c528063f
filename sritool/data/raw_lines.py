"""Keeps the lines of a corpus in a temporary file until its splits and vocabulary are known.

Text is read only once, because standard input cannot be read again and a file may change. The temporary file is in
Arrow's format and has no name, so that it disappears even after a kill. Memory holds the distinct words.
"""

from __future__ import annotations

import tempfile
from collections import Counter, defaultdict
from collections.abc import Iterator
from functools import partial
from itertools import count
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from sritool.data.arrays import array_of, lists_of, values_of
from sritool.data.fields import ANOTHER_LABEL
from sritool.data.line_words import LineWords, line_words
from sritool.data.options import PrepareOptions
from sritool.data.sampling import Borders, Keys, borders
from sritool.data.sentences import CorpusText, Cut
from sritool.data.split import kept_tokens
from sritool.data.workers import ordered_map
from sritool.errors import DataError

MOST_WORDS = 10_000_000  # distinct words; about 1.3 GB of memory, and more than any language has
MOST_LABELS = 1_000


class Lines(NamedTuple):
    """Some lines of one split, each with a word."""

    split: str  # the split's name
    content: Any  # a pyarrow.ListArray of word numbers; for pieces, a pyarrow.StringArray
    labels: npt.NDArray[np.int32]  # number of each line's label, -1 where the split has no labels  [lines]
    cleaned: int  # number of these lines whose control characters became spaces


class RawLines:
    """Reads a corpus into a temporary file and yields its lines by split."""

    def __init__(
        self, text: CorpusText, options: PrepareOptions, folder: Path | None = None, workers: int = 1
    ) -> None:
        """Read all text; arguments as in `prepare.prepare`.

        Raises:
            DataError: The text cannot be read, has too few lines to cut splits from, or too many distinct words or
                labels.
        """
        import pyarrow as pa

        self._text, self._options, self._workers = text, options, workers
        self._from_train = ("train", *(text.cut.shares if text.cut else ()))
        # All splits, including those cut from train.
        self.splits = sorted({*text.splits, *self._from_train}, key=("train", "valid", "test").index)
        # Number of each word, in order of appearance. All words that are too long have the number of "".
        self.word_numbers: defaultdict[str, int] = defaultdict(count().__next__)
        self.label_numbers: defaultdict[str, int] = defaultdict(count().__next__)
        self.labelled: set[str] = set()  # splits that have labels
        self.sentences = Counter[str]()  # lines with a word, by split
        self.empty = Counter[str]()  # lines without a word, by split; those of train stay there
        self.cleaned = Counter[str]()  # empty lines that had control characters, by split
        self.longest = Counter[str]()  # words in the longest line, by split
        content = pa.list_(pa.int32()) if options.tokenizer == "word" else pa.string()
        self._schema = pa.schema(
            {"content": content, "label": pa.int32(), "cleaned": pa.uint8(), "key": pa.uint64()}
        )
        self._split_of_batch: list[str] = []
        self._borders: Borders | None = None  # between the splits in _from_train
        self._file = tempfile.TemporaryFile(dir=folder)  # noqa: SIM115 - closed by __exit__
        try:
            with pa.ipc.new_stream(self._file, self._schema) as writer:
                for split in text.splits:
                    self._read(split, writer)
            if text.cut:
                self._cut(text.cut)
            self.in_train = self._count_in_train()  # sentences also in train, by split with its own text
        except BaseException:
            self._file.close()
            raise

    def __enter__(self) -> RawLines:
        return self

    def __exit__(self, *_: object) -> None:
        self._file.close()

    def lines(self, *splits: str) -> Iterator[Lines]:
        """Yield the lines of some splits, a batch at a time."""
        for split, batch in self._batches():
            if split == "train" and self._borders:
                places = self._borders.places(values_of(batch.column("key"), np.uint64))
                for place, name in enumerate(self._from_train):
                    if name in splits:
                        yield _lines_of(name, batch.take(array_of(np.flatnonzero(places == place))))
            elif split in splits:
                yield _lines_of(split, batch)

    def word_counts(self, *splits: str) -> npt.NDArray[np.int64]:
        """Return how often each word occurs in the kept text of some splits, by its number: [words]."""
        counts = np.zeros(len(self.word_numbers), np.int64)
        for lines in self.lines(*splits):
            found = np.bincount(kept_tokens(*lists_of(lines.content), self._options))
            counts[: len(found)] += found
        return counts

    def _batches(self) -> Iterator[tuple[str, Any]]:
        """Yield each batch in the order of reading, with the split that it was read from."""
        import pyarrow as pa

        self._file.seek(0)
        return zip(self._split_of_batch, pa.ipc.open_stream(self._file), strict=True)

    def _read(self, split: str, writer: Any) -> None:
        part = self._text.splits[split]
        where = part.where or split
        read = 0
        work = partial(line_words, options=self._options, seed=self._text.cut.seed if self._text.cut else 0)
        for lines in ordered_map(work, part.chunks(), self._workers):
            writer.write_batch(self._batch_of(lines, split, where))
            self._split_of_batch.append(split)
            read += lines.read
            if len(self.label_numbers) > MOST_LABELS:
                raise DataError(
                    f"the label column of {where} holds more than {MOST_LABELS:,} different labels by line "
                    f"{read:,}, and a label is one of at most so many classes; {ANOTHER_LABEL}"
                )

    def _batch_of(self, lines: LineWords, split: str, where: str) -> Any:
        """Count some lines, and return them as a batch with word and label numbers of the whole corpus."""
        import pyarrow as pa

        self.empty[split] += lines.empty
        self.cleaned[split] += lines.empty_cleaned
        self.sentences[split] += len(lines.content)
        self.longest[split] = max(self.longest[split], lines.longest)
        labels = lines.labels
        if lines.label_names is not None:
            self.labelled.add(split)
            numbers = [self.label_numbers[name] for name in lines.label_names]
            labels = np.array(numbers, np.int32)[labels]
        content = lines.content if lines.words is None else self._numbered(lines, where)
        columns = [content, array_of(labels), array_of(lines.cleaned), array_of(lines.keys)]
        return pa.record_batch(columns, schema=self._schema)

    def _numbered(self, lines: LineWords, where: str) -> Any:
        """Convert lists of indices into the words of some lines to lists of word numbers."""
        import pyarrow as pa

        names = lines.words.to_pylist()
        numbers = np.fromiter(map(self.word_numbers.__getitem__, names), np.int32, len(names))
        if len(self.word_numbers) > MOST_WORDS:
            raise DataError(
                f"{where} has more than {MOST_WORDS:,} different words; if it is text, "
                "cut it into pieces: --tokenizer unigram"
            )
        places = values_of(lines.content.values, np.int32)
        return pa.ListArray.from_arrays(lines.content.offsets, array_of(numbers[places]))

    def refuse_documents(self, split: str, where: str) -> None:
        """Raise a DataError, calling the split `where`, if its longest line is a document rather than a sentence."""
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
        """Assign the lines of train to splits."""
        where = self._text.splits["train"].where or "train"
        if self.sentences["train"] < len(cut.shares) + 2:
            self.refuse_documents("train", where)
        self._borders = borders(partial(self._keys_of, "train"), cut.shares, cut.seed, where)
        for name, found in zip(self._from_train, self._borders.counts, strict=True):
            self.sentences[name] = found
        if "train" in self.labelled:
            self.labelled.update(self._from_train)

    def _keys_of(self, split: str) -> Iterator[Keys]:
        return (values_of(batch.column("key"), np.uint64) for name, batch in self._batches() if name == split)

    def _count_in_train(self) -> dict[str, int]:
        """Count the sentences of other splits that are also in train; memory holds the keys of those splits."""
        held_out = [split for split in self.splits if split in self._text.splits and split != "train"]
        held_out_keys = {
            split: np.concatenate([np.zeros(0, np.uint64), *self._keys_of(split)]) for split in held_out
        }
        distinct = np.unique(np.concatenate([np.zeros(0, np.uint64), *held_out_keys.values()]))
        met = np.zeros(len(distinct), bool)
        for keys in self._keys_of("train") if len(distinct) else ():
            stays = keys if self._borders is None else keys[self._borders.places(keys) == 0]
            near = np.minimum(np.searchsorted(distinct, stays), len(distinct) - 1)
            met[near[distinct[near] == stays]] = True
        return {
            split: int(np.isin(keys, distinct[met], kind="sort").sum())
            for split, keys in held_out_keys.items()
        }


def _lines_of(split: str, batch: Any) -> Lines:
    labels, cleaned = values_of(batch.column("label"), np.int32), values_of(batch.column("cleaned"), np.uint8)
    return Lines(split, batch.column("content"), labels, int(cleaned.sum()))
