"""Names of the columns or keys that hold text and label, and checks of labels."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from sritool.errors import DataError

TEXT_NAMES = (
    *("text", "sentence", "review", "caption", "content"),
    *("reviewtext", "review_body", "comment_text", "tweet", "utterance", "phrase"),
)
LABEL_NAMES = (
    *("label", "sentiment", "class"),
    *("category", "target", "polarity", "emotion", "intent", "topic"),
)
LONGEST_LABEL = 200  # characters; anything longer is text in the place of a label
ANOTHER_LABEL = "--no-labels leaves it out, --label-column names another"


@dataclass(frozen=True)
class FieldNames:
    """The column or key of a table or JSON object that holds the text, and the label."""

    # Names, or numbers from 1; None: decided by the usual names, or by the columns' content.
    text: str | None = None
    label: str | None = None
    labels: bool = True  # whether labels are wanted at all
    by_option: bool = True  # whether the command has options that name them
    needs_labels: bool = True  # False: labels are read but not used, and may be missing

    def advice(
        self,
        with_options: str,
        without: str = "call the column of the text 'text', or give one sentence per line",
    ) -> str:
        """Return what to do about a file: by options, or without any if the command has none for it."""
        return with_options if self.by_option else without


def is_number(name: str) -> bool:
    """Return whether this is a column number instead of a name."""
    return name.isdecimal() and name.isascii() and 0 < int(name) < 10_000


def find_fields(there: Sequence[str], where: str, names: FieldNames) -> tuple[str, str | None]:
    """Return which of the existing columns or keys hold the text and the label, if any.

    Case does not matter. Errors call the file, or its line, `where`.

    Raises:
        DataError: A given name does not exist, or the text has none of the usual names.
    """
    text = _first_of(names.text, TEXT_NAMES, there)
    if names.text and text is None:
        raise no_column(names.text, where, there)
    if text is None:
        advice = names.advice("name it: --text-column")
        raise DataError(f"{where} has no text among its keys ({some_of(there)}); {advice}")
    if not names.labels:
        return text, None
    label = _first_of(names.label, LABEL_NAMES, there)
    if names.label and label is None:
        raise no_column(names.label, where, there)
    return text, label


def no_column(name: str, where: str, there: Sequence[str]) -> DataError:
    """Return the error that `where` lacks a column, which the user gives by name or number, and has others."""
    if is_number(name):
        return DataError(f"{where} has {len(there)} columns, no column {name}; it has {some_of(there)}")
    return DataError(f"{where} has no column {name!r}; it has {some_of(there)}")


def fields_taken(text: str, label: str | None) -> str:
    """Return which fields were taken as text and label, in words."""
    return f"text: {some_of([text])}; " + ("no labels" if label is None else f"label: {some_of([label])}")


def _first_of(given: str | None, usual: Sequence[str], there: Sequence[str]) -> str | None:
    names = [given] if given else usual
    lower = {name.lower(): name for name in reversed(there)}
    found = [name for name in names if name in there]
    found += [lower[name.lower()] for name in names if name.lower() in lower]
    if given and is_number(given) and int(given) <= len(there):
        found.append(there[int(given) - 1])
    return found[0] if found else None


def checked_label(cell: str, needed: bool, place: str, advice: str) -> str:
    """Return the label in a cell, without surrounding white space.

    Raises:
        DataError: The label is too long, or it is `needed` but missing; then the message ends with the advice.
    """
    label = cell.strip()
    if needed and not label:
        raise DataError(f"{place} has no label; {advice}")
    if len(label) > LONGEST_LABEL:
        raise DataError(f"{place} has a label of {len(label):,} characters; {ANOTHER_LABEL}")
    return label


def some_of(names: Sequence[str], most: int = 12) -> str:
    """Return some names for an error or a note, as one printable line."""
    shown = ", ".join(name[:40] for name in names[:most]) + (", …" if len(names) > most else "")
    return "".join(character if character.isprintable() else "?" for character in shown) or "none"
