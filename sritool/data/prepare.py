"""Raw sentences to a tokenizer, encoded splits and their counts; text of any length, some lines at a time.

Text is read once: standard input cannot be read again, and a file may change. Until the vocabulary is known, words
wait as numbers in the order in which they were met first, and text for SentencePiece as it is, in a temporary Arrow
file without a name, which a kill removes too.
"""

from __future__ import annotations

import tempfile
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import chain, compress, count
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from sritool.data.arrow_arrays import array_of, lists_of, values_of
from sritool.data.encode import SplitBuilder, count_words
from sritool.data.info import CorpusInfo
from sritool.data.normalise import control_rows, label_name, normal_forms, same_bytes, words_of
from sritool.data.sampling import Keys, homes, keys
from sritool.data.sentences import Chunk, CorpusText
from sritool.data.store import Split, content_hash
from sritool.data.tokenizer import (
    LONGEST_WORD,
    SPECIALS,
    UNK,
    Tokenizer,
    ranked_words,
    train_pieces,
)
from sritool.errors import DataError, UsageError

TOKENIZERS = ("word", "unigram", "bpe")
DEFAULT_MAX_LENGTH = 200
DEFAULT_PIECES = 8_000
MOST_WORDS = 10_000_000  # different ones: about 1.3 GB of memory, and no vocabulary of a language
MOST_TO_LEARN = 1_000_000  # sentences that SentencePiece is trained on: its memory grows with them
MOST_LABELS = 1_000
MARKED = SPECIALS[UNK]


@dataclass(frozen=True)
class PrepareOptions:
    """How text becomes ids; every field is kept in ``corpus.json``."""

    tokenizer: str = "word"  # "word", or SentencePiece "unigram" or "bpe"
    vocab_size: int | None = None  # words with <unk>, or pieces with the special ones; None: all, or 8,000
    min_count: int | None = None  # of a word, in train; None: 2, or 1 where the text marks unknown words
    max_length: int = DEFAULT_MAX_LENGTH  # words or pieces of a sentence, </s> not counted
    lowercase: bool = False
    split_punctuation: bool = False  # "runs." becomes "runs ."
    drop_long: bool = False  # drop longer sentences, instead of cutting them

    def __post_init__(self) -> None:
        if self.tokenizer not in TOKENIZERS:
            raise UsageError(f"no tokenizer {self.tokenizer!r}; choose one of {', '.join(TOKENIZERS)}")
        if self.max_length < 1 or (self.min_count is not None and self.min_count < 1):
            raise UsageError("--max-length and --min-count are at least 1; give a larger number")
        if self.vocab_size is not None and self.vocab_size < 2:
            raise UsageError("--vocab-size is at least 2; give a larger number")


@dataclass(frozen=True)
class Prepared:
    """A corpus in memory, ready to be stored."""

    tokenizer: Tokenizer
    splits: Mapping[str, Split]
    info: CorpusInfo


def prepare(name: str, text: CorpusText, options: PrepareOptions, folder: Path | None = None) -> Prepared:
    """Build the vocabulary from ``train`` and encode every split.

    Lines without a word are dropped, longer ones than ``max_length`` are cut or dropped, and all are counted. Memory
    holds the ids, a few numbers for each line, and the different words.

    Args:
        name: The corpus's name.
        text: Its sentences.
        options: How they become ids.
        folder: Where the temporary file may be; None: the system's folder for such files.

    Raises:
        DataError: A split has no sentence left, or train fewer than two.
    """
    with _Gathered(text, options, folder) as gathered:
        for split in text.splits:
            gathered.read(split)
        gathered.cut()
        called = {split: text.splits[split].where if split in text.splits else "" for split in gathered.names}
        called = {split: f"{split} ({where})" if where else split for split, where in called.items()}
        for split in gathered.names:
            _require(gathered.sentences[split], called[split], 2 if split == "train" else 1)
        tokenizer, fewest = gathered.learn()
        builders = gathered.encode(tokenizer)
        labels = gathered.label_names()
    splits = {split: builders[split].split() for split in builders}
    for split in splits:
        _require(len(splits[split]), called[split], 1, f"; none is within --max-length {options.max_length}")
    info = CorpusInfo(
        name=name,
        source=text.source,
        tokenizer=tokenizer.kind,
        vocabulary=len(tokenizer) - UNK,
        max_length=options.max_length,
        min_count=fewest,
        vocab_size=options.vocab_size,
        lowercase=options.lowercase,
        split_punctuation=options.split_punctuation,
        drop_long=options.drop_long,
        labels=tuple(labels),
        notes=(*text.notes, *_label_notes(labels, splits)),
        splits={split: builders[split].info(splits[split]) for split in splits},
        content_hash=content_hash(tokenizer, splits, labels),
    )
    return Prepared(tokenizer, splits, info)


class _Lines(NamedTuple):
    """Lines of one split in a row, without those that have no word."""

    split: str
    content: Any  # numbers of words, a pyarrow.ListArray, or text, a pyarrow.StringArray  [lines]
    labels: npt.NDArray[np.int32]  # by first occurrence, -1 without one  [lines]
    empty: int  # lines without a word
    cleaned: int  # lines whose control characters became spaces


class _Gathered:
    """All text of a corpus, kept in a temporary Arrow file until its splits and its vocabulary are known."""

    def __init__(self, text: CorpusText, options: PrepareOptions, folder: Path | None) -> None:
        import pyarrow as pa

        self.text, self.options = text, options
        self.from_train = ["train", *(text.cut.shares if text.cut else ())]
        self.names = sorted({*text.splits, *self.from_train}, key=("train", "valid", "test").index)
        content = pa.list_(pa.int32()) if options.tokenizer == "word" else pa.string()
        columns = {"content": content, "has_word": pa.uint8(), "cleaned": pa.uint8(), "label": pa.int32()}
        self.schema = pa.schema(columns)
        self.file = tempfile.TemporaryFile(dir=folder)  # noqa: SIM115 - closed by __exit__
        self.writer = pa.ipc.new_stream(self.file, self.schema)
        self.batches = dict.fromkeys(text.splits, 0)  # of each split in the file
        self.sentences = dict.fromkeys(self.names, 0)  # lines with a word
        self.keys: list[Keys] = []  # of the lines of each batch of train, where splits are cut from it
        self.filled: list[npt.NDArray[np.bool_]] = []  # which of these lines have a word
        self.homes: list[npt.NDArray[np.uint8]] = []  # the split of these lines, by its place in from_train
        self.numbers: defaultdict[str, int] = defaultdict(count().__next__)  # of words
        self.counts = np.zeros(0, np.int64)  # of words in the text of train, by number
        self.labels: defaultdict[str, int] = defaultdict(count().__next__)
        self.labelled: set[str] = set()  # splits

    def __enter__(self) -> _Gathered:
        return self

    def __exit__(self, *_: object) -> None:
        self.file.close()

    def read(self, split: str) -> None:
        """Read one text to its end."""
        part = self.text.splits[split]
        where = part.where or split
        lines = 0
        for chunk in part.chunks():
            self._keep(chunk, split, where)
            lines += len(chunk.texts)
            if len(self.labels) > MOST_LABELS:
                raise DataError(
                    f"the label column of {where} holds more than {MOST_LABELS:,} different labels by line "
                    f"{lines:,}, and a label is one of at most so many classes; "
                    "for plain sentences give --input-format text"
                )

    def _keep(self, chunk: Chunk, split: str, where: str) -> None:
        import pyarrow as pa

        options, cut = self.options, self.text.cut if split == "train" else None
        cleaned = control_rows(chunk.texts)
        plain = not cleaned.any()
        texts = normal_forms(chunk.texts, options.lowercase, options.split_punctuation, plain)
        words = words_of(texts)
        has_word = words.is_valid().cast(pa.uint8())
        filled = values_of(has_word, np.uint8).astype(bool)
        if cut is not None:
            self.keys.append(keys(same_bytes(chunk.texts, plain), cut.seed))
            self.filled.append(filled)
        labels = np.full(len(filled), -1, np.int32)
        if chunk.labels is not None:
            self.labelled.add(split)
            labels[filled] = [self.labels[label] for label in compress(chunk.labels, filled)]
        content = self._numbered(words, split, where) if options.tokenizer == "word" else texts
        columns = [content, has_word, array_of(cleaned), array_of(labels)]
        self.writer.write_batch(pa.record_batch(columns, schema=self.schema))
        self.batches[split] += 1
        self.sentences[split] += int(filled.sum())

    def _numbered(self, words: Any, split: str, where: str) -> Any:
        """Return lists of words as lists of their numbers. All that is too long for a word has the number of ""."""
        import pyarrow as pa
        import pyarrow.compute as pc

        met = words.flatten().dictionary_encode()
        too_long = pc.greater(pc.utf8_length(met.dictionary), LONGEST_WORD)
        names = pc.if_else(too_long, "", met.dictionary).to_pylist()
        numbers = np.fromiter(map(self.numbers.__getitem__, names), np.int32, len(names))
        if len(self.numbers) > MOST_WORDS:
            raise DataError(
                f"{where} has more than {MOST_WORDS:,} different words; if it is text, "
                "cut it into pieces: --tokenizer unigram"
            )
        indices = values_of(met.indices, np.int32)
        if split == "train":
            self.counts = np.pad(self.counts, (0, len(self.numbers) - len(self.counts)))
            np.add.at(self.counts, numbers, np.bincount(indices, minlength=len(numbers)))
        return pa.ListArray.from_arrays(words.offsets, array_of(numbers[indices]))

    def cut(self) -> None:
        """Say which sentences of train go where, if splits are to be cut from it."""
        self.writer.close()
        cut = self.text.cut
        if cut is None:
            return
        ends = np.cumsum([len(part) for part in self.keys])[:-1]
        where = self.text.splits["train"].where or "train"
        found = homes(np.concatenate([np.zeros(0, np.uint64), *self.keys]), cut.shares, cut.seed, where)
        self.keys, self.homes = [], np.split(found, ends)
        for place, name in enumerate(self.from_train):
            pairs = zip(self.homes, self.filled, strict=True)
            self.sentences[name] = sum(int(((home == place) & filled).sum()) for home, filled in pairs)

    def _lines(self, *wanted: str) -> Iterator[_Lines]:
        """Read the file once more, and yield the lines of these splits."""
        import pyarrow as pa

        self.file.seek(0)
        stream = pa.ipc.open_stream(self.file)
        for split, batches in self.batches.items():
            for number in range(batches):
                batch = stream.read_next_batch()
                if split == "train" and self.homes:
                    for place, name in enumerate(self.from_train):
                        if name in wanted:
                            yield _lines_of(name, batch, self.homes[number] == place)
                elif split in wanted:
                    yield _lines_of(split, batch, np.ones(len(batch), dtype=bool))

    def learn(self) -> tuple[Tokenizer, int]:
        """Return the tokenizer of the training lines, and the fewest times that a word of it was met."""
        return self._learn_words() if self.options.tokenizer == "word" else self._learn_pieces()

    def _learn_words(self) -> tuple[Tokenizer, int]:
        words = [*self.numbers]
        counts = np.pad(self.counts, (0, len(words) - len(self.counts)))
        for lines in self._lines(*self.from_train[1:]) if self.homes else ():  # were counted with train's
            found = np.bincount(lists_of(lines.content, np.int32)[0])
            counts[: len(found)] -= found
        marked = MARKED in self.numbers and counts[self.numbers[MARKED]] > 0
        fewest = fewest_occurrences(marked, self.options)
        enough = counts >= fewest
        often = zip(compress(words, enough), counts[enough].tolist(), strict=True)
        tokenizer = ranked_words(often, self.options.vocab_size, fewest)
        self.ids = tokenizer.numbers_of(words, missing=-1)
        self.numbers.clear()
        return tokenizer, fewest

    def _learn_pieces(self) -> tuple[Tokenizer, int]:
        """Return the model of the training lines, of a seeded choice where there are very many."""
        if any(MARKED in text.split() for text in self._train_texts() if MARKED in text):
            raise UsageError(
                "the text marks unknown words as <unk>, which pieces would spell out; use --tokenizer word"
            )
        texts, total = self._train_texts(), self.sentences["train"]
        if total > MOST_TO_LEARN:
            learnt = np.zeros(total, dtype=bool)
            learnt[np.random.default_rng(0).choice(total, MOST_TO_LEARN, replace=False)] = True
            texts = compress(texts, learnt)
        size = self.options.vocab_size or DEFAULT_PIECES
        return train_pieces(texts, self.options.tokenizer, size), fewest_occurrences(False, self.options)

    def _train_texts(self) -> Iterator[str]:
        return chain.from_iterable(lines.content.to_pylist() for lines in self._lines("train"))

    def encode(self, tokenizer: Tokenizer) -> dict[str, SplitBuilder]:
        """Encode every split."""
        options = self.options
        builders = {
            name: SplitBuilder(tokenizer, options.max_length, options.drop_long) for name in self.names
        }
        place = {name: number for number, name in enumerate(self.label_names())}
        named = np.array([place[label_name(label)] for label in self.labels], np.int32)
        labelled = {*self.labelled, *(self.from_train if "train" in self.labelled else ())}
        for lines in self._lines(*self.names):
            builder = builders[lines.split]
            builder.empty += lines.empty
            builder.cleaned += lines.cleaned
            labels = named[lines.labels] if lines.split in labelled else None
            if options.tokenizer == "word":
                numbers, lengths = lists_of(lines.content, np.int32)
                builder.add(self.ids[numbers], lengths, None, labels)
            else:
                texts = lines.content.to_pylist()
                flat, offsets = tokenizer.encode_many(texts)
                builder.add(flat, np.diff(offsets), count_words(texts), labels)
        return builders

    def label_names(self) -> list[str]:
        """Return the labels as they are stored, in order."""
        return sorted({label_name(label) for label in self.labels})


def _lines_of(split: str, batch: Any, rows: npt.NDArray[np.bool_]) -> _Lines:
    """Return some rows of a batch, as the lines of a split."""
    filled = rows & values_of(batch.column("has_word"), np.uint8).astype(bool)
    cleaned = int((values_of(batch.column("cleaned"), np.uint8) * rows).sum())
    lines = batch if filled.all() else batch.take(array_of(np.flatnonzero(filled)))
    labels = values_of(lines.column("label"), np.int32)
    return _Lines(split, lines.column("content"), labels, int(rows.sum()) - len(lines), cleaned)


def fewest_occurrences(marked: bool, options: PrepareOptions) -> int:
    """Return the smallest count of a word in the vocabulary.

    Unless told otherwise 2, so that words met once teach the model what an unknown word is like.

    Args:
        marked: Whether the text marks unknown words itself; then it keeps all its words.
        options: What was asked for.
    """
    return options.min_count or (1 if marked else 2)


def _label_notes(names: Sequence[str], splits: Mapping[str, Split]) -> list[str]:
    """Return what is to be known of labels that can be no classes."""
    labelled = [split for split in splits.values() if split.labels is not None]
    sentences = sum(map(len, labelled))
    if len(names) == 1:
        return [f"every label is {names[0]}: there is nothing to tell apart"]
    if names and len(names) > sentences / 2:
        return [f"{len(names):,} different labels for {sentences:,} sentences: is that a column of labels?"]
    return []


def _require(found: int, split: str, fewest: int, why: str = "") -> None:
    if found < fewest:
        what = "no sentence" if not found else "one sentence only"
        need = "" if fewest == 1 else f", and it takes {fewest} or more"
        raise DataError(f"{split} has {what}{need}{why}; give a file with more text")
