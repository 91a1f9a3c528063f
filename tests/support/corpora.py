"""Writes a prepared corpus that is in memory to a folder."""

from __future__ import annotations

from pathlib import Path

from sritool.data.prepare import Prepared
from sritool.data.split import Split
from sritool.data.split_files import SplitFiles
from sritool.data.store import write_corpus


def store(folder: Path, corpus: Prepared, shard: int = 1_000_000) -> None:
    """Write a corpus into a new folder.

    Args:
        folder: The folder to create.
        corpus: The corpus.
        shard: Number of sentences per file.
    """
    folder.mkdir()
    files = {name: SplitFiles(folder / name) for name in corpus.splits}
    for name, split in corpus.splits.items():
        for begin in range(0, len(split), shard):
            files[name].add(_part(split, begin, min(begin + shard, len(split))))
    write_corpus(folder, corpus.tokenizer, corpus.info, files)


def _part(split: Split, begin: int, end: int) -> Split:
    bounds = split.offsets[begin : end + 1]
    labels, words = (None if of is None else of[begin:end] for of in (split.labels, split.word_counts))
    return Split(split.ids[bounds[0] : bounds[-1]], bounds - bounds[0], labels, words)
