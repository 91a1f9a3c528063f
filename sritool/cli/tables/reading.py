"""Reads back tables that sritool printed."""

from __future__ import annotations

import csv
import json
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any, TypeVar, get_type_hints

from sritool.errors import DataError

Row = TypeVar("Row")


def read_table(source: str) -> list[dict[str, Any]]:
    """Read the rows of a table from a file, or - for stdin, by column; cells are text or JSON values.

    Raises:
        DataError: The table cannot be read, or has no row.
    """
    name = "standard input" if source == "-" else source
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
    except (ValueError, TypeError) as error:
        raise DataError(f"{name} is not JSON lines; give a table of --show-data") from error
    if len(lines) < 2:
        raise DataError(f"{name} has no rows; give a table with its header, as --show-data prints it")
    tabs = "\t" in lines[0]
    reader = csv.reader(
        lines, delimiter="\t" if tabs else ",", quoting=csv.QUOTE_NONE if tabs else csv.QUOTE_MINIMAL
    )
    header, *rows = list(reader)
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
    hints = get_type_hints(kind)
    defaults: dict[str, Any] = getattr(kind, "_field_defaults", {})
    needed = [column for column, field in zip(columns, hints, strict=True) if field not in defaults]
    found = []
    for number, cells in enumerate(read_table(source), 1):
        values = []
        for column, (field, hint) in zip(columns, hints.items(), strict=True):
            if column not in cells and field in defaults:
                values.append(defaults[field])
                continue
            if column not in cells:
                raise DataError(f"{source} has no column {column!r}; it needs {', '.join(needed)}")
            try:
                values.append(value_of(cells[column], hint))
            except (ValueError, TypeError, KeyError):
                raise DataError(
                    f"{source}, row {number}: {cells[column]!r} is not valid for {field}; fix it"
                ) from None
        found.append(kind(*values))
    return found


def value_of(cell: Any, hint: Any) -> Any:
    """Convert a cell to its field's type, an empty one to None or NaN; raise ValueError, TypeError or KeyError."""
    if hint is str:
        return str(cell)
    if hint is bool:
        return {"true": True, "false": False}[str(cell).lower()]
    if cell is None or cell == "":
        if hint is int:
            raise ValueError("a whole number is needed")
        return None if hint == float | None else float("nan")
    return int(cell) if hint is int else float(cell)
