"""Sentences from a source: all in memory, or streamed from files when needed."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from sritool.data.normalise import rewritten_notes, unescaped

CHUNK = 10_000  # sentences processed at a time
LONGEST_CHUNK = 1 << 25  # characters after which a chunk ends


class Chunk(NamedTuple):
    """Some consecutive sentences."""

    texts: Any  # pyarrow.StringArray [sentences]
    labels: Sequence[str] | None  # [sentences]; None if the source has no labels
    description: str = ""  # which parts of the source were taken as text and label, in words
    escaped: bool = False  # whether its format escapes line ends and quotes


@dataclass(frozen=True)
class Sentences:
    """Sentences in memory, in order, with their `labels`, or None if the source has no labels.

    `where` and `notes` are empty.
    """

    texts: Sequence[str]
    labels: Sequence[str] | None = None

    where = ""
    notes = ()

    def take(self, indices: Iterable[int]) -> Sentences:
        """Return the sentences with these indices."""
        chosen = list(indices)
        labels = None if self.labels is None else [self.labels[index] for index in chosen]
        return Sentences([self.texts[index] for index in chosen], labels)

    def chunks(self) -> Iterator[Chunk]:
        """Yield all sentences in order, some at a time."""
        for begin in range(0, len(self.texts), CHUNK):
            labels = None if self.labels is None else self.labels[begin : begin + CHUNK]
            yield chunk_of(self.texts[begin : begin + CHUNK], labels)


@dataclass(frozen=True)
class StreamedSentences:
    """Sentences that are read again on each request; escapes are decoded."""

    where: str  # name in errors
    read: Callable[[], Iterator[Chunk]]  # yields the sentences in order, some at a time
    notes: list[str] = field(
        default_factory=list, compare=False
    )  # on text, label and escapes; set after reading

    def chunks(self) -> Iterator[Chunk]:
        """Yield all sentences in order, some at a time; errors are those of `read`."""
        descriptions: dict[str, None] = {}
        rewritten = {True: 0, False: 0}  # sentences changed, by whether their format has escapes
        for chunk in self.read():
            if chunk.description:
                descriptions[chunk.description] = None
            texts, changed = unescaped(chunk.texts, plain=not chunk.escaped)
            rewritten[chunk.escaped] += changed
            yield chunk._replace(texts=texts)
        self.notes[:] = descriptions
        for escaped, count in rewritten.items():
            self.notes.extend(rewritten_notes(count, plain=not escaped))


@dataclass(frozen=True)
class Cut:
    """Splits without text of their own, each of which is cut from train as a share of its sentences."""

    shares: Mapping[str, float]
    seed: int


@dataclass(frozen=True)
class CorpusText:
    """The text of a source: its origin, in words for ``corpus.json``, and the splits by name.

    The splits of a `cut` are not in `splits`.
    """

    source: str
    splits: Mapping[str, Sentences | StreamedSentences]
    notes: tuple[str, ...] = ()
    cut: Cut | None = None


def chunk_of(
    texts: Sequence[str], labels: Sequence[str] | None, description: str = "", escaped: bool = False
) -> Chunk:
    """Return sentences in memory as a chunk; other arguments as in `Chunk`."""
    import pyarrow as pa

    builder = pa.lib.StringBuilder()  # pa.array would import pandas
    builder.append_values([*texts])
    return Chunk(builder.finish(), labels, description, escaped)


def in_chunks(
    pairs: Iterable[tuple[str, str]], labelled: bool, description: str, escaped: bool = False
) -> Iterator[Chunk]:
    """Group (text, label) pairs into chunks; labels are dropped unless `labelled`."""
    texts: list[str] = []
    labels: list[str] = []
    size = 0
    for text, label in pairs:
        texts.append(text)
        labels.append(label)
        size += len(text)
        if len(texts) == CHUNK or size > LONGEST_CHUNK:
            yield chunk_of(texts, labels if labelled else None, description, escaped)
            texts, labels, size = [], [], 0
    if texts:
        yield chunk_of(texts, labels if labelled else None, description, escaped)


def in_memory(chunks: Iterable[Chunk]) -> Sentences:
    """Collect chunks into sentences in memory; without labels if the chunks have none."""
    texts: list[str] = []
    labels: list[str] | None = None
    for chunk in chunks:
        texts += chunk.texts.to_pylist()
        if chunk.labels is not None:
            labels = labels or []
            labels += chunk.labels
    return Sentences(texts, labels)
