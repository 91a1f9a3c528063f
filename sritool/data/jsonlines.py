"""JSON lines: an object a line."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from typing import Any

from sritool.data.columns import LABEL_KEYS, TEXT_KEYS, Columns, checked_label, key_of, lines_of, some_of
from sritool.data.raw import RawSplit
from sritool.errors import DataError


def parse_jsonl(pieces: Iterable[str], where: str, columns: Columns) -> Iterator[RawSplit]:
    """Sentences of JSON objects; of a key that is there twice the last value counts, as JSON readers have it.

    Raises: DataError if a line is no object, or has no text, or no label where the first one has one.
    """
    text_key: str | None = None
    label_key: str | None = None
    number = 0
    for piece in pieces:
        texts: list[str] = []
        labels: list[str] = []
        for line in lines_of(piece):
            number += 1
            if not line.strip():
                texts.append("")
                labels.append("")
                continue
            record = _json_object(line, where, number)
            if text_key is None:
                text_key, label_key = _json_keys(record, where, number, columns)
            texts.append(_json_text(record, text_key, where, number))
            labels.append(_json_label(record, label_key, where, number) if label_key else "")
        yield RawSplit(texts, labels if label_key else None)


def _json_keys(record: dict[str, Any], where: str, number: int, columns: Columns) -> tuple[str, str | None]:
    """The keys of text and label, which the first object tells for all."""
    text_key = key_of(list(record), columns.text, TEXT_KEYS)
    if text_key is None:
        raise DataError(
            f"{where} line {number} has no text among its keys ({some_of(list(record))}); name it: --text-key"
        )
    return text_key, columns.label or key_of(list(record), None, LABEL_KEYS)


def _json_object(line: str, where: str, number: int) -> dict[str, Any]:
    try:
        record = json.loads(line)
    except (ValueError, RecursionError) as error:
        reason = "nested too deeply" if isinstance(error, RecursionError) else str(error).partition(";")[0]
        raise DataError(
            f"{where} line {number} is not JSON ({reason}); write one whole {{...}} a line"
        ) from error
    if not isinstance(record, dict):
        raise DataError(f"{where} line {number} is not a JSON object; write one {{...}} a line")
    return record


def _json_text(record: dict[str, Any], key: str, where: str, number: int) -> str:
    sentence = record.get(key)
    if not isinstance(sentence, str):
        raise DataError(
            f"{where} line {number} has no string under {key!r}; mend it, or name another: --text-key"
        )
    return _whole(sentence, where, number)


def _json_label(record: dict[str, Any], key: str, where: str, number: int) -> str:
    label = record.get(key)
    if label is None or isinstance(label, dict | list) or not str(label).strip():
        raise DataError(f"{where} line {number} has no label under {key!r}; give every line one")
    return checked_label(_whole(str(label).strip(), where, number), where, f"line {number}")


def _whole(text: str, where: str, number: int) -> str:
    try:
        text.encode()
    except UnicodeEncodeError as error:
        raise DataError(f"{where} line {number} has half a character (a lone surrogate); mend it") from error
    return text
