"""Text and names whose characters would act on a terminal."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from sritool.cli.printable import one_line, printable, printable_columns, visible

ESCAPES = "a\x1b[2Jb\x9b31m\x7f\rc\x07"


@pytest.mark.parametrize("clean", [printable, printable_columns, one_line])
def test_no_control_character_survives(clean: Callable[[str], str]) -> None:
    controls = "".join(map(chr, (*range(9), *range(11, 32), 127, *range(128, 160), *range(0x202A, 0x202F))))
    cleaned = clean(f"x{controls}\u2066y")
    assert cleaned[0] == "x"
    assert cleaned[-1] == "y"
    assert cleaned.isprintable()
    assert "\N{REPLACEMENT CHARACTER}" in cleaned


def test_kept_and_replaced_characters() -> None:
    assert printable("a\tb\nc é 犬 🐕 שלום") == "a b\nc é 犬 🐕 שלום"
    assert printable_columns("a\tb\n") == "a\tb\n"
    assert printable(ESCAPES) == "a␛[2Jb\N{REPLACEMENT CHARACTER}31m␡␍c␇"
    assert visible("a\x00b\x1b\n\u2028c\udcff\x9b") == "a␀b␛  c��"  # for HTML pages
    assert visible("🦆 שלום \u202e") == "🦆 שלום \u202e"


def test_one_line_joins_lines_but_keeps_inner_spaces() -> None:
    assert one_line("first\n   second\r\n\u2028third") == "first second third"
    assert one_line("cannot read my  file.txt") == "cannot read my  file.txt"
