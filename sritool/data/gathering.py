"""A corpus read once, some lines at a time, and kept compactly until its splits and its vocabulary are known."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Sequence
from itertools import compress, count
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
import numpy.typing as npt

from sritool.data.compact import Choice, PieceStore, Store, Tokens, WordStore
from sritool.data.normalise import label_name, normalised, with_control
from sritool.data.raw import Cut, RawCorpus, RawSplit
from sritool.data.sampling import Keys, homes, keys
from sritool.data.targets import LARGE, Targets
from sritool.data.tokenizer import IdArray, Tokenizer
from sritool.errors import DataError

if TYPE_CHECKING:
    from sritool.data.prepare import PrepareOptions

MOST_LABELS = 1_000


class _Batch(NamedTuple):
    """Lines in a row: what is known of each, beside its content in the store."""

    lengths: IdArray  # [lines], 0 for one without a word
    cleaned: npt.NDArray[np.bool_]  # [lines], whether it had control characters
    keys: Keys | None  # [lines], where splits are cut
    labels: IdArray | None  # [lines], by first occurrence, -1 without one

    def some(self, rows: slice) -> _Batch:
        """Some of its lines."""
        keys = None if self.keys is None else self.keys[rows]
        labels = None if self.labels is None else self.labels[rows]
        return _Batch(self.lengths[rows], self.cleaned[rows], keys, labels)


class Gathered:
    """All text of a corpus, read once and kept compactly."""

    def __init__(self, raw: RawCorpus, options: PrepareOptions, folder: Path | None) -> None:
        self.raw, self.options = raw, options
        self.store: Store = (
            WordStore() if options.tokenizer == "word" else PieceStore(options.tokenizer, folder)
        )
        self.from_train = ["train", *(raw.cut.shares if raw.cut else ())]
        self.names = sorted({*raw.splits, *self.from_train}, key=("train", "valid", "test").index)
        self.batches: dict[str, list[tuple[int, _Batch]]] = {name: [] for name in raw.splits}
        self.homes: list[npt.NDArray[np.uint8]] = []  # of the lines of each batch of train
        self.labels: defaultdict[str, int] = defaultdict(count().__next__)

    def read(self, split: str) -> None:
        """Read one text to its end."""
        part = self.raw.splits[split]
        cut = self.raw.cut if split == "train" else None
        where = part.where or split
        waiting: list[_Batch] = []
        lines = size = 0
        for chunk in part.chunks():
            waiting.append(self._take_in(chunk, cut, where, lines))
            lines += len(chunk.texts)
            size += int(waiting[-1].lengths.sum())
            if size >= LARGE:
                self._close(split, waiting)
                waiting, size = [], 0
        if waiting:
            self._close(split, waiting)

    def _take_in(self, chunk: RawSplit, cut: Cut | None, where: str, before: int) -> _Batch:
        texts = chunk.texts
        cleaned = with_control(texts)
        options = self.options
        plain = normalised(texts, options.lowercase, options.split_punctuation, bool(cleaned.any()))
        lengths = self.store.add(plain, where)
        found = None if chunk.labels is None else self._label_numbers(chunk.labels, lengths > 0)
        if len(self.labels) > MOST_LABELS:
            raise DataError(
                f"the label column of {where} holds more than {MOST_LABELS:,} different labels by line "
                f"{before + len(texts):,}, and a label is one of at most so many classes; "
                "for plain sentences give --input-format text"
            )
        return _Batch(lengths, cleaned, keys(texts, cut.seed) if cut else None, found)

    def _label_numbers(self, labels: Sequence[str], keep: npt.NDArray[np.bool_]) -> IdArray:
        numbers = np.full(len(labels), -1, dtype=np.int32)
        numbers[keep] = [self.labels[label] for label in compress(labels, keep)]
        return numbers

    def _close(self, split: str, waiting: Sequence[_Batch]) -> None:
        columns = ([part for part in column if part is not None] for column in zip(*waiting, strict=True))
        lengths, cleaned, keys, labels = (np.concatenate(column) if column else None for column in columns)
        assert lengths is not None
        assert cleaned is not None
        self.batches[split].append((self.store.close_batch(), _Batch(lengths, cleaned, keys, labels)))

    def cut(self) -> None:
        """Say which sentences of train go where, if splits are to be cut from it; names the labels."""
        if self.raw.cut is not None:
            batches = self.batches["train"]
            all_keys = np.concatenate([batch.keys for _, batch in batches if batch.keys is not None])
            where = self.raw.splits["train"].where or "train"
            found = homes(all_keys, self.raw.cut.shares, self.raw.cut.seed, where)
            self.homes = np.split(found, np.cumsum([len(batch.lengths) for _, batch in batches])[:-1])
            self.batches["train"] = [(number, batch._replace(keys=None)) for number, batch in batches]
        self.label_names = sorted({label_name(label) for label in self.labels})

    def chosen(self, split: str) -> Iterator[tuple[int, IdArray, Choice]]:
        """The batches that hold sentences of a split: number, lengths of all its lines, and which they are."""
        for number, batch, chosen in self._parts(split):
            yield number, batch.lengths, chosen

    def _parts(self, split: str) -> Iterator[tuple[int, _Batch, Choice]]:
        if split not in self.batches or (split == "train" and self.homes):
            place = self.from_train.index(split)
            for (number, batch), home in zip(self.batches["train"], self.homes, strict=True):
                yield number, batch, home == place
        else:
            for number, batch in self.batches[split]:
                yield number, batch, None

    def sentences(self, split: str) -> int:
        """How many lines of it have a word."""
        return sum(
            int(((lengths > 0) if chosen is None else (lengths > 0) & chosen).sum())
            for _, lengths, chosen in self.chosen(split)
        )

    def encode(self, tokenizer: Tokenizer) -> dict[str, Targets]:
        """Every split; what was kept is given up on the way."""
        targets = {
            name: Targets(tokenizer, self.options.max_length, self.options.drop_long) for name in self.names
        }
        place = {name: number for number, name in enumerate(self.label_names)}
        named = np.array([place[label_name(label)] for label in self.labels], dtype=np.int32)
        for split, batches in self.batches.items():
            for index, (number, batch) in enumerate(batches):
                home = self.homes[index] if split == "train" and self.homes else None
                for rows, tokens in self.store.take(number, batch.lengths):
                    part = batch.some(rows)
                    for at, name in enumerate(self.from_train if home is not None else [split]):
                        _add(targets[name], tokens, part, None if home is None else home[rows] == at, named)
        self.batches, self.homes = {}, []
        return targets


def _add(
    targets: Targets, tokens: Tokens, batch: _Batch, chosen: Choice, named: npt.NDArray[np.int32]
) -> None:
    """The lines of a batch that are of one split, but for those without a word."""
    words = batch.lengths > 0
    ours = np.ones(len(words), dtype=bool) if chosen is None else chosen
    targets.empty += int((ours & ~words).sum())
    targets.cleaned += int((ours & batch.cleaned).sum())
    keep = ours & words
    flat = tokens.flat if keep.all() else tokens.flat[np.repeat(keep, tokens.lengths)]
    labels = None if batch.labels is None else named[batch.labels[keep]]
    targets.add(flat, tokens.lengths[keep], None if tokens.words is None else tokens.words[keep], labels)
