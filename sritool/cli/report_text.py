"""Text of a user's own as a page may hold it: nothing in it is markup, script or a control character."""

from __future__ import annotations

import json
from typing import Any

from sritool.cli.printable import VISIBLE_CONTROLS

# No page is UTF-8 with half a pair in it; a path that is no UTF-8 comes with such.
_SURROGATES = dict.fromkeys(range(0xD800, 0xE000), "\N{REPLACEMENT CHARACTER}")
_ONE_LINE = VISIBLE_CONTROLS | _SURROGATES | {0x0A: " ", 0x2028: " ", 0x2029: " "}
# What the parser of HTML looks for inside a <script>.
_IN_SCRIPT = {"<": "\\u003c", ">": "\\u003e", "&": "\\u0026"}


def visible(text: str) -> str:
    """One line without control characters: they show as symbols of their own."""
    return text.translate(_ONE_LINE)


def script_json(value: Any) -> str:
    """JSON in ASCII that may stand inside a <script> element, whatever is in its strings."""
    text = json.dumps(value, ensure_ascii=True, allow_nan=False, separators=(",", ":"))
    for character, escape in _IN_SCRIPT.items():
        text = text.replace(character, escape)
    return text
