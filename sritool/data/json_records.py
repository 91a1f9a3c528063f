"""Sentences and labels out of JSON: an object a line, one array of objects, or one object of columns."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from itertools import chain, islice
from typing import Any

from sritool.data.columns import SAMPLE
from sritool.data.csv_parquet import lines_of
from sritool.data.fields import ANOTHER_LABEL, FieldNames, checked_label, chunk_of, fields_taken, find_fields
from sritool.data.sentences import Chunk
from sritool.errors import DataError


def parse_json(blocks: Iterable[bytes], where: str, names: FieldNames) -> Iterator[Chunk]:
    """Yield the sentences of objects; of a key that is there twice the last value counts; see `readers.parse`."""
    text, label, description = "", None, ""
    found = chain.from_iterable(_records(blocks, where))
    # The same records together, however the file is cut into blocks.
    for records in iter(lambda: list(islice(found, SAMPLE)), []):
        texts, labels = [], []
        if not text:  # a key may be missing from some records, which are named below
            objects = {place: value for place, value in records if isinstance(value, dict)}
            for place in [*objects][:1]:
                text, label = find_fields(list(dict.fromkeys(chain(*objects.values()))), place, names)
                description = fields_taken(text, label)
        for place, record in records:
            if record is None:
                texts.append("")
                labels.append("")
                continue
            if not isinstance(record, dict):
                raise DataError(f"{place} is not a JSON object; write one {{...}} a line")
            texts.append(_text_of(record.get(text), text, place))
            labels.append(_label_of(record.get(label), label, place) if label else "")
        yield chunk_of(texts, labels if label else None, description)
        description = ""


def _records(blocks: Iterable[bytes], where: str) -> Iterator[Iterator[tuple[str, Any]]]:
    """Yield values with their places, some at a time; None for a blank line."""
    stream = iter(blocks)
    start = next(stream)
    if start.lstrip().startswith(b"["):
        values = _value(b"".join([start, *stream]).decode(), where, 1)
        yield ((f"{where} record {number}", value) for number, value in enumerate(values, 1))
        return
    columns = None if b"\n" in start.strip() else _of_columns(start.decode())
    after = None if columns is None else next(stream, None)
    if columns is not None and after is None:
        yield ((f"{where} record {number}", value) for number, value in enumerate(columns, 1))
        return
    done = 0
    for block in chain([start] if after is None else [start, after], stream):
        lines = lines_of(block)
        yield (
            (f"{where} line {number}", _value(line, where, number) if line.strip() else None)
            for number, line in enumerate(lines, done + 1)
        )
        done += len(lines)


def _of_columns(text: str) -> list[Any] | None:
    """Return the records of one object of columns, as data-frame libraries write; None for any other text."""
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
    return "null" if value is None else value  # which is no object either


def _text_of(value: Any, name: str, place: str) -> str:
    if not isinstance(value, str):
        raise DataError(f"{place} has no string under {name!r}; mend it, or name another: --text-column")
    return _whole(value, place)


def _label_of(value: Any, name: str, place: str) -> str:
    cell = "" if value is None or isinstance(value, dict | list) else _whole(str(value), place)
    return checked_label(cell, True, place, f"give every line one under {name!r}; {ANOTHER_LABEL}")


def _whole(text: str, place: str) -> str:
    try:
        text.encode()
    except UnicodeEncodeError as error:
        raise DataError(f"{place} has half a character (a lone surrogate); mend it") from error
    return text
