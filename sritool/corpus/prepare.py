"""Raw sentences to a tokenizer, encoded splits and their counts. Pure: nothing is read or written here."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import compress

import numpy as np
import numpy.typing as npt

from sritool.corpus.store import CorpusInfo, Split, SplitInfo, content_hash
from sritool.corpus.tokenizer import (
    EOS,
    SPECIALS,
    UNK,
    IdArray,
    OffsetArray,
    Tokenizer,
    WordTokenizer,
    offsets_of,
    train_pieces,
    train_words,
)
from sritool.errors import DataError, UsageError

TOKENIZERS = ("word", "unigram", "bpe")
DEFAULT_MAX_LENGTH = 200
DEFAULT_PIECES = 8_000
MOST_LABELS = 1_000
_UNKNOWN = SPECIALS[UNK]
_CONTROL = re.compile("[\x00-\x08\x0e-\x1f\x7f-\x9f]")  # all but white space that ends or parts words
# Words with their inner apostrophes and hyphens, numbers with their points, or one other character.
_PUNCTUATED = re.compile(r"<unk>|\w+(?:['’-]\w+|(?<=\d)[.,]\d+)*|[^\w\s]")


@dataclass(frozen=True)
class RawSplit:
    """Sentences as text, in order; ``labels`` beside them, or None where the source has none."""

    texts: Sequence[str]
    labels: Sequence[str] | None = None


@dataclass(frozen=True)
class RawCorpus:
    """What a source yields: where from, in words for ``corpus.json``, and the splits by name."""

    source: str
    splits: Mapping[str, RawSplit]
    notes: tuple[str, ...] = ()


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


@dataclass(frozen=True)
class _Encoded:
    """One encoded split, and what was lost on the way: see SplitInfo."""

    split: Split
    oov: int
    dropped: int
    truncated: int
    longest: int


def prepare(name: str, raw: RawCorpus, options: PrepareOptions) -> Prepared:
    """Build the vocabulary from ``train`` and encode every split.

    Lines without a word are dropped, longer ones than ``max_length`` are cut or dropped, and all are counted.

    Raises: DataError if a split has no sentence left, or train fewer than two.
    """
    cleaned = {split: _with_control(part.texts) for split, part in raw.splits.items()}
    texts = {
        split: _normalised(part.texts, options, cleaned[split] > 0) for split, part in raw.splits.items()
    }
    nonempty = {split: [bool(text) and not text.isspace() for text in texts[split]] for split in texts}
    lines = {split: list(compress(texts[split], nonempty[split])) for split in texts}
    for split, sentences in lines.items():
        _require(sentences, split, 2 if split == "train" else 1)
    tokenizer = build_tokenizer(lines["train"], options)
    names = _label_names(raw.splits, nonempty)
    if len(names) > MOST_LABELS:
        raise DataError(
            f"the label column holds {len(names):,} different labels, and a label is one of at most "
            f"{MOST_LABELS:,} classes; for plain sentences give --input-format text"
        )
    splits: dict[str, Split] = {}
    counts: dict[str, SplitInfo] = {}
    for split, part in raw.splits.items():
        labels = _label_ids(part.labels, nonempty[split], names)
        encoded = _encode(tokenizer, lines[split], options.max_length, options.drop_long, labels)
        _require(encoded.split, split, 1, f"; none is within --max-length {options.max_length}")
        splits[split] = encoded.split
        empty = len(part.texts) - len(lines[split])
        counts[split] = _count(encoded, empty, cleaned[split])
    info = CorpusInfo(
        name=name,
        source=raw.source,
        tokenizer=tokenizer.kind,
        vocabulary=len(tokenizer) - UNK,
        max_length=options.max_length,
        min_count=fewest_occurrences(lines["train"], options),
        vocab_size=options.vocab_size,
        lowercase=options.lowercase,
        split_punctuation=options.split_punctuation,
        drop_long=options.drop_long,
        labels=tuple(names),
        notes=raw.notes,
        splits=counts,
        content_hash=content_hash(tokenizer, splits, names),
    )
    return Prepared(tokenizer, splits, info)


def build_tokenizer(lines: Sequence[str], options: PrepareOptions) -> Tokenizer:
    """The tokenizer of ``options`` for the training sentences ``lines``."""
    if options.tokenizer == "word":
        return train_words(lines, options.vocab_size, fewest_occurrences(lines, options))
    if _marks_unknown(lines):
        raise UsageError(
            "the text marks unknown words as <unk>, which pieces would spell out; use --tokenizer word"
        )
    return train_pieces(lines, options.tokenizer, options.vocab_size or DEFAULT_PIECES)


def fewest_occurrences(lines: Sequence[str], options: PrepareOptions) -> int:
    """The smallest count of a word in the vocabulary.

    Unless told otherwise 2, so that words met once teach the model what an unknown word is like; text that
    marks unknown words itself keeps all its words.
    """
    if options.min_count is not None:
        return options.min_count
    return 1 if _marks_unknown(lines) else 2


def _marks_unknown(lines: Sequence[str]) -> bool:
    return any(_UNKNOWN in line.split() for line in lines if _UNKNOWN in line)


def encode_split(tokenizer: Tokenizer, lines: Sequence[str], max_length: int) -> Split:
    """Encode sentences in memory; order and number are kept.

    A longer line than ``max_length`` words (or pieces) is cut, and then has no ``</s>``. An empty line is a
    sentence of ``</s>`` alone. The text is taken as it is: no lowercasing.
    """
    return _encode(tokenizer, lines, max_length, drop_long=False, labels=None).split


def split_punctuation(text: str) -> str:
    """Marks as words of their own: ``A dog runs.`` becomes ``A dog runs .``"""
    return " ".join(_PUNCTUATED.findall(text))


def _normalised(lines: Sequence[str], options: PrepareOptions, clean: bool) -> Sequence[str]:
    texts: Iterable[str] = lines
    if clean:  # so that no text can steer a terminal that shows it
        texts = (_CONTROL.sub(" ", text) for text in texts)
    if options.lowercase:
        texts = map(str.lower, texts)
    if options.split_punctuation:
        texts = map(split_punctuation, texts)
    return lines if texts is lines else list(texts)


def _with_control(texts: Sequence[str]) -> int:
    """How many sentences hold control characters; one search tells for nearly all text that none does."""
    if not _CONTROL.search("\n".join(texts)):
        return 0
    return sum(1 for text in texts if _CONTROL.search(text))


def _require(sentences: Sequence[object] | Split, split: str, fewest: int, why: str = "") -> None:
    if len(sentences) < fewest:
        found = "no sentence" if not len(sentences) else "one sentence only"
        need = "" if fewest == 1 else f", and it takes {fewest} or more"
        raise DataError(f"{split} has {found}{need}{why}; give a file with more text")


def _label_names(splits: Mapping[str, RawSplit], nonempty: Mapping[str, Sequence[bool]]) -> list[str]:
    return sorted(
        {label for name, part in splits.items() for label in compress(part.labels or (), nonempty[name])}
    )


def _label_ids(
    labels: Sequence[str] | None, keep: Sequence[bool], names: Sequence[str]
) -> npt.NDArray[np.int64] | None:
    if labels is None:
        return None
    index = {name: number for number, name in enumerate(names)}
    return np.array([index[label] for label in compress(labels, keep)], dtype=np.int64)


def _encode(
    tokenizer: Tokenizer,
    lines: Sequence[str],
    max_length: int,
    drop_long: bool,
    labels: npt.NDArray[np.int64] | None,
) -> _Encoded:
    if isinstance(tokenizer, WordTokenizer):
        flat, offsets = tokenizer.encode_marked(lines)
    else:
        flat, offsets = tokenizer.encode_many(lines)
    lengths = np.diff(offsets)
    over = lengths > max_length
    kept = ~over if drop_long else np.ones(len(lines), dtype=bool)
    longest = int(lengths.max(initial=0))
    if over.any():
        place = np.arange(len(flat)) - np.repeat(offsets[:-1], lengths)  # of each token in its line
        flat = flat[(place < max_length) & np.repeat(kept, lengths)]
    lost = flat < 0 if tokenizer.kind == "word" else flat == UNK
    flat[lost] = UNK
    ids, bounds = _with_ends(flat, np.minimum(lengths, max_length)[kept], ~over[kept])
    if tokenizer.kind == "word":
        words = np.diff(bounds)
    else:
        words = np.array([len(line.split()) + 1 for line in lines], dtype=np.int64)[kept]
        for row in np.flatnonzero(over[kept]):
            words[row] = len(tokenizer.decode(ids[bounds[row] : bounds[row + 1]]).split())
    split = Split(ids=ids, offsets=bounds, labels=None if labels is None else labels[kept], words=words)
    return _Encoded(split, int(lost.sum()), int((~kept).sum()), int((over & kept).sum()), longest)


def _with_ends(
    flat: IdArray, lengths: OffsetArray, ended: npt.NDArray[np.bool_]
) -> tuple[IdArray, OffsetArray]:
    """Put ``</s>`` after each sentence that is ``ended`` (not cut)."""
    offsets = offsets_of(lengths + ended)
    ids = np.full(int(offsets[-1]), EOS, dtype=np.int32)
    shift = np.repeat(offsets_of(ended.astype(np.int64))[:-1], lengths)  # ends before each sentence
    ids[np.arange(len(flat)) + shift] = flat
    return ids, offsets


def _count(encoded: _Encoded, empty: int, cleaned: int) -> SplitInfo:
    split = encoded.split
    ends = int((split.ids == EOS).sum())
    return SplitInfo(
        sentences=len(split),
        words=int(split.words.sum()) - ends,
        tokens=split.predictions - ends,
        predictions=split.predictions,
        unknown=int((split.ids == UNK).sum()),
        oov=encoded.oov,
        empty=empty,
        dropped=encoded.dropped,
        truncated=encoded.truncated,
        cleaned=cleaned,
        longest=encoded.longest,
    )
