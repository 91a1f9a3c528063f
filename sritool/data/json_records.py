"""Reads sentences and labels from JSON: one object per line, one array of objects, or one object of columns."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from itertools import chain, islice
from typing import Any

from sritool.data.blocks import lines_of
from sritool.data.columns import SAMPLE
from sritool.data.fields import ANOTHER_LABEL, FieldNames, checked_label, fields_taken, find_fields
from sritool.data.sentences import Chunk, in_chunks
from sritool.errors import DataError


def parse_json(blocks: Iterable[bytes], where: str, names: FieldNames) -> Iterator[Chunk]:
    """Yield the sentences of objects; the last value of a repeated key counts; see `readers.parse`."""
    records = _records(blocks, where)
    first: list[tuple[str, Any]] = []
    while all(record is None for _, record in first) and (more := list(islice(records, SAMPLE))):
        first += more
    text, label, description = "", None, ""
    objects = [(place, record) for place, record in first if isinstance(record, dict)]
    if objects:  # objects that lack a key are reported below
        keys = list(dict.fromkeys(chain(*(record for _, record in objects))))
        text, label = find_fields(keys, objects[0][0], names)
        description = fields_taken(text, label)

    def pairs() -> Iterator[tuple[str, str]]:
        for place, record in chain(first, records):
            if record is None:
                yield "", ""
            elif isinstance(record, dict):
                found = _text_of(record.get(text), text, place, names)
                yield found, _label_of(record.get(label), label, place, names) if label else ""
            else:
                raise DataError(f"{place} is not a JSON object; write one {{...}} a line")

    yield from in_chunks(pairs(), bool(label), description)


def is_json_object(line: str) -> bool:
    """Return whether a line is a whole JSON object."""
    try:
        return isinstance(json.loads(line), dict)
    except (ValueError, RecursionError):
        return False


def _records(blocks: Iterable[bytes], where: str) -> Iterator[tuple[str, Any]]:
    """Yield values with their places; None for a blank line."""
    stream = iter(blocks)
    start = next(stream)
    values = None
    if start.lstrip().startswith(b"["):
        values = _value(b"".join([start, *stream]).decode(), where, 1)
    elif b"\n" not in start.strip():
        values = _of_columns(start.decode())
        if values is not None and (after := next(stream, None)) is not None:  # the first line of several
            values, stream = None, chain([after], stream)
    if values is not None:
        yield from ((f"{where} record {number}", value) for number, value in enumerate(values, 1))
        return
    for number, line in enumerate(lines_of(chain([start], stream)), 1):
        yield f"{where} line {number}", _value(line, where, number) if line.strip() else None


def _of_columns(text: str) -> list[Any] | None:
    """Return the records of one object of columns, as data-frame libraries write it; None for any other text."""
    try:
        value = json.loads(text)
    except (ValueError, RecursionError):
        return None
    columns = list(value.values()) if isinstance(value, dict) else []
    if columns and all(isinstance(column, dict) for column in columns):
        columns = [list(column.values()) for column in columns]
    if not columns or not all(isinstance(column, list) for column in columns):
        return None
    if len({len(column) for column in columns}) > 1:
        return None
    return [dict(zip(value, cells, strict=True)) for cells in zip(*columns, strict=True)]


def _value(text: str, where: str, line: int) -> Any:
    try:
        value = json.loads(text)
    except (ValueError, RecursionError) as error:
        line += getattr(error, "lineno", 1) - 1
        reason = "nested too deeply" if isinstance(error, RecursionError) else str(error).partition(";")[0]
        raise DataError(
            f"{where} line {line} is not JSON ({reason}); write one whole {{...}} a line"
        ) from error
    return "null" if value is None else value  # None means a blank line; a string is refused too


def _text_of(value: Any, name: str, place: str, names: FieldNames) -> str:
    if not isinstance(value, str):
        advice = names.advice("fix it, or name another: --text-column")
        raise DataError(f"{place} has no string under {name!r}; {advice}")
    return _whole(value, place)


def _label_of(value: Any, name: str, place: str, names: FieldNames) -> str:
    cell = "" if value is None or isinstance(value, dict | list) else _whole(str(value), place)
    advice = f"give every line one under {name!r}" + names.advice(f"; {ANOTHER_LABEL}", "")
    return checked_label(cell, names.needs_labels, place, advice)


def _whole(text: str, place: str) -> str:
    try:
        text.encode()
    except UnicodeEncodeError as error:
        raise DataError(f"{place} has half a character (a lone surrogate); fix it") from error
    return text
