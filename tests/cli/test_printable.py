"""Words and names that would act on a terminal."""

from __future__ import annotations

import pytest

from sritool.cli.printable import one_line, printable, printable_columns, visible

CLEARS = "a\x1b[2Jb\x9b31m\x7f\rc\x07"


@pytest.mark.parametrize("make", [printable, printable_columns, one_line])
def test_no_control_character_is_left(make: object) -> None:
    assert callable(make)
    every = "".join(map(chr, (*range(9), *range(11, 32), 127, *range(128, 160), *range(0x202A, 0x202F))))
    made = make(f"x{every}\u2066y")
    assert made[0] == "x"
    assert made[-1] == "y"
    assert made.isprintable()
    assert "\N{REPLACEMENT CHARACTER}" in made


def test_what_is_kept() -> None:
    assert printable("a\tb\nc é 犬 🐕 שלום") == "a b\nc é 犬 🐕 שלום"
    assert printable_columns("a\tb\n") == "a\tb\n"
    assert printable(CLEARS) == "a␛[2Jb\N{REPLACEMENT CHARACTER}31m␡␍c␇"
    assert visible("a\x00b\x1b\n\u2028c\udcff\x9b") == "a␀b␛  c��"  # for a page
    assert visible("🦆 שלום \u202e") == "🦆 שלום \u202e"


def test_one_line_joins_lines_and_keeps_the_spaces_of_a_name() -> None:
    assert one_line("first\n   second\r\n\u2028third") == "first second third"
    assert one_line("cannot read my  file.txt") == "cannot read my  file.txt"
