"""Sentences and labels out of text, TSV, CSV, JSON and Parquet files, one or many, compressed or not.

Files are read some lines at a time, so that one larger than memory can be prepared. Python's `csv` and `json` read
tables and records, because a wrong row can be named by its number at once, and standard input cannot be read twice.
"""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from itertools import chain
from pathlib import Path
from typing import Any

import numpy as np

from sritool.data.blocks import LONGEST_LINE, explained, name_of, read_blocks, text_blocks
from sritool.data.sentences import Chunk, Sentences, in_memory
from sritool.errors import DataError, UsageError

FORMATS = ("text", "tsv", "csv", "jsonl", "parquet")
COMPRESSED = (".gz", ".bz2", ".xz", ".zst")
TEXT_NAMES = ("text", "sentence", "review", "caption", "content")
LABEL_NAMES = ("label", "sentiment", "class")
LONGEST_LABEL = 200  # characters; more is text where a label should be
_ROWS = 10_000  # of a table that are handed on at a time
_BY_SUFFIX = {
    ".tsv": "tsv",
    ".csv": "csv",
    ".jsonl": "jsonl",
    ".ndjson": "jsonl",
    ".json": "jsonl",
    ".parquet": "parquet",
}
SUFFIXES = (".txt", *_BY_SUFFIX)


@dataclass(frozen=True)
class FieldNames:
    """The column or key of a table or JSON object that holds the text, and the label; None: the usual names."""

    text: str | None = None
    label: str | None = None


@dataclass(frozen=True)
class FileSplit:
    """The sentences of one or more files, ``-`` for standard input, read anew each time that they are asked for."""

    paths: tuple[Path, ...]
    form: str | None = None  # by each file's ending
    names: FieldNames = field(default_factory=FieldNames)

    @property
    def where(self) -> str:
        """What errors call them."""
        return ", ".join(map(name_of, self.paths[:3])) + (", …" if len(self.paths) > 3 else "")

    def chunks(self) -> Iterator[Chunk]:
        """Yield all sentences in order, some at a time.

        Raises:
            DataError: There is no such file, or it is empty, not UTF-8 or not of its form.
        """
        labelled: bool | None = None
        for path in self.paths:
            for chunk in read_file(path, form_of(path, self.form), self.names):
                if labelled is not None and labelled != (chunk.labels is not None):
                    raise DataError(
                        f"{path} has {'no ' if labelled else ''}labels, unlike the files before it; "
                        "give such files alone"
                    )
                labelled = chunk.labels is not None
                yield chunk

    @property
    def texts(self) -> Sequence[str]:
        """All sentences, in memory."""
        return in_memory(self.chunks()).texts


def read_sentences(path: Path, form: str | None = None, names: FieldNames | None = None) -> Sentences:
    """Read the sentences of one file into memory.

    Args:
        path: The file; ``-`` for standard input.
        form: One of `FORMATS`; None: by the file's ending.
        names: Where tables and objects keep text and label; None: under the usual names.

    Raises:
        DataError: There is no such file, or it is empty, not UTF-8 or not of that form.
    """
    return in_memory(FileSplit((path,), form, names or FieldNames()).chunks())


def read_labelled(path: Path, form: str | None = None, names: FieldNames | None = None) -> Sentences:
    """Read the sentences of one file into memory; plain text with a tab in its first line is ``label<TAB>text``.

    Args, Raises: as `read_sentences`.
    """
    form, names = form_of(path, form), names or FieldNames()
    if form != "text":
        return read_sentences(path, form, names)
    blocks = [*read_blocks(path)]
    if blocks and b"\t" in blocks[0].partition(b"\n")[0]:
        form = "tsv"
    return in_memory(parse(blocks, name_of(path), form, names))


def read_text(path: Path) -> str:
    """Return a file's text.

    Raises:
        DataError: It cannot be read, or is empty, binary or not UTF-8; the message names the line and byte.
    """
    return b"".join(text_blocks(read_blocks(path), name_of(path))).decode()


def form_of(path: Path, form: str | None = None) -> str:
    """Return the form asked for, or else the one that the file's ending tells, or else plain text."""
    return form or _BY_SUFFIX.get(suffix_of(path), "text")


def suffix_of(path: Path) -> str:
    """Return a file's ending in small letters, without that of its compression: ``.tsv`` of ``train.tsv.gz``."""
    suffixes = [suffix.lower() for suffix in path.suffixes]
    if suffixes and suffixes[-1] in COMPRESSED:
        suffixes.pop()
    return suffixes[-1] if suffixes else ""


def read_file(path: Path, form: str, names: FieldNames) -> Iterator[Chunk]:
    """Yield the sentences of one file, some at a time; see `read_sentences`."""
    if form == "parquet":
        return _read_parquet(path, names)
    return parse(read_blocks(path), name_of(path), form, names)


def parse(blocks: Iterable[bytes], where: str, form: str, names: FieldNames) -> Iterator[Chunk]:
    """Yield the sentences of a file's bytes, some at a time; the same whatever the sizes of the blocks.

    Args:
        blocks: The bytes.
        where: What errors call the file.
        form: One of `FORMATS`, but for Parquet.
        names: Where tables and objects keep text and label.

    Raises:
        DataError: They are empty, not UTF-8 or not of that form.
    """
    parser = _PARSERS.get(form)
    if parser is None:
        raise UsageError(f"no input format {form!r}; choose one of {', '.join(FORMATS)}")
    return parser(text_blocks(blocks, where, returns_end_lines=form == "csv"), where, names)


def _parse_text(blocks: Iterable[bytes], where: str, names: FieldNames) -> Iterator[Chunk]:
    import pyarrow as pa
    import pyarrow.compute as pc

    for data in blocks:
        ends = np.flatnonzero(np.frombuffer(data, np.uint8) == ord("\n")) + 1
        if not data.endswith(b"\n"):
            ends = np.append(ends, len(data))
        offsets = np.concatenate(([0], ends)).astype(np.int32)
        lines = pa.StringArray.from_buffers(len(ends), pa.py_buffer(offsets), pa.py_buffer(data))
        yield Chunk(pc.ascii_rtrim(lines, "\n"), None)


def _lines_of(block: bytes) -> list[str]:
    lines = block.decode().split("\n")
    return lines if lines[-1] else lines[:-1]


def _parse_tsv(blocks: Iterable[bytes], where: str, names: FieldNames) -> Iterator[Chunk]:
    rows = (
        [line.rstrip("\r").split("\t") if line.strip() else [] for line in _lines_of(block)]
        for block in blocks
    )
    advice = "a row is label<TAB>text (plain sentences: --input-format text)"
    return _parse_rows(rows, where, names, "line", "\t", advice)


def _parse_csv(blocks: Iterable[bytes], where: str, names: FieldNames) -> Iterator[Chunk]:
    advice = "a row is label,text with a header or without"
    return _parse_rows(_csv_rows(blocks, where), where, names, "row", " ", advice)


def _csv_rows(blocks: Iterable[bytes], where: str) -> Iterator[list[list[str]]]:
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
    batches: Iterable[Sequence[Sequence[str]]],
    where: str,
    names: FieldNames,
    unit: str,
    joint: str,
    advice: str,
) -> Iterator[Chunk]:
    """Yield the sentences of a table: columns under a header, or a label and one or more cells of text.

    Args:
        batches: Rows of cells, some at a time; a blank row is empty.
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
            text, label = _fields_of(header, where, names)
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
                labels.append(_checked_label(cell, needed, place, advice))
        yield _chunk(texts, labels if label_at >= 0 else None)
        done += len(rows)


def _is_header(row: Sequence[str], names: FieldNames) -> bool:
    """Whether a first row names columns, that of the text among them."""
    cells = [cell.strip() for cell in row]
    wanted = [names.text] if names.text else TEXT_NAMES
    are_names = len(set(cells)) == len(cells) and all(len(cell.split()) == 1 for cell in cells)
    return are_names and any(cell in wanted for cell in cells)


def _fields_of(there: Sequence[str], where: str, names: FieldNames) -> tuple[str, str | None]:
    """Return which of the names that are there is the text's, and which the label's."""
    text = next((name for name in ([names.text] if names.text else TEXT_NAMES) if name in there), None)
    if text is None:
        raise DataError(f"{where} has no text among its keys ({_some_of(there)}); name it: --text-key")
    label = next((name for name in ([names.label] if names.label else LABEL_NAMES) if name in there), None)
    if names.label and label is None:
        raise DataError(f"{where} has no column {names.label!r}; it has {_some_of(there)}")
    return text, label


def _parse_json(blocks: Iterable[bytes], where: str, names: FieldNames) -> Iterator[Chunk]:
    """Read an object a line, or one array of objects; of a key that is there twice the last value counts."""
    text, label = "", names.label
    for records in _json_records(blocks, where):
        texts, labels = [], []
        for place, record in records:
            if record is not None and not isinstance(record, dict):
                raise DataError(f"{place} is not a JSON object; write one {{...}} a line")
            if record is not None and not text:
                text, usual = _fields_of(list(record), place, FieldNames(names.text))
                label = names.label or usual
            texts.append("" if record is None else _json_text(record.get(text), text, place))
            if label:
                value = record.get(label) if record else None
                cell = "" if value is None or isinstance(value, dict | list) else _whole(str(value), place)
                advice = f"give every line one under {label!r}"
                labels.append(_checked_label(cell, record is not None, place, advice))
            else:
                labels.append("")
        yield _chunk(texts, labels if label else None)


def _json_records(blocks: Iterable[bytes], where: str) -> Iterator[Iterator[tuple[str, Any]]]:
    """Yield values with their places, some at a time; None for a blank line."""
    stream = iter(blocks)
    start = next(stream)
    if start.lstrip().startswith(b"["):
        values = _json_value(b"".join([start, *stream]).decode(), where, 1)
        yield ((f"{where} record {number}", value) for number, value in enumerate(values, 1))
        return
    done = 0
    for block in chain([start], stream):
        lines = _lines_of(block)
        yield (
            (f"{where} line {number}", _json_value(line, where, number) if line.strip() else None)
            for number, line in enumerate(lines, done + 1)
        )
        done += len(lines)


def _json_value(text: str, where: str, line: int) -> Any:
    try:
        value = json.loads(text)
    except (ValueError, RecursionError) as error:
        line += getattr(error, "lineno", 1) - 1
        reason = "nested too deeply" if isinstance(error, RecursionError) else str(error).partition(";")[0]
        raise DataError(
            f"{where} line {line} is not JSON ({reason}); write one whole {{...}} a line"
        ) from error
    return "null" if value is None else value  # which is no object either


def _json_text(value: Any, name: str, place: str) -> str:
    if not isinstance(value, str):
        raise DataError(f"{place} has no string under {name!r}; mend it, or name another: --text-key")
    return _whole(value, place)


def _whole(text: str, place: str) -> str:
    try:
        text.encode()
    except UnicodeEncodeError as error:
        raise DataError(f"{place} has half a character (a lone surrogate); mend it") from error
    return text


def _checked_label(cell: str, needed: bool, place: str, advice: str) -> str:
    label = cell.strip()
    if needed and not label:
        raise DataError(f"{place} has no label; {advice}")
    if len(label) > LONGEST_LABEL:
        raise DataError(
            f"{place} has a label of {len(label):,} characters; a label comes first, then the text "
            "(plain sentences: --input-format text)"
        )
    return label


def _chunk(texts: Sequence[str], labels: Sequence[str] | None) -> Chunk:
    import pyarrow as pa

    return Chunk(pa.array(texts, pa.string()), labels)


def _some_of(names: Sequence[str]) -> str:
    """Return some names for an error, which is one line that any terminal shows."""
    shown = ", ".join(name[:40] for name in names[:12]) + (", …" if len(names) > 12 else "")
    return "".join(character if character.isprintable() else "?" for character in shown) or "none"


def _read_parquet(path: Path, names: FieldNames) -> Iterator[Chunk]:
    import pyarrow as pa
    import pyarrow.parquet as pq

    where = name_of(path)
    if where != str(path):
        raise UsageError("Parquet cannot be read from standard input; give the name of a file")
    done = 0
    try:
        with explained(path), pq.ParquetFile(path) as file:
            text, label = _fields_of(file.schema_arrow.names, where, names)
            columns = [text] if label is None else [text, label]
            for batch in file.iter_batches(_ROWS, columns=columns):
                batch.validate(full=True)
                texts = _strings(batch.column(text), text, where, done)
                labels = None
                if label is not None:
                    values = _strings(batch.column(label), label, where, done).to_pylist()
                    labels = [
                        _checked_label(value, True, f"{where} row {number}", "give every row one")
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


_PARSERS: dict[str, Callable[[Iterable[bytes], str, FieldNames], Iterator[Chunk]]] = {
    "text": _parse_text,
    "tsv": _parse_tsv,
    "csv": _parse_csv,
    "jsonl": _parse_json,
}
