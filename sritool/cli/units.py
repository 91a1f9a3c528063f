"""Durations, formatted for people."""

from __future__ import annotations


def format_duration(seconds: float) -> str:
    """Return `0:09` (minutes and seconds) or `1:02:03` (with hours), rounded to a second."""
    minutes, rest = divmod(round(max(seconds, 0.0)), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{rest:02}" if hours else f"{minutes}:{rest:02}"


def format_roughly(seconds: float) -> str:
    """Return `40 s`, `35 min`, `11 h` or `17 days`, for an estimate."""
    for unit, size, most in (("s", 1.0, 90.0), ("min", 60.0, 90.0), ("h", 3600.0, 72.0)):
        if seconds < most * size:
            return f"{round(max(seconds, 0.0) / size)} {unit}"
    return f"{round(seconds / 86400)} days"
