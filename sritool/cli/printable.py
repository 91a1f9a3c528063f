"""Makes text and file names safe to show on a terminal, in one line, or on a page."""

from __future__ import annotations

import re

_REPLACED = "\N{REPLACEMENT CHARACTER}"
# They change the direction of the text after them.
_BIDI = (*range(0x202A, 0x202F), *range(0x2066, 0x206A))

VISIBLE_CONTROLS = {code: chr(0x2400 + code) for code in range(32)} | {0x7F: "␡", 0x09: " ", 0x0A: "\n"}
VISIBLE_CONTROLS |= dict.fromkeys(range(0x80, 0xA0), _REPLACED)
"""Table for `str.translate` that replaces control characters by visible ones, except line ends."""

_ON_A_TERMINAL = VISIBLE_CONTROLS | dict.fromkeys(_BIDI, _REPLACED)
_KEPT_IN_LINES = _ON_A_TERMINAL | {0x09: "\t"}  # tabs separate the columns of a format for programs
_LINE_END = re.compile(r"\s*[\n\r\v\f\x1c-\x1e\x85\u2028\u2029]\s*")


def printable(text: str) -> str:
    """Return the text with control characters made visible, so that `ESC[2J` clears no screen; line ends stay."""
    return text.translate(_ON_A_TERMINAL)


def printable_columns(text: str) -> str:
    """Do the same for lines in a format for programs, shown on a terminal: tabs stay too."""
    return text.translate(_KEPT_IN_LINES)


def one_line(text: str) -> str:
    """Return the text in one line, with control characters made visible."""
    return printable(_LINE_END.sub(" ", text.strip()))


# A path that is not UTF-8 contains lone surrogates, which a page in UTF-8 cannot hold.
_SURROGATES = dict.fromkeys(range(0xD800, 0xE000), "\N{REPLACEMENT CHARACTER}")
_ONE_LINE = VISIBLE_CONTROLS | _SURROGATES | {0x0A: " ", 0x2028: " ", 0x2029: " "}


def visible(text: str) -> str:
    """Return the text in one line for a page, with control characters shown as symbols."""
    return text.translate(_ONE_LINE)
