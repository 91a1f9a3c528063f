"""Where tables and JSON objects keep text and label, and what a label may be."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from sritool.data.sentences import Chunk
from sritool.errors import DataError

TEXT_NAMES = (
    *("text", "sentence", "review", "caption", "content"),
    *("reviewtext", "review_body", "comment_text", "tweet", "utterance", "phrase"),
)
LABEL_NAMES = (
    *("label", "sentiment", "class"),
    *("category", "target", "polarity", "emotion", "intent", "topic"),
)
LONGEST_LABEL = 200  # characters; more is text where a label should be
ANOTHER_LABEL = "--no-labels leaves it out, --label-column names another"


@dataclass(frozen=True)
class FieldNames:
    """The column or key of a table or JSON object that holds the text, and the label.

    Attributes:
        text: Its name, or its number from 1 on; None: the usual names, or what stands in the columns.
        label: Likewise.
        labels: Whether labels are wanted at all.
    """

    text: str | None = None
    label: str | None = None
    labels: bool = True

    @property
    def of_text(self) -> Sequence[str]:
        """Names under which the text may be."""
        return [self.text] if self.text else TEXT_NAMES

    @property
    def of_label(self) -> Sequence[str]:
        """Names under which the label may be."""
        return [self.label] if self.label else LABEL_NAMES


def is_number(name: str) -> bool:
    """Return whether a column is given by its number."""
    return name.isdecimal() and name.isascii() and 0 < int(name) < 10_000


def find_fields(there: Sequence[str], where: str, names: FieldNames) -> tuple[str, str | None]:
    """Return which of the names that are there is the text's, and which the label's, if any.

    Args:
        there: Columns or keys.
        where: What errors call the file or its line.
        names: The names to look for, in small or capital letters.

    Raises:
        DataError: A name that was given is not there, or no usual name of the text.
    """
    text = _first_of(names.of_text, there, names.text is not None)
    if text is None:
        raise DataError(f"{where} has no text among its keys ({some_of(there)}); name it: --text-column")
    if not names.labels:
        return text, None
    label = _first_of(names.of_label, there, names.label is not None)
    if names.label and label is None:
        raise DataError(f"{where} has no column {names.label!r}; it has {some_of(there)}")
    return text, label


def fields_taken(text: str, label: str | None) -> str:
    """Return what was taken as what, in words."""
    return f"text: {some_of([text])}; " + ("no labels" if label is None else f"label: {some_of([label])}")


def _first_of(names: Sequence[str], there: Sequence[str], given: bool) -> str | None:
    exact = next((name for name in names if name in there), None)
    if exact is not None:
        return exact
    lower = {name.lower(): name for name in reversed(there)}
    found = next((lower[name.lower()] for name in names if name.lower() in lower), None)
    if found is None and given and is_number(names[0]) and int(names[0]) <= len(there):
        found = there[int(names[0]) - 1]
    return found


def checked_label(cell: str, needed: bool, place: str, advice: str) -> str:
    """Return a label without white space around it.

    Args:
        cell: What stands in its place.
        needed: Whether there has to be one.
        place: What errors call its row or line.
        advice: What to do where there is none.

    Raises:
        DataError: It is missing, or longer than a label.
    """
    label = cell.strip()
    if needed and not label:
        raise DataError(f"{place} has no label; {advice}")
    if len(label) > LONGEST_LABEL:
        raise DataError(f"{place} has a label of {len(label):,} characters; {ANOTHER_LABEL}")
    return label


def chunk_of(texts: Sequence[str], labels: Sequence[str] | None, description: str = "") -> Chunk:
    """Return sentences in memory as a chunk; `labels` and `description` as in `Chunk`."""
    import pyarrow as pa

    return Chunk(pa.array(texts, pa.string()), labels, description)


def some_of(names: Sequence[str], most: int = 12) -> str:
    """Return some names for an error or a note, which is one line that any terminal shows."""
    shown = ", ".join(name[:40] for name in names[:most]) + (", …" if len(names) > most else "")
    return "".join(character if character.isprintable() else "?" for character in shown) or "none"
