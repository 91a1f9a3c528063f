"""Labels inside the lines of plain text, as public corpora have them; none is taken unless every line has one."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from itertools import chain
from typing import Any, NamedTuple

from sritool.data.columns import SAMPLE, is_label_column
from sritool.data.fields import checked_label, chunk_of, some_of
from sritool.data.sentences import Chunk

FEWEST = 4  # lines below which plain text is plain text

Cut = Callable[[str], tuple[str, str]]
"""A line → its label and its text; an empty label where it has none."""

_FASTTEXT = re.compile(r"((?:__label__\S+\s+)+)(.*)")
_TREC = re.compile(r"([A-Z]{2,}:[A-Za-z]+)\s(.*)")
_DIGIT = re.compile(r"([0-9])\s+(.*)")


class Labelling(NamedTuple):
    """How the lines of a text hold labels."""

    cut: Cut
    how: str  # in words


def _by_pattern(pattern: re.Pattern[str]) -> Cut:
    def cut(line: str) -> tuple[str, str]:
        found = pattern.fullmatch(line)
        return (found[1], found[2]) if found else ("", line)

    return cut


def _fasttext(line: str) -> tuple[str, str]:
    labels, text = _by_pattern(_FASTTEXT)(line)
    return ",".join(label.removeprefix("__label__") for label in labels.split()), text


def _before(mark: str) -> Cut:
    def cut(line: str) -> tuple[str, str]:
        label, there, text = line.partition(mark)
        return (label, text) if there else ("", line)

    return cut


def _after(mark: str) -> Cut:
    def cut(line: str) -> tuple[str, str]:
        text, there, label = line.rpartition(mark)
        return (label, text) if there else ("", line)

    return cut


LABELLINGS = (
    Labelling(_fasttext, "__label__ at the start of each line"),
    Labelling(_before("\t"), "what stands before the tab"),
    Labelling(_after("\t"), "what stands after the tab"),
    Labelling(_by_pattern(_TREC), "the first word of each line"),
    Labelling(_by_pattern(_DIGIT), "the digit at the start of each line"),
    Labelling(_after(";"), "what stands after the semicolon"),
)


def labelling_of(lines: Sequence[str]) -> Labelling | None:
    """Return how a text's first lines hold labels: few distinct short ones, one in every line; None: they do not."""
    filled = [line.strip("\r\n ") for line in lines if line.strip()]
    if len(filled) < FEWEST:
        return None
    for labelling in LABELLINGS:
        pairs = [labelling.cut(line) for line in filled]
        labels = [label for label, _ in pairs]
        sure = labelling.cut is _fasttext  # its mark is a word of no language
        if all(label.strip() and text.strip() for label, text in pairs) and (sure or _are_classes(labels)):
            return labelling
    return None


def _are_classes(labels: Sequence[str]) -> bool:
    """Return whether these are single words, few of them different, and more than one."""
    return (
        all(len(label.split()) == 1 for label in labels) and len(set(labels)) > 1 and is_label_column(labels)
    )


def parse_labelled(blocks: Iterable[Any], where: str, wanted: bool) -> Iterator[Chunk]:
    """Yield the sentences of plain text, their labels cut off where every line has one.

    Args:
        blocks: Chunks of lines.
        where: What errors call the file.
        wanted: Whether to look for labels.
    """
    stream = iter(blocks)
    first: list[Chunk] = []
    while wanted and sum(len(chunk.texts) for chunk in first) < SAMPLE:
        chunk = next(stream, None)
        if chunk is None:
            break
        first.append(chunk)
    sample = [line for chunk in first for line in chunk.texts[:SAMPLE].to_pylist()][:SAMPLE]
    labelling = labelling_of(sample)
    if labelling is None:
        yield from chain(first, stream)
        return
    done, description = 0, ""
    for chunk in chain(first, stream):
        texts, labels = [], []
        for number, line in enumerate(chunk.texts.to_pylist(), done + 1):
            label, text = labelling.cut(line.strip("\r\n ")) if line.strip() else ("", "")
            place, advice = f"{where} line {number}", "plain sentences: --no-labels"
            labels.append(checked_label(label, bool(line.strip()), place, advice))
            texts.append(text)
        if not done:
            shown = some_of(
                sorted({labelling.cut(line.strip("\r\n "))[0] for line in sample if line.strip()}), 4
            )
            description = f"label: {labelling.how} ({shown}); --no-labels takes it for text"
        yield chunk_of(texts, labels, description)
        done, description = done + len(texts), ""
