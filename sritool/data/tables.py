"""Rows of TSV and CSV: ``label<TAB>text`` and ``label,text``, or columns under a header."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable, Iterator, Sequence

from sritool.data.columns import LABEL_KEYS, TEXT_KEYS, Columns, checked_label, key_of, lines_of, some_of
from sritool.data.raw import CHUNK, RawSplit
from sritool.data.textblocks import LONGEST_LINE
from sritool.errors import DataError


def parse_tsv(pieces: Iterable[str], where: str, columns: Columns) -> Iterator[RawSplit]:
    """Sentences of tab-separated rows. Raises: DataError if a row has no label, or other columns."""
    table: _Table | None = None
    done = 0
    for text in pieces:
        lines = lines_of(text)
        if not done:
            header = lines[0].rstrip("\r").split("\t")
            table = _Table(header, where, columns) if _is_header(header, columns) else None
        if table is not None:
            rows = [line.rstrip("\r").split("\t") if line.strip() else [] for line in lines]
            yield table.chunk(rows if done else rows[1:], done + (1 if done else 2))
        else:
            yield _labelled_lines(lines, where, done + 1)
        done += len(lines)


def _labelled_lines(lines: Sequence[str], where: str, first: int) -> RawSplit:
    texts, labels = [], []
    for number, line in enumerate(lines, first):
        label, tab, sentence = line.partition("\t")
        label = label.strip()
        if line.strip() and not (tab and label):
            raise DataError(
                f"{where} line {number} has no label; a row is label<TAB>text "
                "(plain sentences: --input-format text)"
            )
        labels.append(checked_label(label, where, f"line {number}"))
        texts.append(sentence)
    return RawSplit(texts, labels)


def parse_csv(pieces: Iterable[str], where: str, columns: Columns) -> Iterator[RawSplit]:
    """Sentences of comma-separated rows, quoted or not. Raises: DataError as ``parse_tsv``."""
    table: _Table | None = None
    done = 0
    for rows in _csv_rows(pieces, where):
        if not done:
            header = [cell.strip() for cell in rows[0]]
            table = _Table(header, where, columns) if _is_header(header, columns) else None
        if table is not None:
            yield table.chunk(rows if done else rows[1:], done + (1 if done else 2))
        else:
            yield _labelled_rows(rows, where, done + 1)
        done += len(rows)


def _csv_rows(pieces: Iterable[str], where: str) -> Iterator[list[list[str]]]:
    """Rows, some at a time; a cell may go on over many lines, which a piece may end between."""
    csv.field_size_limit(LONGEST_LINE)  # characters: an open quote takes in all that follows
    reader = csv.reader((line for text in pieces for line in io.StringIO(text, newline="")), strict=True)
    rows: list[list[str]] = []
    size = 0  # of their cells, in characters
    line = 0  # the last one of the row before
    try:
        for row in reader:
            rows.append(row)
            size += sum(map(len, row))
            line = reader.line_num
            if len(rows) == CHUNK or size > LONGEST_LINE:
                yield rows
                rows, size = [], 0
    except csv.Error as error:
        raise DataError(
            f"{where} is not CSV: the row that begins in line {line + 1} ({error}); mend it, for example its "
            "quotes, or give --input-format"
        ) from error
    if rows:
        yield rows


def _labelled_rows(rows: Sequence[Sequence[str]], where: str, first: int) -> RawSplit:
    texts, labels = [], []
    for number, row in enumerate(rows, first):  # without a header: label, then one or more pieces of text
        if len(row) == 1 or (row and not row[0].strip()):
            raise DataError(
                f"{where} row {number} has no label; a row is label,text with a header or without"
            )
        labels.append(checked_label(row[0].strip() if row else "", where, f"row {number}"))
        texts.append(" ".join(row[1:]))
    return RawSplit(texts, labels)


def _is_header(cells: Sequence[str], columns: Columns) -> bool:
    wanted = [columns.text] if columns.text else TEXT_KEYS
    names = len(set(cells)) == len(cells) and all(cell and len(cell.split()) == 1 for cell in cells)
    return names and any(cell in wanted for cell in cells)


class _Table:
    """A table with a header: where its text and label are, and the sentences of its rows."""

    def __init__(self, header: Sequence[str], where: str, columns: Columns) -> None:
        text_at = key_of(header, columns.text, TEXT_KEYS)
        label_at = key_of(header, columns.label, LABEL_KEYS)
        if columns.label and label_at is None:
            raise DataError(f"{where} has no column {columns.label!r}; it has {some_of(header)}")
        self.where, self.width = where, len(header)
        self.text_at = header.index(str(text_at))
        self.label_at = None if label_at is None else header.index(label_at)

    def chunk(self, rows: Sequence[Sequence[str]], first: int) -> RawSplit:
        """Sentences of rows, of which the first one has the number ``first``."""
        texts, labels = [], []
        for number, row in enumerate(rows, first):
            if row and len(row) != self.width:
                raise DataError(
                    f"{self.where} row {number} has {len(row)} columns, its header {self.width}; mend it"
                )
            sentence = row[self.text_at] if row else ""
            texts.append(sentence)
            if self.label_at is not None:
                labels.append(
                    checked_label(row[self.label_at].strip() if row else "", self.where, f"row {number}")
                )
                if sentence.strip() and not labels[-1]:
                    raise DataError(
                        f"{self.where} row {number} has no label; give every row one, or remove the column"
                    )
        return RawSplit(texts, labels if self.label_at is not None else None)
