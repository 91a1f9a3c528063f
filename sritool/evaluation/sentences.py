"""The sentences that a command on a checkpoint works on: some of a prepared split, or the first of a text."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np

from sritool.data.blocks import name_of
from sritool.data.fields import FieldNames, some_of
from sritool.data.preprocess import DEFAULT_DATA_DIR, tiny_in_memory
from sritool.data.readers import read_sentences
from sritool.data.sampling import Indices, seeded_choice
from sritool.data.split import Split
from sritool.data.store import Corpus, find_corpus, load_corpus
from sritool.data.tokenizer import SPECIALS, UNK
from sritool.errors import DataError
from sritool.processes import measuring
from sritool.runs.model import TrainedModel

SHOWN = 5  # most words shown in a line


class Chosen(NamedTuple):
    """Sentences of a split."""

    split: Split
    examples: Indices  # their indices, in order
    data: str  # their name: `ptb valid`, or the name of a text


class Text(NamedTuple):
    """A user's own sentences, read once for all models."""

    name: str
    lines: list[str]


def read_text(path: Path) -> Text:
    """Read a text file or "-", once for all processes. Raises: DataError if it cannot be read."""
    lines: list[str] = []
    if measuring().is_first:
        names = FieldNames(by_option=False, needs_labels=False)
        lines = [line.rstrip("\r") for line in read_sentences(path, names=names).texts]
    if measuring().size > 1:
        lines = json.loads(measuring().broadcast_bytes(json.dumps(lines).encode()))
    return Text(name_of(path), lines)


def unknown_words(model: TrainedModel, lines: Sequence[str]) -> str:
    """Return a line on the words that the model lacks and reads as <unk>; "" if it knows all of them."""
    words = [word for line in lines for word in line.split()]
    distinct = list(dict.fromkeys(words))
    alone = model.split(distinct)
    marked = SPECIALS[UNK]  # not counted where the text itself has it
    unknown = {word for index, word in enumerate(distinct) if (alone.targets(index) == UNK).any()}
    lacking = [word for word in distinct if word in unknown and word != marked]
    if not lacking:
        return ""
    among = set(lacking)
    count = sum(word in among for word in words)
    shown = some_of(lacking, SHOWN)
    return f"{count:,} of {len(words):,} words are unknown to the model and read as {marked}: {shown}"


def reading_notes(model: TrainedModel, lines: Sequence[str]) -> list[str]:
    """Return what the model does not read: a line on unknown words, and one on sentences that are too long."""
    notes = list(filter(None, [unknown_words(model, lines)]))
    cut = int((~model.split(lines).ended).sum())
    if cut:
        longer = "1 sentence is" if cut == 1 else f"{cut:,} sentences are"
        longest = model.checkpoint.corpus.max_length
        notes.append(
            f"{longer} longer than {longest} tokens, where the corpus of the model was cut: the rest is not read; "
            "give shorter lines"
        )
    return notes


def choose_sentences(
    model: TrainedModel, split: str, text: Text | None, limit: int | None, data_dir: Path
) -> Chosen:
    """Choose sentences by seed from a split of the model's training corpus, or the first sentences of a text.

    Raises: DataError if the corpus is missing or not the same, or if there is no sentence.
    """
    if text is None:
        return choose_from(model, prepared_corpus(model, data_dir), split, limit)
    found = model.split(text.lines)
    return _chosen(found, np.arange(min(len(found), limit or len(found))), text.name)


def choose_from(model: TrainedModel, corpus: Corpus, split: str, limit: int | None) -> Chosen:
    """Choose sentences by seed from a split of the model's training corpus. Raises: DataError if there is none."""
    found = corpus.split(split)
    return _chosen(found, seeded_choice(len(found), limit), f"{model.checkpoint.corpus.name} {split}")


def _chosen(split: Split, examples: Indices, name: str) -> Chosen:
    if not len(examples):
        raise DataError(f"{name} has no sentence; give one that has some")
    return Chosen(split, examples, name)


def prepared_corpus(model: TrainedModel, data_dir: Path) -> Corpus:
    """Load the corpus that the model was trained on, from `data_dir` or from where training found it.

    If `data_dir` is not the default, the user chose it, and it must contain the corpus. The bundled corpus is made
    again if it is missing. Raises: DataError if the corpus is missing or not the same.
    """
    trained = model.checkpoint.corpus
    path = find_corpus(trained.name, data_dir)
    if path is None:
        elsewhere = find_corpus(trained.path, data_dir)
        path = elsewhere if data_dir == DEFAULT_DATA_DIR else None
        found = f" (training found it in {elsewhere})" if elsewhere else ""
    if path is None and trained.name == "tiny":
        made = tiny_in_memory()
        if made.info.content_hash == trained.content_hash:
            return made
    if path is None:
        raise DataError(
            f"corpus {trained.name}{found} is not in {data_dir}/; prepare it with sritool preprocess, "
            "or give --data-dir"
        )
    corpus = load_corpus(path)
    if corpus.info.content_hash != trained.content_hash:
        raise DataError(
            f"the corpus in {path} is not the one that {model.path} was trained on; prepare that one again"
        )
    return corpus
