"""Sentences and labels out of TSV, CSV and Parquet, some rows at a time; a wrong row is named by its number."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

from sritool.data.blocks import LONGEST_LINE, explain_read_errors, name_of
from sritool.data.fields import FieldNames, checked_label, chunk_of, find_fields
from sritool.data.sentences import Chunk
from sritool.errors import DataError, UsageError

_ROWS = 10_000  # that are handed on at a time

Rows = Sequence[Sequence[str]]  # of cells; a blank row has none


def parse_tsv(blocks: Iterable[bytes], where: str, names: FieldNames) -> Iterator[Chunk]:
    """Yield the sentences of rows ``label<TAB>text``, or of the columns under a header; see `readers.parse`."""
    batches = (
        [line.rstrip("\r").split("\t") if line.strip() else [] for line in lines_of(block)]
        for block in blocks
    )
    advice = "a row is label<TAB>text (plain sentences: --input-format text)"
    return _parse_rows(batches, where, names, "line", "\t", advice)


def parse_csv(blocks: Iterable[bytes], where: str, names: FieldNames) -> Iterator[Chunk]:
    """Yield the sentences of rows ``label,text``, or of the columns under a header; see `readers.parse`."""
    advice = "a row is label,text with a header or without"
    return _parse_rows(_csv_rows(blocks, where), where, names, "row", " ", advice)


def lines_of(block: bytes) -> list[str]:
    """Return the lines of a piece of UTF-8 text."""
    lines = block.decode().split("\n")
    return lines if lines[-1] else lines[:-1]


def _csv_rows(blocks: Iterable[bytes], where: str) -> Iterator[Rows]:
    """Yield rows, some at a time; a cell may go on over many lines, which a block may end between."""
    csv.field_size_limit(LONGEST_LINE)  # characters: an open quote takes in all that follows
    lines = (line for block in blocks for line in io.StringIO(block.decode(), newline=""))
    reader = csv.reader(lines, strict=True)
    rows: list[list[str]] = []
    size = line = 0  # characters of the rows; the last line of the row before
    try:
        for row in reader:
            rows.append(row)
            size += sum(map(len, row))
            line = reader.line_num
            if len(rows) == _ROWS or size > LONGEST_LINE:
                yield rows
                rows, size = [], 0
    except csv.Error as error:
        raise DataError(
            f"{where} is not CSV: the row that begins in line {line + 1} ({error}); mend it, for example its "
            "quotes, or give --input-format"
        ) from error
    if rows:
        yield rows


def _parse_rows(
    batches: Iterable[Rows], where: str, names: FieldNames, unit: str, joint: str, advice: str
) -> Iterator[Chunk]:
    """Yield the sentences of a table: columns under a header, or a label and one or more cells of text.

    Args:
        batches: Rows, some at a time.
        where: What errors call the file.
        names: The columns to take, if there is a header.
        unit: What errors call a row.
        joint: What is put between cells of text.
        advice: What to do about a row without a label.
    """
    header: Sequence[str] | None = None
    text_at, label_at = 1, 0
    done = 0
    for rows in batches:
        if not done and _is_header(rows[0], names):
            header, rows, done = [cell.strip() for cell in rows[0]], rows[1:], 1
            text, label = find_fields(header, where, names)
            text_at, label_at = header.index(text), -1 if label is None else header.index(label)
        texts, labels = [], []
        for number, row in enumerate(rows, done + 1):
            place = f"{where} {unit} {number}"
            if row and header is not None and len(row) != len(header):
                raise DataError(f"{place} has {len(row)} columns, its header {len(header)}; mend it")
            cell = row[label_at] if row and label_at >= 0 and len(row) > 1 else ""
            texts.append("" if not row else row[text_at] if header is not None else joint.join(row[1:]))
            if label_at >= 0:
                needed = bool(row and (header is None or texts[-1].strip()))
                labels.append(checked_label(cell, needed, place, advice))
        yield chunk_of(texts, labels if label_at >= 0 else None)
        done += len(rows)


def _is_header(row: Sequence[str], names: FieldNames) -> bool:
    """Whether a first row names columns, that of the text among them."""
    cells = [cell.strip() for cell in row]
    are_names = len(set(cells)) == len(cells) and all(len(cell.split()) == 1 for cell in cells)
    return are_names and any(cell in names.of_text for cell in cells)


def read_parquet(path: Path, names: FieldNames) -> Iterator[Chunk]:
    """Yield the sentences of a Parquet file.

    Args:
        path: The file.
        names: The columns to take.

    Raises:
        UsageError: It is standard input, which cannot be read from its end.
        DataError: There is no such file, it is damaged, or a row has no text or no label.
    """
    import pyarrow as pa
    import pyarrow.parquet as pq

    where = name_of(path)
    if where != str(path):
        raise UsageError("Parquet cannot be read from standard input; give the name of a file")
    done = 0
    try:
        with explain_read_errors(path), pq.ParquetFile(path) as file:
            text, label = find_fields(file.schema_arrow.names, where, names)
            for batch in file.iter_batches(_ROWS, columns=[text] if label is None else [text, label]):
                batch.validate(full=True)
                texts = _strings(batch.column(text), text, where, done)
                labels = None
                if label is not None:
                    values = _strings(batch.column(label), label, where, done).to_pylist()
                    labels = [
                        checked_label(value, True, f"{where} row {number}", "give every row one")
                        for number, value in enumerate(values, done + 1)
                    ]
                yield Chunk(texts, labels)
                done += len(texts)
    except pa.ArrowInvalid as error:
        reason = " ".join(str(error).split())[:120]
        raise DataError(f"{where} is no whole Parquet file ({reason}); get it again") from error


def _strings(column: Any, name: str, where: str, done: int) -> Any:
    """Return a column as strings. Raises: DataError if it cannot be one, or has missing values."""
    import pyarrow as pa

    if column.null_count:
        row = done + 1 + column.is_null().index(True).as_py()
        raise DataError(f"{where} row {row} has nothing under {name!r}; mend it, or name another column")
    try:
        return column.cast(pa.string())
    except pa.ArrowNotImplementedError as error:
        raise DataError(
            f"{where} has no text under {name!r}, but {column.type}; name another column"
        ) from error
