"""Exceptions of sritool, each with the exit code the command line maps it to.

A message is one line that ends in what to do next. Only ``sritool.cli`` turns them into text and an exit.
"""

from __future__ import annotations

import signal


class SritoolError(Exception):
    """Base of every error the package raises on purpose."""

    exit_code: int = 1


class UsageError(SritoolError):
    """The request cannot be met as asked: no such GPU, unknown corpus name, options that contradict."""

    exit_code = 2


class DataError(SritoolError):
    """Input text or a prepared corpus is missing, empty, unreadable or not what it says it is."""

    exit_code = 3


class CheckpointError(SritoolError):
    """A checkpoint or run folder is missing, truncated, of another version or not a checkpoint."""

    exit_code = 3


class NumericalError(SritoolError):
    """A loss, gradient or density is not finite."""

    exit_code = 4


class ShapeError(SritoolError, ValueError):
    """Arguments of a function disagree in shape or type."""


class Interrupted(SritoolError):  # noqa: N818 - what happened, and not a failure
    """A signal asked the work to stop and it stopped cleanly; the exit code is 128 + the signal number."""

    def __init__(self, signal_number: int, message: str = "") -> None:
        name = signal.Signals(signal_number).name
        super().__init__(message or f"stopped by {name}")
        self.signal_number = int(signal_number)
        self.exit_code = 128 + int(signal_number)
