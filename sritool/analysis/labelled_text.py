"""Sentences with labels: from files, or a prepared corpus; what recurs in test; seeded draws."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from sritool.data.blocks import name_of
from sritool.data.corpora.official_files import SENTIMENTS
from sritool.data.normalise import same
from sritool.data.prepare import MOST_LABELS
from sritool.data.readers import FieldNames, read_labelled
from sritool.data.sampling import seeded_choice
from sritool.data.store import Corpus, Split
from sritool.errors import DataError, UsageError
from sritool.runs.model import TrainedModel

Indices = NDArray[np.int64]

SHOWN = 4  # labels in an error


@dataclass(frozen=True, eq=False)
class Sentences:
    """Sentences of one file or split, in order."""

    name: str  # of the file, or `yelp test`
    labels: tuple[str, ...] | None  # a name for each sentence
    texts: tuple[str, ...] | None = None  # as the file has them
    prepared: Split | None = None  # as the corpus that the models were trained on has them
    decode: Callable[[NDArray[np.int32]], str] | None = None  # of that corpus' tokenizer

    def __len__(self) -> int:
        return len(self.texts if self.texts is not None else self.prepared or ())

    def split(self, model: TrainedModel) -> Split:
        """The same sentences as a model reads them, with the same indices."""
        return self.prepared if self.prepared is not None else model.split(self.texts or ())

    def text(self, index: int) -> str:
        """One sentence; of a prepared corpus with its unknown words."""
        if self.texts is not None:
            return self.texts[index]
        assert self.prepared is not None
        assert self.decode is not None
        return self.decode(self.prepared.targets(index))

    @cached_property
    def text_keys(self) -> list[str]:
        """What equal sentences have in common."""
        return [same(self.text(index)) for index in range(len(self))]


class Sources(NamedTuple):
    """All that a classification reads, with the labels as numbers."""

    classes: tuple[str, ...]
    test: Sentences
    valid: Sentences | None
    train: Sentences | None
    labelled: tuple[Sentences, ...]

    def numbers(self, source: Sentences) -> Indices:
        """The class of each sentence: [sentences], indices into `classes`."""
        place = {name: number for number, name in enumerate(self.classes)}
        assert source.labels is not None
        return np.array([place[label] for label in source.labels], dtype=np.int64)


class Overlap(NamedTuple):
    """Sentences of one source whose text is in another too."""

    source: str
    other: str
    sentences: int
    of: int

    def __str__(self) -> str:
        return f"{self.sentences:,} of {self.of:,} sentences of {self.source} recur in {self.other}"


def read_sentences(path: Path, columns: FieldNames, needs_labels: bool = True) -> Sentences:
    """Sentences of a file or "-"; lines without a word are left out, and not counted.

    Raises: DataError if it cannot be read, has no sentence, or no labels where they are needed.
    """
    name, raw = name_of(path), read_labelled(path, None, columns)
    if raw.labels is None and needs_labels:
        raise DataError(f"{name} has no labels; a row is label<TAB>text, or name the column: --label-key")
    keep = [index for index, text in enumerate(raw.texts) if text.strip()]
    if not keep:
        raise DataError(f"{name} has no sentence; give a file that has some")
    labels = tuple(raw.labels[index] for index in keep) if raw.labels is not None else None
    return Sentences(name, labels, tuple(raw.texts[index].rstrip("\r") for index in keep))


def prepared_sentences(corpus: Corpus, split: str, needs_labels: bool = True) -> Sentences:
    """A split of a prepared corpus. Raises: DataError if it has no labels where they are needed."""
    found, names = corpus.split(split), corpus.info.labels
    if found.labels is None and needs_labels:
        raise DataError(
            f"corpus {corpus.info.name} has no labels in {split}; give files with label<TAB>text: "
            "--labelled, --valid and --test"
        )
    labels = tuple(names[number] for number in found.labels.tolist()) if found.labels is not None else None
    return Sentences(f"{corpus.info.name} {split}", labels, None, found, corpus.tokenizer.decode)


def aligned(
    test: Sentences, valid: Sentences | None, train: Sentences | None, labelled: Sequence[Sentences]
) -> Sources:
    """Sources with one set of names for their labels: 0 and 1 are those of a sentiment where others say so.

    Raises: DataError if a source's labels are none of test's.
    """
    sources = [source for source in (test, valid, *labelled) if source is not None]
    names: set[str] = {label for source in sources for label in source.labels or ()}
    translate = SENTIMENTS if names <= {*SENTIMENTS, *SENTIMENTS.values()} else {}

    def renamed(source: Sentences) -> Sentences:
        labels = source.labels and tuple(translate.get(label, label) for label in source.labels)
        return Sentences(source.name, labels, source.texts, source.prepared, source.decode)

    test, labelled = renamed(test), [renamed(source) for source in labelled]
    valid = renamed(valid) if valid is not None else None
    known = {*(test.labels or ())}
    for source in (valid, *labelled):
        if source is not None and not known & {*(source.labels or ())}:
            raise DataError(
                f"the labels of {source.name} ({_some(source.labels)}) are none of {test.name}'s "
                f"({_some(test.labels)}); give files with the same labels"
            )
        if source is not None and source.labels and len({*source.labels}) == 1:
            raise DataError(
                f"{source.name} has one label only ({source.labels[0]}), from which no classes can be told "
                "apart; give a file with sentences of each"
            )
    classes = sorted(
        {label for source in (test, valid, *labelled) if source for label in source.labels or ()}
    )
    if len(classes) < 2:
        raise DataError(
            f"{test.name} has one label only ({classes[0]}); give sentences of two classes or more"
        )
    if len(classes) > MOST_LABELS:
        raise DataError(
            f"{test.name} has {len(classes):,} different labels; a label is one of {MOST_LABELS:,} classes at most"
        )
    return Sources(tuple(classes), test, valid, train, tuple(labelled))


def _some(labels: Sequence[str] | None) -> str:
    found = sorted({*(labels or ())})
    return ", ".join(found[:SHOWN]) + (", …" if len(found) > SHOWN else "")


def in_other(source: Sentences, other: Sentences, model: TrainedModel) -> NDArray[np.bool_]:
    """Which sentences of `source` are in `other` too: as text, or as the model's words where one has no text."""
    if source.texts is not None and other.texts is not None:
        wanted = {*other.text_keys}
        return np.array([key in wanted for key in source.text_keys], dtype=bool)
    of_other = _words(other, model)
    return np.array([words in of_other for words in _listed(source, model)], dtype=bool)


def _words(source: Sentences, model: TrainedModel) -> set[bytes]:
    return {*_listed(source, model)}


def _listed(source: Sentences, model: TrainedModel) -> list[bytes]:
    split = source.split(model)
    return [split.targets(index).tobytes() for index in range(len(split))]


def draw(usable: Indices, of: int, count: int, seed: int, number: int) -> Indices:
    """`count` of the usable sentences at random, in their order; of one draw the fewer are among the more.

    Args:    of: how many sentences there are; which are drawn depends little on those that are not usable.
    Raises:  UsageError if there are not so many.
    """
    if count > len(usable):
        raise UsageError(
            f"{count:,} labels cannot be drawn from {len(usable):,} sentences; give --labels fewer"
        )
    return seeded_choice(of, count, [seed, number], usable)


def choose(usable: Indices, of: int, limit: int | None) -> Indices:
    """The usable sentences, or a seeded choice of `limit` of them, in their order; it is that of `evaluate`."""
    return seeded_choice(of, limit, among=usable)
