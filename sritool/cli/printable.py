"""Texts and names of files made harmless for a terminal, for one line, or for a page."""

from __future__ import annotations

import re

_REPLACED = "\N{REPLACEMENT CHARACTER}"
# They turn round what stands behind them in the line.
_BIDI = (*range(0x202A, 0x202F), *range(0x2066, 0x206A))

VISIBLE_CONTROLS = {code: chr(0x2400 + code) for code in range(32)} | {0x7F: "␡", 0x09: " ", 0x0A: "\n"}
VISIBLE_CONTROLS |= dict.fromkeys(range(0x80, 0xA0), _REPLACED)
"""For `str.translate`: control characters are shown, never sent anywhere, but for the end of a line."""

_ON_A_TERMINAL = VISIBLE_CONTROLS | dict.fromkeys(_BIDI, _REPLACED)
_KEPT_IN_LINES = _ON_A_TERMINAL | {0x09: "\t"}  # what separates the columns of a format for programs
_LINE_END = re.compile(r"\s*[\n\r\v\f\x1c-\x1e\x85\u2028\u2029]\s*")


def printable(text: str) -> str:
    """The text without anything that acts on a terminal: `ESC[2J` clears no screen. Line ends stay."""
    return text.translate(_ON_A_TERMINAL)


def printable_columns(text: str) -> str:
    """The same for lines of a format for programs that are shown on a terminal: tabs stay too."""
    return text.translate(_KEPT_IN_LINES)


def one_line(text: str) -> str:
    """The text in one line, and without anything that acts on a terminal."""
    return printable(_LINE_END.sub(" ", text.strip()))


# No page is UTF-8 with half a pair in it; a path that is no UTF-8 comes with such.
_SURROGATES = dict.fromkeys(range(0xD800, 0xE000), "\N{REPLACEMENT CHARACTER}")
_ONE_LINE = VISIBLE_CONTROLS | _SURROGATES | {0x0A: " ", 0x2028: " ", 0x2029: " "}


def visible(text: str) -> str:
    """One line without control characters: they show as symbols of their own."""
    return text.translate(_ONE_LINE)
