"""Reads labelled sentences from files or a prepared corpus, and finds those that recur in test."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from sritool.analysis.classifiers import Kernel, Naming
from sritool.data.blocks import name_of
from sritool.data.corpora.official_files import SENTIMENTS
from sritool.data.fields import FieldNames, some_of
from sritool.data.normalise import comparison_form
from sritool.data.raw_lines import MOST_LABELS
from sritool.data.readers import read_labelled
from sritool.data.sampling import Indices
from sritool.data.sentences import StreamedSentences, in_memory
from sritool.data.split import Split
from sritool.data.store import Corpus
from sritool.errors import DataError, UsageError
from sritool.evaluation.evaluate import require_one_corpus
from sritool.evaluation.sentences import prepared_corpus
from sritool.processes import measuring
from sritool.runs.model import TrainedModel

SHOWN = 4  # labels listed in an error message


@dataclass(frozen=True, eq=False)
class Sentences:
    """Sentences of one file or split, in order."""

    name: str  # of the file, or `yelp test`
    labels: tuple[str, ...] | None  # label of each sentence
    texts: tuple[str, ...] = ()  # as in the file; empty for a prepared split
    prepared: Split | None = None  # split of the models' training corpus; None for a file
    decode: Callable[[NDArray[np.int32]], str] | None = None  # the corpus' tokenizer's; None for a file

    def __len__(self) -> int:
        return len(self.texts) if self.prepared is None else len(self.prepared)

    def split(self, model: TrainedModel) -> Split:
        """Return the sentences as the model's token ids, with the same indices."""
        return model.split(self.texts) if self.prepared is None else self.prepared

    def text(self, index: int) -> str:
        """Return one sentence as text; in a prepared corpus, rare words are <unk>."""
        if self.prepared is None or self.decode is None:
            return self.texts[index]
        return self.decode(self.prepared.targets(index))


class Sources(NamedTuple):
    """All sentences of a classification, with the labels as numbers."""

    classes: tuple[str, ...]
    place: Mapping[str, int]  # label in a source -> index of its class
    test: Sentences
    valid: Sentences | None
    train: Sentences | None
    labelled: tuple[Sentences, ...]
    note: str = ""  # on labels of one source that are taken for other labels

    def numbers(self, source: Sentences) -> Indices:
        """Return the class of each sentence, [sentences], as indices into `classes`."""
        return np.array([self.place[label] for label in source.labels or ()], dtype=np.int64)


@dataclass(frozen=True)
class Request:
    """Data and settings of a classification."""

    labelled: tuple[Path, ...] = ()  # files to learn labels from; none: draws from train
    train: Path | None = None  # for train, valid and test, None: that split of the models' training corpus
    valid: Path | None = None
    test: Path | None = None
    columns: FieldNames = field(default_factory=FieldNames)
    counts: tuple[int, ...] | None = None  # numbers of labels to draw, 0: none; None: whole files, or COUNTS
    zero: bool | None = None  # whether to cluster without labels; None: if counts is None or has a 0
    draws: int = 5
    train_sentences: int = 10_000  # sentences to cluster without labels
    limit: int | None = None  # sentences of train, valid and test each
    deduplicate: bool = False
    chains: int | None = None  # draws averaged into a code; None: the mean of q(z|x), without draws
    chain_dropout: bool = False  # dropout in these chains, as in training
    standardize: bool = True  # standardise every dimension of the codes first
    components: int | None = None  # principal components to cluster; None: the codes themselves
    naming: Naming = "hungarian"
    kernel: Kernel = "linear"
    seed: int = 0
    batch_size: int = 64
    data_dir: Path = Path("data")

    @property
    def wants_clusters(self) -> bool:
        """Whether the table has a column without labels."""
        return (self.counts is None or 0 in self.counts) if self.zero is None else self.zero

    @property
    def wants_labels(self) -> bool:
        """Whether the table has columns with labels drawn from train."""
        return self.counts is None or any(self.counts)


def read_sources(models: Sequence[TrainedModel], request: Request) -> Sources:
    """Read the given files, and take the other splits from the models' training corpus."""

    def source(path: Path | None, split: str, needs_labels: bool = True) -> Sentences:
        if path is not None:
            return read_sentences(path, request.columns, needs_labels)
        require_one_corpus(models, "classify with them one by one")
        try:
            corpus = prepared_corpus(models[0], request.data_dir)
        except DataError as error:
            advice = f"--{split} FILE" + ("" if needs_labels else " or --no-zero")
            raise DataError(f"{error}, or {advice}") from error
        return prepared_sentences(corpus, split, needs_labels)

    zero = request.wants_clusters
    test = source(request.test, "test")
    valid = source(request.valid, "valid") if zero else None
    labelled = tuple(read_sentences(path, request.columns) for path in request.labelled)
    drawn = not labelled and request.wants_labels
    train = source(request.train, "train", drawn) if zero or drawn else None
    return aligned(test, valid, train, (train,) if drawn and train is not None else labelled)


def read_sentences(path: Path, columns: FieldNames, needs_labels: bool = True) -> Sentences:
    """Read the sentences of a file or "-"; empty lines are skipped and not counted.

    Raises:
        UsageError: Several processes would have to read standard input.
        DataError: The file cannot be read, has no sentence, or lacks labels that are needed.
    """
    if str(path) == "-" and measuring().size > 1:
        raise UsageError("several processes cannot read labelled sentences from standard input; give a file")
    name, stored = name_of(path), read_labelled(path, None, columns)
    # As in preprocess, <br /> becomes a space.
    raw = in_memory(StreamedSentences(name, stored.chunks).chunks())
    if raw.labels is None and needs_labels:
        raise DataError(f"{name} has no labels; a row is label<TAB>text, or name the column: --label-column")
    keep = [index for index, text in enumerate(raw.texts) if text.strip()]
    if not keep:
        raise DataError(f"{name} has no sentence; give a file that has some")
    labels = tuple(raw.labels[index] for index in keep) if raw.labels is not None else None
    return Sentences(name, labels, tuple(raw.texts[index].rstrip("\r") for index in keep))


def prepared_sentences(corpus: Corpus, split: str, needs_labels: bool = True) -> Sentences:
    """Take a split of a prepared corpus as sentences. Raises: DataError if it lacks labels that are needed."""
    found, names = corpus.split(split), corpus.info.labels
    if found.labels is None and needs_labels:
        raise DataError(
            f"corpus {corpus.info.name} has no labels in {split}; give files with label<TAB>text: "
            "--labelled, --valid and --test"
        )
    labels = tuple(names[number] for number in found.labels.tolist()) if found.labels is not None else None
    return Sentences(f"{corpus.info.name} {split}", labels, (), found, corpus.tokenizer.decode)


def aligned(
    test: Sentences, valid: Sentences | None, train: Sentences | None, labelled: Sequence[Sentences]
) -> Sources:
    """Number the labels of all sources; 0 and 1 of one source match negative and positive of another.

    The labels of `train` are used only if it is among `labelled`.
    Raises: DataError if a source has no label in common with test, or there is one label only, or too many.
    """
    given = {source: {*(source.labels or ())} for source in (test, valid, *labelled) if source is not None}
    matched, note = _matched(given, test)
    names = {label: matched.get(label, label) for label in set().union(*given.values())}
    own = {source: {names[label] for label in of_source} for source, of_source in given.items()}
    for source in given:
        _check_names(source, test, own[source], own[test])
    classes = sorted({*names.values()})
    if len(classes) < 2:
        raise DataError(
            f"{test.name} has one label only ({classes[0]}); give sentences of two classes or more"
        )
    if len(classes) > MOST_LABELS:
        raise DataError(
            f"{test.name} has {len(classes):,} different labels; at most {MOST_LABELS:,} are possible"
        )
    place = {label: classes.index(name) for label, name in names.items()}
    return Sources(tuple(classes), place, test, valid, train, tuple(labelled), note)


def _matched(given: Mapping[Sentences, set[str]], test: Sentences) -> tuple[dict[str, str], str]:
    """Match 0 and 1 of some sources with negative and positive of others.

    Returns:
        The names of labels that are renamed, as in the prepared corpus or else in test, and a note that says so.
    """
    forms = tuple(SENTIMENTS), tuple(SENTIMENTS.values())
    users = {form: [source for source, labels in given.items() if labels <= {*form}] for form in forms}
    if not all(users.values()) or sum(map(len, users.values())) < len(given):
        return {}, ""
    main = next((source for source in given if source.prepared is not None), test)
    own, other = forms if main in users[forms[0]] else forms[::-1]
    names = ", ".join(source.name for source in users[other])
    note = f"labels of {names}: {other[0]} is taken for {own[0]}, {other[1]} for {own[1]}"
    return dict(zip(other, own, strict=True)), note


def _check_names(source: Sentences, test: Sentences, own: set[str], of_test: set[str]) -> None:
    if own.isdisjoint(of_test):
        ours, theirs = (some_of(sorted(labels), SHOWN) for labels in (own, of_test))
        none = f"the labels of {source.name} ({ours}) are none of {test.name}'s ({theirs})"
        other = ", or --no-zero, which needs no clusters to be named" if source.prepared is not None else ""
        raise DataError(f"{none}; give files with the same labels{other}")
    if len(own) == 1 and source is not test:
        one = f"{source.name} has one label only ({own.pop()}), from which no classes can be told apart"
        raise DataError(f"{one}; give a file with sentences of each")


def in_other(source: Sentences, other: Sentences, model: TrainedModel) -> NDArray[np.bool_]:
    """Return which sentences of `source` are in `other` too: [sentences of `source`].

    Texts are compared, or token ids of `model` if one of the two has no text.
    """
    as_text = source.prepared is None and other.prepared is None

    def keys(sentences: Sentences) -> list[str] | list[bytes]:
        if as_text:
            return [comparison_form(text) for text in sentences.texts]
        split = sentences.split(model)
        return [split.targets(index).tobytes() for index in range(len(split))]

    wanted = {*keys(other)}
    return np.array([key in wanted for key in keys(source)], dtype=bool)
