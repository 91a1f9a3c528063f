"""Whether plain values read from a file are of the types that the program would have written."""

from __future__ import annotations

from typing import Any

from sritool.errors import quoted as quoted

MOST = 1 << 53  # a count that a float tells from its neighbours


def is_count(value: Any) -> bool:
    return type(value) is int and 0 <= value < MOST
