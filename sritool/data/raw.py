"""Raw sentences, in chunks: in memory, or out of a file that is read as it is needed."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

CHUNK = 1_000  # sentences of a text in memory that are worked on at a time


class Chunked(Protocol):
    """Sentences of one split, however they are kept."""

    @property
    def where(self) -> str:
        """What errors call them: a file's name; "" where there is none."""

    def chunks(self) -> Iterator[RawSplit]:
        """All sentences in order, some at a time."""


@dataclass(frozen=True)
class RawSplit:
    """Sentences as text, in order; ``labels`` beside them, or None where the source has none."""

    texts: Sequence[str]
    labels: Sequence[str] | None = None

    @property
    def where(self) -> str:
        """Sentences in memory have no file to name."""
        return ""

    def chunks(self) -> Iterator[RawSplit]:
        """All sentences in order, some at a time."""
        for begin in range(0, len(self.texts), CHUNK):
            labels = None if self.labels is None else self.labels[begin : begin + CHUNK]
            yield RawSplit(self.texts[begin : begin + CHUNK], labels)


@dataclass(frozen=True)
class Cut:
    """Splits that have no text of their own and are cut from train: a share of its sentences each."""

    shares: Mapping[str, float]
    seed: int


@dataclass(frozen=True)
class RawCorpus:
    """What a source yields: where from, in words for ``corpus.json``, and the splits by name.

    Where there is a ``cut``, ``splits`` lacks the splits that it names.
    """

    source: str
    splits: Mapping[str, Chunked]
    notes: tuple[str, ...] = ()
    cut: Cut | None = None


def gathered(chunks: Iterator[RawSplit]) -> RawSplit:
    """Chunks as one split in memory; without labels where they have none."""
    texts: list[str] = []
    labels: list[str] | None = None
    for chunk in chunks:
        texts += chunk.texts
        if chunk.labels is not None:
            labels = labels or []
            labels += chunk.labels
    return RawSplit(texts, labels)
