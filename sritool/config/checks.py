"""Whether plain values read from a file are of the types that the program would have written."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from sritool.errors import quoted as quoted

MOST = 1 << 53  # a count that a float tells from its neighbours


def check_types(values: Mapping[str, Any], defaults: Mapping[str, Any]) -> None:
    """Raises: ValueError if a value has no default of its name and type, or is a count below 0 or no number."""
    for name, value in values.items():
        if name not in defaults or type(value) is not type(defaults[name]):
            raise ValueError(f"{quoted(name)} is {quoted(value)}")
        if (type(value) is int and not is_count(value)) or value != value:
            raise ValueError(f"{quoted(name)} is {quoted(value)}")


def is_count(value: Any) -> bool:
    return type(value) is int and 0 <= value < MOST
