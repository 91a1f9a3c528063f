"""Durations and memory sizes, parsed as users write them, and formatted."""

from __future__ import annotations

import pytest
import typer
from hypothesis import given
from hypothesis import strategies as st

from sritool.cli.options.values import duration, size
from sritool.cli.units import format_duration, format_roughly


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("4G", 4 << 30),
        ("500M", 500 << 20),
        ("1.5 GiB", 3 << 29),
        ("64kb", 64 << 10),
        ("2t", 2 << 40),
        (" 7b ", 7),
    ],
)
def test_memory_sizes(text: str, expected: int) -> None:
    assert size(text) == expected


@pytest.mark.parametrize(
    "text", ["", "much", "4 Gigs", "-1G", "1e9", "G", "4,5G", "0", "0G", "0.1b", "9" * 400]
)
def test_invalid_memory_sizes(text: str) -> None:
    with pytest.raises(typer.BadParameter, match="4G or 500M"):
        size(text)


@pytest.mark.parametrize(
    ("texts", "seconds"),
    [
        ("90 90s", 90),
        ("0.5", 0.5),
        ("9m 00:09:00", 540),
        ("1h30m 1.5h", 5400),
        ("2H", 7200),
        ("1d", 86400),
        ("9:30", 570),
    ],
)
def test_durations(texts: str, seconds: float) -> None:
    assert {duration(f" {text} ") for text in texts.split()} == {seconds}
    assert duration("1h 30m 5s") == 5405


@pytest.mark.parametrize(
    "text", ["", "m", "9q", "-5", "5m1h", "5m5m", "1:75", "1:2:3:4", "0", "0s", "nan", "1e3", "9 9"]
)
def test_invalid_durations(text: str) -> None:
    with pytest.raises(typer.BadParameter, match="length of time"):
        duration(text)


@given(st.integers(1, 10**6))
def test_written_duration_reads_back(seconds: int) -> None:
    assert duration(format_duration(seconds)) == seconds


def test_format_duration() -> None:
    written = [format_duration(seconds) for seconds in (-1, 0, 9.4, 59.6, 600, 3723)]
    assert written == ["0:00", "0:00", "0:09", "1:00", "10:00", "1:02:03"]


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (0, "0 s"),
        (89, "89 s"),
        (90, "2 min"),
        (5399, "90 min"),
        (5401, "2 h"),
        (40_000, "11 h"),
        (1.5e6, "17 days"),
    ],
)
def test_format_roughly(seconds: float, text: str) -> None:
    assert format_roughly(seconds) == text
