"""Exceptions of sritool, each with the exit code the command line maps it to.

A message is one line that ends with what to do next. Only ``sritool.cli`` prints it and exits.
`advice_on`, `quoted`, `suggestion` and `wanted_value` build parts of messages for the whole package.
"""

from __future__ import annotations

import difflib
import errno
import signal
from collections.abc import Iterable
from typing import Any

ADVICE = {
    errno.ENOSPC: "free some space, or write to another disk",
    errno.EDQUOT: "free some space, or write to another disk",
    errno.EFBIG: "the file exceeds the size limit; see ulimit -f, or write to another disk",
    errno.EROFS: "the file system is read-only; use another folder",
    errno.EACCES: "check its permissions, or use another",
    errno.EPERM: "check its permissions, or use another",
    errno.ENOENT: "check the spelling of its name",
    errno.ENOTDIR: "a part of the path is a file; check the spelling",
    errno.EISDIR: "give a file instead",
    errno.ELOOP: "its links form a loop; give another",
    errno.ENAMETOOLONG: "give a shorter name",
    errno.EMFILE: "too many files are open; see ulimit -n",
    errno.ENFILE: "too many files are open; close other programs",
    errno.ENOMEM: "free some memory, or give a smaller --batch-size",
    errno.EIO: "the disk or the terminal does not answer; check it, or use another",
    errno.ESTALE: "the disk no longer answers; check it, or use another",
}
"""What to do next, by errno."""

FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
"""Errnos for a file that cannot grow."""


class SritoolError(Exception):
    """Base of every error the package raises on purpose."""

    exit_code: int = 1


class UsageError(SritoolError):
    """The request cannot be met as given: no such GPU, unknown corpus name, contradictory options."""

    exit_code = 2


class DataError(SritoolError):
    """Input text or a prepared corpus is missing, empty, unreadable or not what it claims to be."""

    exit_code = 3


class CheckpointError(SritoolError):
    """A checkpoint or run folder is missing, truncated, of another version, or not a checkpoint at all."""

    exit_code = 3


class NumericalError(SritoolError):
    """A loss, gradient or density is not finite."""

    exit_code = 4


class ShapeError(SritoolError, ValueError):
    """Arguments of a function disagree in shape or type."""


class EndedElsewhereError(SritoolError):
    """Another process of the job ended with an error and reported it; this one ends with the same exit code."""

    def __init__(self, exit_code: int) -> None:
        super().__init__("another process of this job has ended")
        self.exit_code = exit_code


class Interrupted(SritoolError):  # noqa: N818 - an event, not a failure
    """A signal asked the work to stop and it stopped cleanly; the exit code is 128 + the signal number."""

    def __init__(self, signal_number: int, message: str = "") -> None:
        name = signal.Signals(signal_number).name
        super().__init__(message or f"stopped by {name}")
        self.signal_number = int(signal_number)
        self.exit_code = 128 + int(signal_number)


def advice_on(error: OSError) -> str:
    """Return what to do about a file that cannot be read."""
    return ADVICE.get(error.errno or 0, "check the disk, or use another")


def quoted(value: Any, longest: int = 60) -> str:
    """Return a value for a message: shortened, and without terminal control sequences."""
    if isinstance(value, int) and abs(value) >= 1 << 63:
        return "beyond 2^63"  # thousands of digits take minutes to print
    if not isinstance(value, str | bytes | int | float | None):
        return f"a {type(value).__name__.lower()}"
    text = repr(value[: longest + 1] if isinstance(value, str | bytes) else value)
    return text if len(text) <= longest else text[:longest] + "…"


def suggestion(name: str, known: Iterable[str], before: str = "") -> str:
    """Return the end of a message about an unknown name: the longer names it begins, the nearest one, or all.

    `before` is a prefix of the suggested name, such as "sampler." before "steps".
    """
    known = list(dict.fromkeys(known))
    longer = [before + other for other in known if other.startswith(f"{name}-")]
    if len(longer) > 1:
        return f"; did you mean one of {', '.join(longer)}?"
    if near := nearest(name, known):
        return f"; did you mean {before}{near}?"
    return f"; known: {', '.join(known)}" if known else ""


def nearest(name: str, known: Iterable[str]) -> str:
    """Return the known name with the closest spelling, or "" if none is close."""
    return next(iter(difflib.get_close_matches(name[:100], list(known), n=1, cutoff=0.5)), "")


def wanted_value(message: str) -> str:
    """Return what a field wants: "be at least 1" from pydantic's "Input should be greater than or equal to 1"."""
    wanted = message.partition(" should ")[2].partition(" after validation")[0]
    wanted = wanted.replace("greater than or equal to", "at least").replace(
        "less than or equal to", "at most"
    )
    return wanted.replace("a valid integer", "a whole number").replace("a valid number", "a number")
