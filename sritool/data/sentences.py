"""Sentences as a source gives them: all in memory, or out of files that are read as they are needed."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple, Protocol

CHUNK = 10_000  # sentences of a text in memory that are worked on at a time


class Chunk(NamedTuple):
    """Some sentences in a row."""

    texts: Any  # pyarrow.StringArray [sentences]
    labels: Sequence[str] | None  # [sentences], None where the source has none
    description: str = ""  # what of the file was taken as text and label, in words; said once a file


class Chunked(Protocol):
    """Sentences of one split, however they are kept."""

    @property
    def where(self) -> str:
        """What errors call them: a file's name; "" where there is none."""

    @property
    def notes(self) -> Sequence[str]:
        """What is to be known of them, once all have been read."""

    def chunks(self) -> Iterator[Chunk]:
        """Yield all sentences in order, some at a time."""


@dataclass(frozen=True)
class Sentences:
    """Sentences in memory, in order; `labels` beside them, or None where the source has none."""

    texts: Sequence[str]
    labels: Sequence[str] | None = None

    @property
    def where(self) -> str:
        """Sentences in memory have no file to name."""
        return ""

    @property
    def notes(self) -> Sequence[str]:
        """Sentences in memory have been read before."""
        return ()

    def take(self, indices: Iterable[int]) -> Sentences:
        """Return the sentences with these indices."""
        chosen = list(indices)
        labels = None if self.labels is None else [self.labels[index] for index in chosen]
        return Sentences([self.texts[index] for index in chosen], labels)

    def chunks(self) -> Iterator[Chunk]:
        """Yield all sentences in order, some at a time."""
        import pyarrow as pa

        for begin in range(0, len(self.texts), CHUNK):
            labels = None if self.labels is None else self.labels[begin : begin + CHUNK]
            yield Chunk(pa.array(self.texts[begin : begin + CHUNK], pa.string()), labels)


@dataclass(frozen=True)
class Cut:
    """Splits that have no text of their own and are cut from train: a share of its sentences each."""

    shares: Mapping[str, float]
    seed: int


@dataclass(frozen=True)
class CorpusText:
    """What a source yields: where from, in words for ``corpus.json``, and the splits by name.

    Where there is a `cut`, `splits` lacks the splits that it names.
    """

    source: str
    splits: Mapping[str, Chunked]
    notes: tuple[str, ...] = ()
    cut: Cut | None = None


def in_memory(chunks: Iterable[Chunk]) -> Sentences:
    """Return chunks as sentences in memory; without labels where they have none."""
    texts: list[str] = []
    labels: list[str] | None = None
    for chunk in chunks:
        texts += chunk.texts.to_pylist()
        if chunk.labels is not None:
            labels = labels or []
            labels += chunk.labels
    return Sentences(texts, labels)
