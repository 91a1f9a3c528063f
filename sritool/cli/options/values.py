"""Turns words on the command line into values."""

from __future__ import annotations

import math
import re

import typer

from sritool.errors import UsageError

LONGEST_RANGE = 1000

_SECONDS_PER_UNIT = {"d": 86400.0, "h": 3600.0, "m": 60.0, "s": 1.0}
_PARTS = re.compile(r"(\d+(?:\.\d+)?)\s*([dhms])\s*")
_CLOCK = re.compile(r"(?:(\d+):)?(\d+):([0-5]?\d)")
_NUMBER = re.compile(r"\d+(?:\.\d+)?")
_BYTES_PER_UNIT = {"": 1, "k": 1 << 10, "m": 1 << 20, "g": 1 << 30, "t": 1 << 40}
_SIZE = re.compile(r"(\d+(?:\.\d+)?)\s*([kmgt]?)(?:i?b)?")


def duration(text: str | float) -> float:
    """Return the seconds in `90`, `90s`, `1h30m`, `1.5h`, `9:00` (minutes first) or `00:09:00`; a number as it is.

    Raises:
        BadParameter: The text is anything else, or zero.
    """
    if not isinstance(text, str):
        return float(text)
    text = text.strip().lower()
    seconds = _seconds(text)
    if seconds is None:
        raise typer.BadParameter(
            f"{text!r} is not a length of time; write it like 90s, 9m, 1h30m or 00:09:00"
        )
    if seconds <= 0:
        raise typer.BadParameter("a length of time must be above zero, like 90s or 9m")
    return seconds


def _seconds(text: str) -> float | None:
    if _NUMBER.fullmatch(text):
        return float(text)
    if clock := _CLOCK.fullmatch(text):
        hours, minutes, seconds = (int(part or 0) for part in clock.groups())
        return hours * 3600.0 + minutes * 60.0 + seconds
    parts = _PARTS.findall(text)
    units = [unit for _, unit in parts]
    in_order = sorted(set(units), key="dhms".index) == units
    if not parts or not in_order or _PARTS.sub("", text):
        return None
    return sum(float(amount) * _SECONDS_PER_UNIT[unit] for amount, unit in parts)


def size(text: str | int) -> int:
    """Return the bytes in `4G`, `500M`, `1.5 GiB` or `100000`, by powers of 1024, or a number itself.

    Raises:
        BadParameter: The text is anything else, or zero.
    """
    if not isinstance(text, str):
        return text
    found = _SIZE.fullmatch(text.strip().lower())
    if not found:
        raise typer.BadParameter(f"{text!r} is not an amount of memory; write it like 4G or 500M")
    amount = float(found[1]) * _BYTES_PER_UNIT[found[2]]
    if not 1 <= amount <= 1 << 60:
        raise typer.BadParameter(f"{text!r} is not a possible amount of memory; write it like 4G or 500M")
    return int(amount)


def names(text: str) -> tuple[str, ...]:
    """Return the names in a list separated by commas."""
    return tuple(name.strip() for name in text.split(",") if name.strip())


def numbers(text: str, option: str) -> tuple[float, ...]:
    """Return the numbers of a list like `0.2,0.5`, each once; raise UsageError for anything else."""
    try:
        found = tuple(dict.fromkeys(map(float, names(text))))
    except ValueError:
        found = ()
    if not found or not all(map(math.isfinite, found)):
        raise UsageError(f"{option} {text} is not a list of numbers; give one like 0.2,0.5,1")
    return found


def chosen_names(text: str | None, usual: tuple[str, ...], every: tuple[str, ...]) -> tuple[str, ...]:
    """Return the names in a list; `usual` without a list, `every` for `all`."""
    if text is None:
        return usual
    return every if text == "all" else names(text)


def counts(text: str, option: str) -> tuple[int, ...]:
    """Return the whole numbers of a list like `0,2,5-8`, each once; raise UsageError for anything else."""
    found: list[int] = []
    for part in text.split(","):
        first, dash, last = (piece.strip() for piece in part.partition("-"))
        if not (first.isdecimal() and (last.isdecimal() if dash else True)) or len(first + last) > 8:
            raise UsageError(f"{option} {text} is not a list of whole numbers; give one like 0-4 or 0,2,5-8")
        ends = int(first), int(last or first)
        if ends[1] < ends[0] or ends[1] - ends[0] > LONGEST_RANGE:
            raise UsageError(f"{option} {text} has no range {part.strip()}; give one like 0-4 or 0,2,5-8")
        found += range(ends[0], ends[1] + 1)
    return tuple(dict.fromkeys(found))
