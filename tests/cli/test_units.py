"""Amounts of memory as people write them."""

from __future__ import annotations

import pytest

from sritool.cli.units import parse_bytes


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("4G", 4 << 30),
        ("500M", 500 << 20),
        ("1.5 GiB", 3 << 29),
        ("64kb", 64 << 10),
        ("2t", 2 << 40),
        ("100000", 100_000),
        (" 7b ", 7),
    ],
)
def test_amounts(text: str, expected: int) -> None:
    assert parse_bytes(text) == expected


@pytest.mark.parametrize("text", ["", "much", "4 Gigs", "-1G", "1e9", "G", "4,5G"])
def test_what_is_no_amount(text: str) -> None:
    with pytest.raises(ValueError, match="write it like 4G or 500M"):
        parse_bytes(text)


@pytest.mark.parametrize("text", ["0", "0G", "0.1b"])
def test_nothing_is_too_little(text: str) -> None:
    with pytest.raises(ValueError, match="above zero"):
        parse_bytes(text)
