"""Sentences as a source gives them: all in memory, or out of files that are read as they are needed."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from sritool.data.normalise import rewritten_notes, unescaped

CHUNK = 10_000  # sentences that are worked on at a time
LONGEST_CHUNK = 1 << 25  # characters after which a chunk has no further sentence


class Chunk(NamedTuple):
    """Some sentences in a row."""

    texts: Any  # pyarrow.StringArray [sentences]
    labels: Sequence[str] | None  # [sentences], None where the source has none
    description: str = ""  # what of the source was taken as text and label, in words; said once
    escaped: bool = False  # whether its form writes escapes for line ends and quotes


@dataclass(frozen=True)
class Sentences:
    """Sentences in memory, in order; `labels` beside them, or None where the source has none.

    They have no `where` to name, and no `notes`.
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
    """Sentences that are read anew each time that they are asked for. Escapes are replaced by what they stand for."""

    where: str  # what errors call them
    read: Callable[[], Iterator[Chunk]]  # yields them in order, some at a time
    notes: list[str] = field(default_factory=list, compare=False)  # what was taken as what, once all are read

    def chunks(self) -> Iterator[Chunk]:
        """Yield all sentences in order, some at a time; errors are those of `read`."""
        descriptions: dict[str, None] = {}
        rewritten = {True: 0, False: 0}  # sentences of forms with escapes, and of others
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
    """Splits that have no text of their own and are cut from train: a share of its sentences each."""

    shares: Mapping[str, float]
    seed: int


@dataclass(frozen=True)
class CorpusText:
    """What a source yields: where from, in words for ``corpus.json``, and the splits by name.

    Where there is a `cut`, `splits` lacks the splits that it names.
    """

    source: str
    splits: Mapping[str, Sentences | StreamedSentences]
    notes: tuple[str, ...] = ()
    cut: Cut | None = None


def chunk_of(
    texts: Sequence[str], labels: Sequence[str] | None, description: str = "", escaped: bool = False
) -> Chunk:
    """Return sentences in memory as a chunk; the other arguments as in `Chunk`."""
    import pyarrow as pa

    return Chunk(pa.array(texts, pa.string()), labels, description, escaped)


def in_chunks(
    pairs: Iterable[tuple[str, str]], labelled: bool, description: str, escaped: bool = False
) -> Iterator[Chunk]:
    """Yield sentences that come one by one with their labels, `labelled` or not, as chunks."""
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
    """Return chunks as sentences in memory; without labels where they have none."""
    texts: list[str] = []
    labels: list[str] | None = None
    for chunk in chunks:
        texts += chunk.texts.to_pylist()
        if chunk.labels is not None:
            labels = labels or []
            labels += chunk.labels
    return Sentences(texts, labels)
