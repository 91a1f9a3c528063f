"""Reads back tables that sritool printed."""

from __future__ import annotations

import csv
import json
import math
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any, TypeVar, get_type_hints

from pydantic import TypeAdapter, ValidationError

from sritool.data.blocks import name_of
from sritool.errors import DataError

Row = TypeVar("Row")


def read_table(source: str) -> list[dict[str, Any]]:
    """Read the rows of a table from a file, or - for stdin, by column; cells are text or JSON values.

    Raises:
        DataError: The table cannot be read, or has no row.
    """
    name = name_of(Path(source))
    try:
        raw = sys.stdin.buffer.read() if source == "-" else Path(source).read_bytes()
        text = raw.decode("utf-8-sig")
    except OSError as error:
        raise DataError(f"cannot read {name}: {error.strerror}; give a table of --show-data") from error
    except UnicodeDecodeError as error:
        raise DataError(f"{name} is not text; give a table of --show-data") from error
    lines = [line for line in text.splitlines() if line.strip()]
    try:
        if lines and lines[0].startswith("{"):
            return [dict(json.loads(line)) for line in lines]
    except (ValueError, TypeError, RecursionError) as error:
        raise DataError(f"{name} is not JSON lines; give a table of --show-data") from error
    if len(lines) < 2:
        raise DataError(f"{name} has no rows; give a table with its header, as --show-data prints it")
    tabs = "\t" in lines[0]
    reader = csv.reader(
        lines, delimiter="\t" if tabs else ",", quoting=csv.QUOTE_NONE if tabs else csv.QUOTE_MINIMAL
    )
    try:
        header, *rows = list(reader)
    except csv.Error as error:
        raise DataError(f"{name} is not a table ({error}); give a table of --show-data") from error
    for number, row in enumerate(rows, 2):
        if len(row) != len(header):
            raise DataError(f"{name}, line {number}: {len(row)} cells below {len(header)} columns; fix it")
    return [dict(zip(header, row, strict=True)) for row in rows]


def read_rows(source: str, columns: Sequence[str], kind: type[Row]) -> list[Row]:
    """Read the rows of a table as named tuples.

    Args:
        source: A file, or - for stdin.
        columns: Column names, one for each field of `kind`.
        kind: The named tuple; a missing column gets its field's default.

    Raises:
        DataError: A column without a default is missing, or a cell does not fit its field.
    """
    hints, defaults = get_type_hints(kind), getattr(kind, "_field_defaults", {})
    fields, adapter, found = dict(zip(hints, columns, strict=True)), TypeAdapter(kind), []
    for number, cells in enumerate(read_table(source), 1):
        given = {field: cells[column] for field, column in fields.items() if column in cells}
        for field, cell in given.items():
            if cell in ("", None) and hints[field] is not str:
                given[field] = math.nan if hints[field] is float else None
        try:
            found.append(adapter.validate_python(given))
        except ValidationError as error:
            field = str(error.errors()[0]["loc"][0])
            if field not in given:
                needed = ", ".join(fields[name] for name in fields if name not in defaults)
                raise DataError(
                    f"{name_of(Path(source))} has no column {fields[field]!r}; it needs {needed}"
                ) from None
            what = f"{cells[fields[field]]!r} is not valid for {field}"
            raise DataError(f"{name_of(Path(source))}, row {number}: {what}; fix it") from None
    return found
