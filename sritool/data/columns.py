"""Finds the columns of a table that hold text and label: by name, by number, or by their content.

A label column has few distinct short values. The choice is reported, so that a misread file is noticed at once; an
ambiguous file is refused.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

from sritool.data.fields import TEXT_NAMES, FieldNames, find_fields, is_number, no_column, some_of
from sritool.errors import DataError

Rows = Sequence[Sequence[str]]  # rows of cells; a blank row has none

SAMPLE = 1_000  # rows used to judge columns
FEWEST = 10  # with fewer rows, no table is refused for its content
_MOST_CLASSES = 200
_LONGEST_CLASS = (40, 4)  # characters and words
_FEWEST_WORDS = 1.5  # average words of a text column in a table of several columns
_NAME = re.compile(r"[^\W\d]\w*|")


@dataclass(frozen=True)
class Columns:
    """The columns of a table that hold text and label."""

    texts: tuple[int, ...]  # text columns; their cells are joined
    label: int | None  # the label column
    header: tuple[str, ...] | None  # column names, if the first non-blank row is a header
    width: int  # cells of a row
    description: str  # which columns were taken as text and label, in words
    open_ended: bool = False  # whether extra cells of a row come from separators inside its text


def find_columns(rows: Rows, where: str, names: FieldNames) -> Columns:
    """Return the columns of a table, called `where` in errors, that hold text and label.

    The table's first rows, including any header, and the names that the user gives decide.

    Raises:
        DataError: A column does not exist, or text and label cannot be told apart.
    """
    rows = [row for row in rows if is_filled(row)]
    if not rows:
        return Columns((0,), None, None, 0, "")
    header = _header_of(rows, where, names)
    if header is None:
        width = max(Counter(map(len, rows)).items(), key=lambda item: (item[1], item[0]))[0]
        return _judged([row for row in rows if len(row) == width], None, where, names)
    body = [row for row in rows[1:] if len(row) == len(header)]
    try:
        text, label = find_fields(header, where, names)
    except DataError:
        if names.text or len(body) < FEWEST:
            raise
        return _judged(body, header, where, names)
    text_at, label_at = header.index(text), None if label is None else header.index(label)
    found: list[int] = []
    if label_at is None and names.labels and len(body) >= FEWEST:
        found = [index for index in label_columns(body) if index != text_at and header[index]]
        label_at = found[0] if len(found) == 1 else None
    description = _described((text_at,), label_at, header, body)
    if len(found) > 1:
        description += f" ({' and '.join(header[index] for index in found)} could be: --label-column)"
    unread = [name for index, name in enumerate(header) if name and index not in (text_at, label_at)]
    if unread:
        description += f"; columns not read: {some_of(unread)}"
    return Columns((text_at,), label_at, header, len(header), description)


def header_in(line: str) -> Sequence[str]:
    """Return the column names in a line that can only be a header, as one of them is usual for text; else nothing."""
    cells = [cell.strip(' "\r') for cell in re.split(r"[,;\t|]", line)]
    usual = sum(map(bool, cells)) > 1 and not {cell.lower() for cell in cells}.isdisjoint(TEXT_NAMES)
    return cells if usual and all(map(_NAME.fullmatch, cells)) else ()


def is_filled(row: Sequence[str]) -> bool:
    """Return whether a row has a cell that is not blank."""
    return any(map(str.strip, row))


def label_columns(rows: Rows) -> list[int]:
    """Return the columns with few distinct short values, like labels; all rows have the same width."""
    return [index for index, column in enumerate(zip(*rows, strict=True)) if is_label_column(column)]


def is_label_column(column: Sequence[str]) -> bool:
    """Return whether cells have few distinct short values; a tenth may be empty or long, and are refused later."""
    characters, words = _LONGEST_CLASS
    cells = [cell.strip() for cell in column]
    short = [cell for cell in cells if cell and len(cell) <= characters and len(cell.split()) <= words]
    few = len(set(short)) <= min(max(2, len(short) // 2), _MOST_CLASSES)
    return bool(short) and few and 10 * len(short) >= 9 * len(cells)


def _header_of(rows: Rows, where: str, names: FieldNames) -> tuple[str, ...] | None:
    """Return the names of the columns if the first row is a header; else None."""
    cells = tuple(cell.strip() for cell in rows[0])
    given = [name for name in (names.text, names.label) if name and not is_number(name)]
    lower = [cell.lower() for cell in cells]
    if any(name.lower() in lower for name in given):
        return cells
    body = [row for row in rows[1:] if len(row) == len(cells)]
    distinct = len(set(cells) - {""}) == sum(map(bool, cells))
    are_words = distinct and all(len(cell.split()) <= 1 for cell in cells)
    # "text" may also be a label in the first row of data; below a header, texts have several words.
    usual = [index for index, cell in enumerate(lower) if cell in TEXT_NAMES and names.text not in given]
    if any(are_words or _mean_words([row[index] for row in body]) >= _FEWEST_WORDS for index in usual):
        return cells
    if given:
        raise DataError(f"{where} has no column {given[0]!r}; its first row is {some_of(cells)}")
    if not distinct or len(body) < FEWEST or not all(map(_NAME.fullmatch, cells)):
        return None
    # The name above the labels is not one of them.
    above = any(cells[index] not in {row[index].strip() for row in body} for index in label_columns(body))
    texts = any(_mean_words([row[index] for row in body]) >= 3 for index in range(len(cells)))
    return cells if above and texts else None


def _judged(rows: Rows, header: tuple[str, ...] | None, where: str, names: FieldNames) -> Columns:
    """Return the columns that the user names, and judge the others by their content."""
    width = len(rows[0])
    text_at, label_at = (_place(name, header, width, where) for name in (names.text, names.label))
    if label_at is None and names.labels and width > 1:
        label_at = _judged_label(rows, text_at, header, where, names)
    filled = [index for index in range(width) if any(row[index].strip() for row in rows)]
    texts = tuple(index for index in filled if index != label_at) if text_at is None else (text_at,)
    unusual = len(texts) > 1 or (label_at or 0) > 0
    if text_at is None and names.labels and unusual and len(rows) >= FEWEST:
        fewest = min((_mean_words([row[index] for row in rows]) for index in texts), default=0.0)
        if fewest < _FEWEST_WORDS:
            raise _unclear(rows, header, where, names)
    said = _described(texts, label_at, header, rows)
    first, *others = (row[0].strip() for row in rows)
    may_name = header is None and width == 1 and names.text is None and _NAME.fullmatch(first) is not None
    if may_name and others and all(len(cell.split()) > 1 for cell in others):
        said += f"; the first row, {first}, is read as text (if it names the column: --text-column {first})"
    open_ended = header is None and texts[-1:] in ((), (width - 1,))
    return Columns(texts or (width - 1,), label_at, header, width, said, open_ended)


def _judged_label(
    rows: Rows, text_at: int | None, header: Sequence[str] | None, where: str, names: FieldNames
) -> int | None:
    found = [index for index in label_columns(rows) if index != text_at]
    if len(rows) < FEWEST:  # too few to judge; most tables have the label first
        last = len(rows[0]) - 1
        return last if len(rows) > 3 and found == [last] else None if text_at == 0 else 0
    # A constant column counts only if no other column can be a label: files may be sorted by label.
    telling = [index for index in found if len({row[index] for row in rows}) > 1] or found
    if len(telling) != 1 and text_at is None:
        raise _unclear(rows, header, where, names)
    return telling[0] if len(telling) == 1 else None


def _unclear(rows: Rows, header: Sequence[str] | None, where: str, names: FieldNames) -> DataError:
    shown = " | ".join(some_of([cell]) for cell in rows[0][:8])
    one = "NAME" if header else "N"
    advice = names.advice(f"give --text-column {one}, and --label-column {one} or --no-labels")
    return DataError(
        f"{where} has {len(rows[0])} columns, and which is text and which label cannot be told ({shown}); "
        f"{advice}"
    )


def _place(name: str | None, header: Sequence[str] | None, width: int, where: str) -> int | None:
    """Return the index of a column that the user names."""
    if name is None:
        return None
    lower = [cell.lower() for cell in header or ()]
    if name.lower() in lower:
        return lower.index(name.lower())
    if not is_number(name) or int(name) > width:
        raise no_column(name, where, header or [*map(str, range(1, width + 1))])
    return int(name) - 1


def _mean_words(cells: Sequence[str]) -> float:
    counts = [len(cell.split()) for cell in cells if cell.strip()]
    return sum(counts) / len(counts) if counts else 0.0


def _described(texts: Sequence[int], label: int | None, header: Sequence[str] | None, rows: Rows) -> str:
    """Return ``text: column 2; label: column 1 (0, 1)``."""

    def name(index: int) -> str:
        return (header[index] if header else "") or f"{index + 1}"

    said = f"text: column {' and '.join(map(name, texts))}"
    if label is None:
        return f"{said}; no labels"
    values = sorted({row[label].strip() for row in rows if row[label].strip()})
    return f"{said}; label: column {name(label)} ({some_of(values, 4)})"
