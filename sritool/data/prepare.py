"""Turns raw sentences into a tokenizer, encoded splits and counts, some lines at a time for text of any length."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from functools import partial
from itertools import compress
from pathlib import Path

import numpy as np
import numpy.typing as npt

from sritool.data import split_files
from sritool.data.arrays import lists_of
from sritool.data.corpus_info import CorpusInfo, SplitInfo
from sritool.data.fields import some_of
from sritool.data.normalise import label_name, words_are_separated
from sritool.data.options import PrepareOptions
from sritool.data.raw_lines import Lines, RawLines
from sritool.data.sentences import CorpusText
from sritool.data.split import Split, SplitBuilder, count_words
from sritool.data.split_files import SplitFiles
from sritool.data.store import content_hash
from sritool.data.tokenizer import OWN_MODEL, SPECIALS, UNK, IdArray, Tokenizer, WordTokenizer
from sritool.data.vocabulary import CUT_IT, UNSEPARATED, learn_pieces, learn_words
from sritool.data.workers import ordered_map
from sritool.errors import DataError, UsageError

Encoded = tuple[IdArray, npt.NDArray[np.int64], npt.NDArray[np.int64] | None]
"""Flat ids of some lines, ids per line, and words per line if ids are pieces."""

MOST_UNKNOWN = 0.1  # share of unknown tokens above which a split gets a warning
MOST_REPEATED = 0.1  # the same for sentences that are in train too; short ones recur in any text


@dataclass(frozen=True)
class Prepared:
    """A corpus ready to be stored; its splits are in memory, or views of `files` that are already written."""

    tokenizer: Tokenizer
    splits: Mapping[str, Split]
    info: CorpusInfo
    files: Mapping[str, SplitFiles] = field(default_factory=dict)


def prepare(
    name: str,
    text: CorpusText,
    options: PrepareOptions,
    folder: Path | None = None,
    given: Tokenizer | None = None,
    store: Path | None = None,
    workers: int = 1,
) -> Prepared:
    """Build the vocabulary from ``train``, unless one is given, and encode every split.

    Lines without a word are dropped, and lines longer than ``max_length`` are cut, dropped or divided; both are
    counted. Memory holds the distinct words and, without a `store`, the ids.

    Args:
        name: The corpus's name.
        text: Its sentences.
        options: How sentences become ids.
        folder: Folder for the temporary file; None: the system's.
        given: A vocabulary to use unchanged, of the kind that the options name; None: learn one.
        store: Folder to write the splits to; None: keep them in memory.
        workers: Processes that cut lines into words or pieces; the result does not depend on their number.

    Raises:
        DataError: A split has no sentence left, or train has fewer than two.
        UsageError: Pieces are requested for a text that marks unknown words.
    """
    separated = True
    with RawLines(text, options, folder, workers) as raw:
        described = {split: _described(split, text) for split in raw.splits}
        for split in raw.splits:
            least = 2 if split == "train" and not options.chunk else 1
            if raw.sentences[split] < least:
                raw.refuse_documents(split, described[split])
            _require(raw.sentences[split], described[split], least)
        if options.tokenizer == "word":
            separated = words_are_separated(raw.word_numbers)
        tokenizer: Tokenizer
        if given is not None:
            tokenizer, fewest = given, options.min_count or 1
        elif options.tokenizer == "word":
            tokenizer, fewest = learn_words(raw, options)
        else:
            if options.tokenizer == OWN_MODEL:
                raise UsageError("no model of pieces is given; give one, or choose another tokenizer")
            tokenizer, fewest = learn_pieces(raw, options), options.min_count or 2
        labels = sorted({label_name(label) for label in raw.label_numbers})
        advice, reserved = _more_known(raw, options, given), _reserved(raw)
        splits, counts = {}, {}
        files = {} if store is None else {split: SplitFiles(store / split) for split in raw.splits}
        for split, builder in _encode(raw, tokenizer, labels, options, files, workers).items():
            splits[split] = files[split].split() if files else builder.take()
            counts[split] = builder.info(splits[split], raw.empty[split])
    for split in splits:
        least = 2 if split == "train" and options.chunk else 1
        none = "" if options.chunk else f"; none is within --max-length {options.max_length}"
        _require(len(splits[split]), described[split], least, none)
    info = CorpusInfo(
        name=name,
        source=text.source,
        **asdict(replace(options, min_count=fewest)),
        vocabulary=len(tokenizer) - UNK,
        labels=tuple(labels),
        notes=(
            *text.notes,
            *_reading_notes(text),
            *_label_notes(labels, splits),
            *_repeated_notes(raw),
            *_unknown_notes(separated, counts, reserved, advice),
        ),
        splits=counts,
        content_hash=content_hash(tokenizer, splits, labels),
    )
    return Prepared(tokenizer, splits, info, files)


def _encode(
    raw: RawLines,
    tokenizer: Tokenizer,
    labels: Sequence[str],
    options: PrepareOptions,
    files: Mapping[str, SplitFiles],
    workers: int,
) -> dict[str, SplitBuilder]:
    """Return a builder of each split with its counts; with `files`, the sentences are written there."""
    builders = {name: SplitBuilder(tokenizer, options, raw.cleaned[name]) for name in raw.splits}
    place = {name: number for number, name in enumerate(labels)}
    places = np.array([place[label_name(label)] for label in raw.label_numbers], np.int32)
    for lines, encoded in _encoded(raw, tokenizer, workers):
        builder = builders[lines.split]
        builder.cleaned += lines.cleaned
        builder.add(*encoded, places[lines.labels] if lines.split in raw.labelled else None)
        if files and builder.predictions >= split_files.SHARD:
            files[lines.split].add(builder.take())
    for name, file in files.items():
        if builders[name].predictions or not len(file):
            file.add(builders[name].take())
    return builders


def _encoded(raw: RawLines, tokenizer: Tokenizer, workers: int) -> Iterator[tuple[Lines, Encoded]]:
    """Yield all lines and their ids."""
    if isinstance(tokenizer, WordTokenizer):
        ids = tokenizer.numbers_of(raw.word_numbers, missing=-1)
        raw.word_numbers.clear()  # may take gigabytes
        for lines in raw.lines(*raw.splits):
            numbers, lengths = lists_of(lines.content)
            yield lines, (ids[numbers], lengths, None)
    else:
        yield from ordered_map(partial(_pieces_of, tokenizer=tokenizer), raw.lines(*raw.splits), workers)


def _pieces_of(lines: Lines, tokenizer: Tokenizer) -> tuple[Lines, Encoded]:
    texts = lines.content.to_pylist()
    flat, offsets = tokenizer.encode_many(texts)
    return lines._replace(content=None), (flat, np.diff(offsets), count_words(texts))


def _reading_notes(text: CorpusText) -> list[str]:
    """Return notes on what was taken as text and label, merged over splits with the same note."""
    found: dict[str, list[str]] = {}
    for split, part in text.splits.items():
        for note in part.notes:
            found.setdefault(note, []).append(split)
    return [
        note
        if len(splits) == len(text.splits) or note.startswith("warning: ")
        else f"{' and '.join(splits)}: {note}"
        for note, splits in found.items()
    ]


def _label_notes(names: Sequence[str], splits: Mapping[str, Split]) -> list[str]:
    """Return notes on labels that cannot be classes, or that train lacks, and on splits without labels."""
    sentences = sum(len(split) for split in splits.values() if split.labels is not None)
    if len(names) == 1:
        return [f"every label is {names[0]}: there is nothing to tell apart"]
    if names and len(names) > sentences / 2:
        return [f"{len(names):,} different labels for {sentences:,} sentences: is that a column of labels?"]
    counts = {
        name: np.bincount(split.labels, minlength=len(names))
        for name, split in splits.items()
        if split.labels is not None
    }
    lacking = counts["train"] == 0 if "train" in counts else np.zeros(len(names), bool)
    unlabelled = [split for split in splits if "train" in counts and split not in counts]
    notes = [f"warning: {split} has no labels: classify will need --{split} FILE" for split in unlabelled]
    return notes + [
        f"warning: {found[lacking].sum():,} of {found.sum():,} sentences of {split} have a label that train lacks "
        f"({some_of([*compress(names, lacking & (found > 0))])}); give each class one "
        "name in all splits, and sentences in train"
        for split, found in counts.items()
        if found[lacking].any()
    ]


def _repeated_notes(raw: RawLines) -> list[str]:
    """Return notes on splits that repeat sentences of train, so that their figures are not on new text alone."""
    notes = []
    for split, found in raw.in_train.items():
        warning = "warning: " if found > MOST_REPEATED * raw.sentences[split] else ""
        if found:
            notes.append(
                f"{warning}{found:,} of {raw.sentences[split]:,} sentences of {split} are in train too"
            )
    return notes


def _more_known(raw: RawLines, options: PrepareOptions, given: Tokenizer | None) -> str:
    """Return advice on how to make fewer words unknown."""
    if given is None:
        return f"give more text, or {CUT_IT}" if options.tokenizer == "word" else "give more text"
    if isinstance(given, WordTokenizer):
        counts = raw.word_counts(*raw.splits)
        unknown = given.numbers_of(raw.word_numbers, missing=-1) < 0
        in_lower_case = given.numbers_of(map(str.lower, raw.word_numbers), missing=-1) >= 0
        if 2 * counts[unknown & in_lower_case].sum() > counts[unknown].sum():
            return "most of these words are known in lower case: give --lowercase"
    return "the vocabulary is fixed: take one from similar text, or none, to learn it from train"


def _reserved(raw: RawLines) -> dict[str, int]:
    """Return how often the text has each of the words that are special ids, except <unk>; pieces spell them out."""
    found = {word: raw.word_numbers[word] for word in SPECIALS[:UNK] if word in raw.word_numbers}
    if not found:
        return {}
    counts = raw.word_counts(*raw.splits)
    return {word: int(counts[number]) for word, number in found.items() if counts[number]}


def _unknown_notes(
    separated: bool, counts: Mapping[str, SplitInfo], reserved: Mapping[str, int], advice: str
) -> list[str]:
    """Return warnings about text without spaces between words, reserved words, and many unknown words."""
    notes = [] if separated else [f"warning: the text is {UNSEPARATED}; {CUT_IT}"]
    if reserved:
        notes.append(
            f"warning: {sum(reserved.values()):,} words are {' or '.join(reserved)}, which sritool reserves, and "
            "became <unk>; remove them from the text first"
        )
    many = {split: info.oov_share for split, info in counts.items() if info.oov_share > MOST_UNKNOWN}
    if many and 2 * sum(reserved.values()) <= sum(info.oov for info in counts.values()):
        shares = ", ".join(f"{share:.0%} of {split}" for split, share in many.items())
        notes.append(f"warning: unknown to the vocabulary: {shares}; {advice}")
    return notes


def _described(split: str, text: CorpusText) -> str:
    where = text.splits[split].where if split in text.splits else ""
    return f"{split} ({where})" if where else split


def _require(found: int, split: str, fewest: int, why: str = "") -> None:
    if found < fewest:
        what = "no sentence" if not found else "one sentence only"
        need = "" if fewest == 1 else f", and at least {fewest} are needed"
        raise DataError(f"{split} has {what}{need}{why}; give a file with more text")
