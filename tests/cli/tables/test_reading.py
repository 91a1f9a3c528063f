"""Tables read back from TSV, CSV and JSON lines, and what is not such a table."""

from __future__ import annotations

import io
import math
import sys
from pathlib import Path
from typing import NamedTuple

import pytest

from sritool.cli.formats import Table, lines_of
from sritool.cli.tables.reading import read_rows, read_table
from sritool.errors import DataError


class Kind(NamedTuple):
    name: str
    count: int
    value: float
    error: float | None
    chosen: bool


COLUMNS = ("name", "how many", "value", "value se", "chosen")
ROWS = [Kind('a "run", no less', 3, 0.125, None, True), Kind("b", 0, -2.5e-7, 0.5, False)]


@pytest.mark.parametrize("fmt", ["tsv", "csv", "json"])
def test_round_trip(fmt: str, tmp_path: Path) -> None:
    path = tmp_path / "table"
    path.write_text("".join(lines_of(Table("", COLUMNS, ROWS), fmt)), encoding="utf-8")
    assert read_rows(str(path), COLUMNS, Kind) == ROWS


def test_csv_from_another_program(tmp_path: Path) -> None:
    path = tmp_path / "table"
    path.write_text("name,how many,value,value se,chosen\na,1,2,,True\nb,0,1,,False\n")
    assert [row.chosen for row in read_rows(str(path), COLUMNS, Kind)] == [True, False]


def test_nan_survives_json(tmp_path: Path) -> None:
    path = tmp_path / "table"
    row = ROWS[0]._replace(value=math.nan)
    path.write_text("".join(lines_of(Table("", COLUMNS, [row]), "json")), encoding="utf-8")
    assert math.isnan(read_rows(str(path), COLUMNS, Kind)[0].value)


def test_read_table_from_stdin(monkeypatch: pytest.MonkeyPatch) -> None:
    stdin = io.TextIOWrapper(io.BytesIO(b"more\tname\n1\tx\n"))
    monkeypatch.setattr(sys, "stdin", stdin)
    assert read_table("-") == [{"more": "1", "name": "x"}]


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "has no rows"),
        (b"name\thow many\n", "has no rows"),
        (b"\xff\xfe\x00", "is not text"),
        (b'{"name": ', "is not JSON lines"),
        (b'{"a": 1}\n[2]\n', "is not JSON lines"),
        (b"name\tvalue\nx\n", "line 2"),
        (b"name\tvalue\nx\t1\n", "no column 'how many'"),
        (
            b"name\thow many\tvalue\tvalue se\tchosen\nx\tmany\t1\t\ttrue\n",
            "row 1: 'many' is not valid for count",
        ),
        (b"name\thow many\tvalue\tvalue se\tchosen\nx\t\t1\t\ttrue\n", "row 1: '' is not valid for count"),
        (
            b"name\thow many\tvalue\tvalue se\tchosen\nx\t1\t1\t\tmaybe\n",
            "row 1: 'maybe' is not valid for chosen",
        ),
        (None, "cannot read"),
    ],
)
def test_invalid_table(content: bytes | None, message: str, tmp_path: Path) -> None:
    path = tmp_path / "table"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(DataError) as caught:
        read_rows(str(path), COLUMNS, Kind)
    assert message in str(caught.value)
    assert "\n" not in str(caught.value)
