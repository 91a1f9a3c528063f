"""Raw sentences to a tokenizer, encoded splits and their counts; text of any length, some lines at a time."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from sritool.data.compact import marks_unknown
from sritool.data.gathering import Gathered
from sritool.data.info import CorpusInfo
from sritool.data.raw import RawCorpus
from sritool.data.store import Split, content_hash
from sritool.data.tokenizer import UNK, Tokenizer
from sritool.errors import DataError, UsageError

TOKENIZERS = ("word", "unigram", "bpe")
DEFAULT_MAX_LENGTH = 200


@dataclass(frozen=True)
class PrepareOptions:
    """How text becomes ids; every field is kept in ``corpus.json``."""

    tokenizer: str = "word"  # "word", or SentencePiece "unigram" or "bpe"
    vocab_size: int | None = None  # words with <unk>, or pieces with the special ones; None: all, or 8,000
    min_count: int | None = (
        None  # word tokenizer: fewest occurrences in train; None: 2, or 1 with <unk> in it
    )
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


def prepare(name: str, raw: RawCorpus, options: PrepareOptions, folder: Path | None = None) -> Prepared:
    """Build the vocabulary from ``train`` and encode every split.

    Lines without a word are dropped, longer ones than ``max_length`` are cut or dropped, and all are counted.
    Text is read once. Memory holds its ids, a few numbers for each line, and the different words.

    Args:   folder, where a temporary file of the text may be, which SentencePiece needs twice; None: the system's.
    Raises: DataError if a split has no sentence left, or train fewer than two.
    """
    gathered = Gathered(raw, options, folder)
    for split in raw.splits:
        gathered.read(split)
    gathered.cut()
    called = {split: raw.splits[split].where if split in raw.splits else "" for split in gathered.names}
    called = {split: f"{split} ({where})" if where else split for split, where in called.items()}
    for split in gathered.names:
        _require(gathered.sentences(split), called[split], 2 if split == "train" else 1)
    tokenizer, fewest = gathered.store.build(
        gathered.chosen("train"), lambda lines: fewest_occurrences(lines, options), options.vocab_size
    )
    targets = gathered.encode(tokenizer)
    splits: dict[str, Split] = {}
    for split in gathered.names:
        splits[split] = targets[split].split()
        _require(len(splits[split]), called[split], 1, f"; none is within --max-length {options.max_length}")
    info = CorpusInfo(
        name=name,
        source=raw.source,
        tokenizer=tokenizer.kind,
        vocabulary=len(tokenizer) - UNK,
        max_length=options.max_length,
        min_count=fewest,
        vocab_size=options.vocab_size,
        lowercase=options.lowercase,
        split_punctuation=options.split_punctuation,
        drop_long=options.drop_long,
        labels=tuple(gathered.label_names),
        notes=(*raw.notes, *_label_notes(gathered.label_names, splits)),
        splits={split: targets[split].info(splits[split]) for split in gathered.names},
        content_hash=content_hash(tokenizer, splits, gathered.label_names),
    )
    return Prepared(tokenizer, splits, info)


def fewest_occurrences(lines: Iterable[str], options: PrepareOptions) -> int:
    """The smallest count of a word in the vocabulary.

    Unless told otherwise 2, so that words met once teach the model what an unknown word is like; text that
    marks unknown words itself keeps all its words.
    """
    if options.min_count is not None:
        return options.min_count
    return 1 if marks_unknown(lines) else 2


def _label_notes(names: Sequence[str], splits: Mapping[str, Split]) -> list[str]:
    """What is to be known of labels that can be no classes."""
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
