"""Lengths of time and amounts of memory as people write them."""

from __future__ import annotations

import re

SECONDS_PER_UNIT = {"d": 86400.0, "h": 3600.0, "m": 60.0, "s": 1.0}
PARTS = re.compile(r"(\d+(?:\.\d+)?)\s*([dhms])\s*")
CLOCK = re.compile(r"(?:(\d+):)?(\d+):([0-5]?\d)")
NUMBER = re.compile(r"\d+(?:\.\d+)?")


def parse_duration(text: str) -> float:
    """Seconds in `90`, `90s`, `9m`, `1h30m`, `2h`, `1.5h`, `9:00` (minutes first) or `00:09:00`.

    Raises:
        ValueError: It is anything else, or zero.
    """
    text = text.strip().lower()
    seconds = _seconds(text)
    if seconds is None:
        raise ValueError(f"{text!r} is not a length of time; write it like 90s, 9m, 1h30m or 00:09:00")
    if seconds <= 0:
        raise ValueError("a length of time must be above zero, like 90s or 9m")
    return seconds


def _seconds(text: str) -> float | None:
    if NUMBER.fullmatch(text):
        return float(text)
    if clock := CLOCK.fullmatch(text):
        hours, minutes, seconds = (int(part or 0) for part in clock.groups())
        return hours * 3600.0 + minutes * 60.0 + seconds
    parts = PARTS.findall(text)
    units = [unit for _, unit in parts]
    in_order = sorted(set(units), key="dhms".index) == units
    if not parts or not in_order or PARTS.sub("", text):
        return None
    return sum(float(amount) * SECONDS_PER_UNIT[unit] for amount, unit in parts)


def format_duration(seconds: float) -> str:
    """`0:09` (minutes and seconds) or `1:02:03` (with hours), rounded to a second."""
    minutes, rest = divmod(round(max(seconds, 0.0)), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{rest:02}" if hours else f"{minutes}:{rest:02}"


def format_roughly(seconds: float) -> str:
    """`40 s`, `35 min`, `11 h` or `17 days`, for what was only estimated."""
    for unit, size, most in (("s", 1.0, 90.0), ("min", 60.0, 90.0), ("h", 3600.0, 72.0)):
        if seconds < most * size:
            return f"{round(max(seconds, 0.0) / size)} {unit}"
    return f"{round(seconds / 86400)} days"


BYTES_PER_UNIT = {"": 1, "k": 1 << 10, "m": 1 << 20, "g": 1 << 30, "t": 1 << 40}
SIZE = re.compile(r"(\d+(?:\.\d+)?)\s*([kmgt]?)(?:i?b)?")


def parse_bytes(text: str) -> int:
    """Bytes in `4G`, `500M`, `1.5 GiB` or `100000`; units are powers of 1024.

    Raises:
        ValueError: It is anything else, or zero.
    """
    found = SIZE.fullmatch(text.strip().lower())
    if not found:
        raise ValueError(f"{text!r} is no amount of memory; write it like 4G or 500M")
    amount = int(float(found[1]) * BYTES_PER_UNIT[found[2]])
    if amount <= 0:
        raise ValueError("an amount of memory must be above zero, like 4G or 500M")
    return amount
