"""Finds labels inside lines of plain text, as in public corpora; none are used unless every line has one."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence
from itertools import chain
from typing import NamedTuple

from sritool.data.columns import SAMPLE, is_label_column
from sritool.data.fields import checked_label, some_of
from sritool.data.sentences import Chunk, in_chunks

FEWEST = 4  # with fewer lines, only labels with a mark are looked for
MOST_EMPTY = 0.1  # share of lines with a label and no text up to which these are taken for empty sentences
MOST_WITHOUT_MARK = 0.1  # share of lines without fastText's mark up to which it is taken for a mistake
_FASTTEXT_MARK = "__label__"  # not a word of any language


class Labelling(NamedTuple):
    """How the lines of a text hold labels."""

    pattern: re.Pattern[str]  # with groups `label` and `text`
    how: str  # description for the user
    has_marks: bool = False  # whether labels have fastText's mark; a line may then have several

    def cut(self, line: str) -> tuple[str, str]:
        """Return the label and the text of a line; the label is empty if there is none."""
        line = line.strip("\r\n ")
        found = self.pattern.fullmatch(line)
        if found is None:
            return "", line
        label = found["label"]
        if self.has_marks:
            label = ",".join(word.removeprefix(_FASTTEXT_MARK) for word in label.split())
        return label, found["text"]


_MARKED = re.compile(r"(?P<label>(?:__label__\S+(?:\s+|$))+)(?P<text>.*)")
LABELLINGS = (
    Labelling(_MARKED, "__label__ at the start of each line", has_marks=True),
    Labelling(re.compile(r"(?P<label>[^\t]*)\t(?P<text>.*)"), "what stands before the tab"),
    Labelling(re.compile(r"(?P<text>.*)\t(?P<label>[^\t]*)"), "what stands after the tab"),
    # TREC's. No clock time, verse (GEN:1) or dialogue (A:Yes) is taken for a label.
    Labelling(
        re.compile(r"(?P<label>[A-Z]{2,}:[A-Za-z][A-Za-z0-9]*)\s(?P<text>.*)"), "the first word of each line"
    ),
    Labelling(re.compile(r"(?P<label>[0-9])\s+(?P<text>.*)"), "the digit at the start of each line"),
    Labelling(re.compile(r"(?P<text>.*);(?P<label>[^;]*)"), "what stands after the semicolon"),
)


def labelling_of(lines: Sequence[str]) -> Labelling | None:
    """Return how the first lines of a text hold labels, few distinct short ones and one per line; None if not."""
    filled = [line for line in lines if line.strip()]
    for labelling in LABELLINGS if len(filled) >= FEWEST else LABELLINGS[:1]:
        pairs = [labelling.cut(line) for line in filled]
        labels = [label for label, _ in pairs]
        empty = sum(not text.strip() for _, text in pairs)
        complete = bool(pairs) and all(label.strip() for label in labels) and empty <= MOST_EMPTY * len(pairs)
        if complete and (labelling.has_marks or _are_classes(labels)):
            return labelling
    return None


def _are_classes(labels: Sequence[str]) -> bool:
    """Return whether these are single words, with few distinct values but more than one."""
    return (
        all(len(label.split()) == 1 for label in labels) and len(set(labels)) > 1 and is_label_column(labels)
    )


def _lacking_mark(lines: Sequence[str], where: str) -> str:
    """Return a warning if nearly all of the first lines have fastText's mark, but not all; else ""."""
    filled = [number for number, line in enumerate(lines, 1) if line.strip()]
    without = [number for number in filled if not lines[number - 1].lstrip().startswith(_FASTTEXT_MARK)]
    if not without or len(without) > MOST_WITHOUT_MARK * len(filled):
        return ""
    return (
        f"warning: {len(filled) - len(without):,} of {'the first ' * (len(lines) == SAMPLE)}{len(filled):,} lines of "
        f"{where} begin with {_FASTTEXT_MARK}, line {without[0]} does not: taken as text; fix it, or give --no-labels"
    )


def parse_labelled(chunks: Iterable[Chunk], where: str) -> Iterator[Chunk]:
    """Yield the lines of plain text, called `where` in errors; labels are cut off if every line has one."""
    stream = iter(chunks)
    first: list[Chunk] = []
    while sum(len(chunk.texts) for chunk in first) < SAMPLE and (chunk := next(stream, None)) is not None:
        first.append(chunk)
    sample = [line for chunk in first for line in chunk.texts[:SAMPLE].to_pylist()][:SAMPLE]
    labelling = labelling_of(sample)
    if labelling is None:
        warning = _lacking_mark(sample, where)
        yield from (chunk._replace(description=warning) for chunk in chain(first, stream))
        return
    shown = some_of(sorted({labelling.cut(line)[0] for line in sample if line.strip()}), 4)
    description = f"label: {labelling.how} ({shown}); --no-labels takes it for text"
    lines = chain.from_iterable(chunk.texts.to_pylist() for chunk in chain(first, stream))

    def pairs() -> Iterator[tuple[str, str]]:
        for number, line in enumerate(lines, 1):
            label, text = labelling.cut(line) if line.strip() else ("", "")
            place, advice = f"{where} line {number}", "plain sentences: --no-labels"
            yield text, checked_label(label, bool(line.strip()), place, advice)

    yield from in_chunks(pairs(), True, description)
