"""From words on the command line to values."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import TypeVar

import typer

from sritool.cli.units import parse_bytes, parse_duration
from sritool.errors import UsageError

LONGEST_RANGE = 1000

Number = TypeVar("Number", int, float)


def duration(text: str | float) -> float:
    """Seconds, for an option like `--max-time 9m`."""
    return _parsed(text, parse_duration) if isinstance(text, str) else float(text)


def size(text: str | int) -> int:
    """Bytes, for an option like `--memory 4G`."""
    return _parsed(text, parse_bytes) if isinstance(text, str) else text


def _parsed(text: str, parse: Callable[[str], Number]) -> Number:
    try:
        return parse(text)
    except ValueError as error:
        raise typer.BadParameter(str(error)) from None


def names(text: str) -> tuple[str, ...]:
    """Names with commas between."""
    return tuple(name.strip() for name in text.split(",") if name.strip())


def numbers(text: str, option: str) -> tuple[float, ...]:
    """Numbers of a list like `0.2,0.5`, each once; raise UsageError for what is no such list."""
    try:
        found = tuple(dict.fromkeys(map(float, names(text))))
    except ValueError:
        found = ()
    if not found or not all(map(math.isfinite, found)):
        raise UsageError(f"{option} {text} is no list of numbers; give one like 0.2,0.5,1")
    return found


def counts(text: str, option: str) -> tuple[int, ...]:
    """Whole numbers of a list like `0,2,5-8`; raise UsageError for what is no such list."""
    found: list[int] = []
    for part in text.split(","):
        first, dash, last = (piece.strip() for piece in part.partition("-"))
        if not (first.isdecimal() and (last.isdecimal() if dash else True)) or len(first + last) > 8:
            raise UsageError(f"{option} {text} is no list of whole numbers; give one like 0-4 or 0,2,5-8")
        ends = int(first), int(last or first)
        if ends[1] < ends[0] or ends[1] - ends[0] > LONGEST_RANGE:
            raise UsageError(f"{option} {text} has no range {part.strip()}; give one like 0-4 or 0,2,5-8")
        found += range(ends[0], ends[1] + 1)
    return tuple(found)
