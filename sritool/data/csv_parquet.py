"""Reads sentences and labels from TSV, CSV and Parquet, some rows at a time; errors give the row number."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable, Iterator, Sequence
from itertools import chain, islice
from pathlib import Path
from typing import Any

from sritool.data.blocks import LONGEST_LINE, explain_read_errors, lines_of, name_of
from sritool.data.columns import SAMPLE, Columns, find_columns, is_filled
from sritool.data.fields import ANOTHER_LABEL, FieldNames, checked_label, fields_taken, find_fields
from sritool.data.sentences import CHUNK, Chunk, in_chunks
from sritool.errors import DataError, UsageError

_HEAD = 20  # lines used to find the delimiter


def parse_tsv(blocks: Iterable[bytes], where: str, names: FieldNames) -> Iterator[Chunk]:
    """Yield the sentences of rows ``label<TAB>text``, or of the columns under a header; see `readers.parse`."""
    lines = lines_of(blocks)
    rows = (line.rstrip("\r").split("\t") if line.strip() else [] for line in lines)
    advice = "a row is label<TAB>text (plain sentences: --input-format text)"
    return _parse_rows(rows, where, names, "line", "\t", "\t", advice)


def parse_csv(blocks: Iterable[bytes], where: str, names: FieldNames) -> Iterator[Chunk]:
    """Yield the sentences of rows ``label,text``, or of the columns under a header; see `readers.parse`."""
    advice = "a row is label,text with a header or without"
    csv.field_size_limit(LONGEST_LINE)  # characters; an unclosed quote swallows all that follows
    lines = (line for block in blocks for line in io.StringIO(block.decode(), newline=""))
    head = list(islice(lines, _HEAD))
    delimiter = _delimiter_of(head)
    rows = _csv_rows(chain(head, lines), delimiter, where)
    return _parse_rows(rows, where, names, "row", " ", delimiter, advice)


def _csv_rows(lines: Iterable[str], delimiter: str, where: str) -> Iterator[list[str]]:
    """Yield rows; a cell may span many lines."""
    reader = csv.reader(lines, strict=True, delimiter=delimiter)
    line = 0  # last line of the previous row
    try:
        for row in reader:
            yield row if is_filled(row) else []
            line = reader.line_num
    except csv.Error as error:
        reason = str(error).replace("\t", "a tab")  # if the delimiter is a tab
        raise DataError(
            f"{where} is not CSV: the row that begins in line {line + 1} ({reason}); fix it, for example its "
            "quotes, or give --input-format"
        ) from error


def _delimiter_of(lines: Sequence[str]) -> str:
    """Return the delimiter: the first of comma, semicolon, tab and bar that all rows have, or else a comma."""
    for mark in ",;\t|":
        rows = list(csv.reader(lines, delimiter=mark))
        whole = rows[:-1] if len(lines) == _HEAD and len(rows) > 1 else rows  # the last one may go on
        if all(len(row) > 1 for row in whole if is_filled(row)):
            return mark
    return ","


def _parse_rows(
    rows: Iterable[Sequence[str]],
    where: str,
    names: FieldNames,
    unit: str,
    joint: str,
    separator: str,
    advice: str,
) -> Iterator[Chunk]:
    """Yield the sentences of a table.

    Errors call a row `unit`, and give `advice` if it has no label. `joint` joins text columns, and `separator` the
    parts of a text that has this separator inside.
    """
    numbered = enumerate(rows, 1)
    first = list(islice(numbered, SAMPLE))
    columns = find_columns([row for _, row in first], where, names)
    width = columns.width if columns.header else 0
    body = chain(first, numbered)
    if columns.header:
        if columns.label is not None:
            options = names.advice("fill it, or give --no-labels", "fill it")
            advice = f"column {columns.header[columns.label]!r} is empty there; {options}"
        next(row for _, row in body if is_filled(row))

    def pairs() -> Iterator[tuple[str, str]]:
        for number, row in body:
            place = f"{where} {unit} {number}"
            if row and len(row) < width:
                raise DataError(f"{place} has {len(row)} columns, its header {width}; fix it")
            if len(row) > columns.width > 0 and not _may_go_on(columns):
                others = f"its header {width}" if width else f"the others {columns.width}"
                quote = "put quotes around a text with a separator in it, or fix the row"
                raise DataError(f"{place} has {len(row)} columns, {others}; {quote}")
            text, label = _text_in(row, columns, joint, separator), ""
            if columns.label is not None:
                cell = row[columns.label] if len(row) > max(1, columns.label) else ""
                needed = bool(row and names.needs_labels and (not width or text.strip()))
                label = checked_label(cell, needed, place, advice)
            yield text, label

    yield from in_chunks(pairs(), columns.label is not None, columns.description, escaped=True)


def _may_go_on(columns: Columns) -> bool:
    """Return whether extra cells of a row belong to its text, the last column."""
    return columns.open_ended and (columns.label is None or columns.label < columns.texts[-1])


def _text_in(row: Sequence[str], columns: Columns, joint: str, separator: str) -> str:
    """Return the joined text cells; extra cells of a row that is too wide belong to the last one."""
    last = columns.texts[-1]
    cells = [row[index] for index in columns.texts if index < len(row)]
    if _may_go_on(columns) and cells:
        cells[-1] = separator.join([cells[-1], *row[last + 1 :]])
    return joint.join(cells)


def read_parquet(path: Path, names: FieldNames) -> Iterator[Chunk]:
    """Yield the sentences of a Parquet file.

    Raises:
        UsageError: The path is standard input, which cannot be read from its end.
        DataError: The file is missing or damaged, or a row has no text or no label.
    """
    import pyarrow as pa
    import pyarrow.parquet as pq

    where = name_of(path)
    if where != str(path):
        raise UsageError("Parquet cannot be read from standard input; give the name of a file")
    try:
        with explain_read_errors(path), pq.ParquetFile(path) as file:
            text, label = find_fields(file.schema_arrow.names, where, names)
            batches = file.iter_batches(CHUNK, columns=[text] if label is None else [text, label])
            yield from chunks_of_rows(batches, text, label, where)
    except pa.ArrowInvalid as error:
        reason = " ".join(str(error).split())[:120]
        raise DataError(f"{where} is not a whole Parquet file ({reason}); get it again") from error


def chunks_of_rows(
    batches: Iterable[Any], text: str, label: str | None, where: str, classes: Sequence[str] = ()
) -> Iterator[Chunk]:
    """Yield the sentences in columns `text` and `label` of batches of rows, each a ``pyarrow.RecordBatch``.

    If the label column holds class numbers, `classes` are the class names. Errors call the source `where`.

    Raises:
        DataError: A row has no text or no label.
    """
    done = 0
    for batch in batches:
        texts = _strings(batch.column(text), text, where, done)
        labels = None
        if label is not None:
            column = batch.column(label)
            if classes:
                values = [
                    classes[number] if number in range(len(classes)) else "" for number in column.to_pylist()
                ]
            else:
                values = _strings(column, label, where, done).to_pylist()
            labels = [
                checked_label(value, True, f"{where} row {number}", f"give every row one; {ANOTHER_LABEL}")
                for number, value in enumerate(values, done + 1)
            ]
        yield Chunk(texts, labels, fields_taken(text, label))
        done += len(texts)


def _strings(column: Any, name: str, where: str, done: int) -> Any:
    """Return a column as strings. Raises: DataError if it cannot be converted, or has missing values."""
    import pyarrow as pa

    if column.null_count:
        row = done + 1 + column.is_null().index(True).as_py()
        raise DataError(f"{where} row {row} has nothing under {name!r}; fix it, or name another column")
    try:
        column.validate(full=True)
        return column.cast(pa.string())
    except pa.ArrowNotImplementedError as error:
        raise DataError(
            f"{where} has no text under {name!r}, but {column.type}; name another column"
        ) from error
    except pa.ArrowInvalid as error:
        if "UTF8" not in str(error):  # Arrow checks this last
            raise
        values = enumerate(column.cast(pa.binary()).to_pylist(), done + 1)
        row = next(row for row, value in values if value.decode(errors="ignore").encode() != value)
        raise DataError(
            f"{where} row {row} is not UTF-8 under {name!r}; save the file again in UTF-8"
        ) from error
