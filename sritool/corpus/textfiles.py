"""Sentences out of text, TSV, CSV and JSONL files, with errors that name file, line and what to do.

Text is UTF-8, with or without a byte order mark. Only ``\\n`` ends a line; a ``\\r`` is white space.
"""

from __future__ import annotations

import csv
import io
import json
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from sritool.corpus.prepare import RawSplit
from sritool.errors import DataError, UsageError

TEXT_KEYS = ("text", "sentence", "review", "caption", "content")
LABEL_KEYS = ("label", "sentiment", "class")
FORMATS = ("text", "tsv", "csv", "jsonl")
_BY_SUFFIX = {".tsv": "tsv", ".csv": "csv", ".jsonl": "jsonl", ".ndjson": "jsonl", ".json": "jsonl"}


@dataclass(frozen=True)
class Columns:
    """Where a table or JSON object keeps its text and label; None: the usual names."""

    text: str | None = None
    label: str | None = None


def read_split(path: Path, form: str | None = None, columns: Columns | None = None) -> RawSplit:
    """Sentences of one file, ``-`` for standard input; the form follows from the file's ending unless given.

    Raises: DataError if there is no such file, or it is empty, not UTF-8 or not of that form.
    """
    where = "standard input" if str(path) == "-" else str(path)
    data = sys.stdin.buffer.read() if str(path) == "-" else read_bytes(path)
    return parse(data, where, form_of(path, form), columns)


def form_of(path: Path, form: str | None = None) -> str:
    """The form asked for, or else the one that the file's ending tells, or else plain text."""
    return form or _BY_SUFFIX.get(path.suffix.lower(), "text")


def parse(data: bytes, where: str, form: str = "text", columns: Columns | None = None) -> RawSplit:
    """Sentences of a file's bytes. ``where`` names it in errors; forms are those of ``FORMATS``."""
    text = decode(data, where)
    parser: dict[str, Callable[[str, str, Columns], tuple[list[str], list[str] | None]]] = {
        "text": _parse_text,
        "tsv": _parse_tsv,
        "csv": _parse_csv,
        "jsonl": _parse_jsonl,
    }
    if form not in parser:
        raise UsageError(f"no input format {form!r}; choose one of {', '.join(FORMATS)}")
    texts, labels = parser[form](text, where, columns or Columns())
    return RawSplit(texts, labels)


def decode(data: bytes, where: str) -> str:
    """Bytes of a file as text.

    Raises: DataError if it is empty, binary or not UTF-8; the message names the line and byte.
    """
    if not data.strip():
        raise DataError(f"{where} is empty; give a file with one sentence a line")
    if data.startswith((b"\xff\xfe", b"\xfe\xff")):
        raise DataError(f"{where} is UTF-16, not UTF-8; convert it with: iconv -f UTF-16 -t UTF-8")
    nul = data.find(b"\0")
    if nul >= 0:
        line = data.count(b"\n", 0, nul) + 1
        raise DataError(f"{where} line {line} has a NUL byte, so it is no text; give a UTF-8 text file")
    try:
        return data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        start = error.start + (3 if data.startswith(b"\xef\xbb\xbf") else 0)
        line = data.count(b"\n", 0, start) + 1
        byte = start - data.rfind(b"\n", 0, start)
        raise DataError(
            f"{where} is not UTF-8: line {line}, byte {byte} (0x{data[start]:02x}); "
            "convert it, for example with: iconv -f LATIN1 -t UTF-8"
        ) from error


def read_bytes(path: Path) -> bytes:
    """A file's bytes.

    Raises: UsageError if it is a folder; DataError if there is no such file, or it cannot be read.
    """
    try:
        return path.read_bytes()
    except IsADirectoryError as error:
        raise UsageError(f"{path} is a folder, not a file; name its files, or give it with --from") from error
    except FileNotFoundError as error:
        raise DataError(f"no such file: {path}; check the path") from error
    except OSError as error:
        raise DataError(f"cannot read {path} ({error.strerror}); check its permissions") from error


def _lines(text: str) -> list[str]:
    lines = text.split("\n")
    if not lines[-1]:
        lines.pop()
    return lines


def _parse_text(text: str, where: str, columns: Columns) -> tuple[list[str], list[str] | None]:
    return _lines(text), None


def _parse_tsv(text: str, where: str, columns: Columns) -> tuple[list[str], list[str] | None]:
    lines = _lines(text)
    header = lines[0].rstrip("\r").split("\t")
    if _is_header(header, columns):
        rows = [line.rstrip("\r").split("\t") if line.strip() else [] for line in lines[1:]]
        return _from_table(header, rows, where, columns)
    texts, labels = [], []
    for number, line in enumerate(lines, 1):
        label, tab, sentence = line.partition("\t")
        label = label.strip()
        if line.strip() and not (tab and label):
            raise DataError(
                f"{where} line {number} has no label; a row is label<TAB>text "
                "(plain sentences: --input-format text)"
            )
        labels.append(label)
        texts.append(sentence)
    return texts, labels


def _parse_csv(text: str, where: str, columns: Columns) -> tuple[list[str], list[str] | None]:
    csv.field_size_limit(sys.maxsize)
    try:
        rows = list(csv.reader(io.StringIO(text, newline=""), strict=True))
    except csv.Error as error:
        raise DataError(f"{where} is not CSV ({error}); mend it, or give --input-format") from error
    if _is_header([cell.strip() for cell in rows[0]], columns):
        return _from_table([cell.strip() for cell in rows[0]], rows[1:], where, columns)
    texts, labels = [], []
    for number, row in enumerate(rows, 1):  # without a header: label, then one or more pieces of text
        if len(row) == 1 or (row and not row[0].strip()):
            raise DataError(
                f"{where} row {number} has no label; a row is label,text with a header or without"
            )
        labels.append(row[0].strip() if row else "")
        texts.append(" ".join(row[1:]))
    return texts, labels


def _is_header(cells: Sequence[str], columns: Columns) -> bool:
    wanted = [columns.text] if columns.text else TEXT_KEYS
    names = len(set(cells)) == len(cells) and all(cell and len(cell.split()) == 1 for cell in cells)
    return names and any(cell in wanted for cell in cells)


def _from_table(
    header: Sequence[str], rows: Sequence[Sequence[str]], where: str, columns: Columns
) -> tuple[list[str], list[str] | None]:
    text_at, label_at = _key_of(header, columns.text, TEXT_KEYS), _key_of(header, columns.label, LABEL_KEYS)
    if columns.label and label_at is None:
        raise DataError(f"{where} has no column {columns.label!r}; it has {', '.join(header)}")
    texts, labels = [], []
    place = {name: index for index, name in enumerate(header)}
    for number, row in enumerate(rows, 2):
        if row and len(row) != len(header):
            raise DataError(f"{where} row {number} has {len(row)} columns, its header {len(header)}; mend it")
        sentence = row[place[str(text_at)]] if row else ""
        texts.append(sentence)
        if label_at is not None:
            labels.append(row[place[label_at]].strip() if row else "")
            if sentence.strip() and not labels[-1]:
                raise DataError(
                    f"{where} row {number} has no label; give every row one, or remove the column"
                )
    return texts, labels if label_at is not None else None


def _key_of(keys: Sequence[str], given: str | None, usual: Sequence[str]) -> str | None:
    return next((key for key in ([given] if given else usual) if key in keys), None)


def _parse_jsonl(text: str, where: str, columns: Columns) -> tuple[list[str], list[str] | None]:
    texts: list[str] = []
    labels: list[str] = []
    text_key: str | None = None
    label_key: str | None = None
    for number, line in enumerate(_lines(text), 1):
        if not line.strip():
            texts.append("")
            labels.append("")
            continue
        record = _json_object(line, where, number)
        if text_key is None:
            text_key = _key_of(list(record), columns.text, TEXT_KEYS)
            label_key = columns.label or _key_of(list(record), None, LABEL_KEYS)
            if text_key is None:
                there = ", ".join(record) or "none"
                raise DataError(
                    f"{where} line {number} has no text among its keys ({there}); name it: --text-key"
                )
        texts.append(_json_text(record, text_key, where, number))
        label = record.get(label_key) if label_key else ""
        if label_key and (label is None or isinstance(label, dict | list) or not str(label).strip()):
            raise DataError(f"{where} line {number} has no label under {label_key!r}; give every line one")
        labels.append(str(label).strip())
    return texts, labels if label_key else None


def _json_object(line: str, where: str, number: int) -> dict[str, Any]:
    try:
        record = json.loads(line)
    except (ValueError, RecursionError) as error:
        raise DataError(f"{where} line {number} is not JSON ({error}); mend or remove it") from error
    if not isinstance(record, dict):
        raise DataError(f"{where} line {number} is not a JSON object; write one {{...}} a line")
    return record


def _json_text(record: dict[str, Any], key: str, where: str, number: int) -> str:
    sentence = record.get(key)
    if not isinstance(sentence, str):
        raise DataError(
            f"{where} line {number} has no string under {key!r}; mend it, or name another: --text-key"
        )
    try:
        sentence.encode()
    except UnicodeEncodeError as error:
        raise DataError(f"{where} line {number} has half a character (a lone surrogate); mend it") from error
    return sentence
