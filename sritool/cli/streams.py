"""The program's standard streams: always there, in UTF-8, and whatever happens at their other ends met here.

A reader of stdout that goes, as `head -1` does, is no error: what is still written goes nowhere. A disk that is full
is one. Talk on stderr never fails: nobody's work ends because nobody listens.
"""

from __future__ import annotations

import contextlib
import io
import os
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import TextIO

from sritool.errors import SritoolError


class _Stream(io.TextIOWrapper):
    """A text stream that sends everything nowhere from the first failure on."""

    def write(self, text: str) -> int:
        try:
            return super().write(text)
        except OSError as error:
            self.fail(error)
        return len(text)

    def flush(self) -> None:
        try:
            super().flush()
        except OSError as error:
            self.fail(error)

    def fail(self, error: OSError) -> None:
        """What was written is lost; the rest is let go, else the interpreter meets the error again at its end."""
        nowhere = os.open(os.devnull, os.O_WRONLY)
        os.dup2(nowhere, self.fileno())
        os.close(nowhere)
        super().flush()


class Output(_Stream):
    """stdout. Raises, in place of an OSError: SritoolError, unless only the reader of a pipe has gone."""

    def fail(self, error: OSError) -> None:
        super().fail(error)
        if not isinstance(error, BrokenPipeError):
            reason = error.strerror or type(error).__name__
            raise SritoolError(f"cannot write the output: {reason}; send it where there is room") from error


class Talk(_Stream):
    """stderr."""


def write_bytes(content: bytes) -> None:
    """Write to stdout what is no text, after the text that was written before."""
    sys.stdout.flush()
    try:
        sys.stdout.buffer.write(content)
    except OSError as error:
        if not isinstance(sys.stdout, _Stream):
            raise
        sys.stdout.fail(error)
    sys.stdout.flush()


@contextlib.contextmanager
def standard_streams() -> Iterator[None]:
    """Make sys.stdin, stdout and stderr what this module says, until the end of the program."""
    for name in (
        "stdin",
        "stdout",
        "stderr",
    ):  # in the order of their numbers, which files that are opened get
        if (
            getattr(sys, name) is None
        ):  # closed by the caller: nothing comes, and what is written goes nowhere
            mode = "r" if name == "stdin" else "w"
            setattr(sys, name, Path(os.devnull).open(mode, encoding="utf-8"))  # noqa: SIM115 - until the end
    sys.stdout = Output(*_taken(sys.stdout))  # type: ignore[arg-type]
    sys.stderr = Talk(*_taken(sys.stderr), line_buffering=True)  # type: ignore[arg-type]
    try:
        yield
    finally:
        with contextlib.suppress(SritoolError):  # said before, or nothing more to be said
            sys.stdout.flush()
        sys.stderr.flush()


def _taken(stream: TextIO) -> tuple[object, str, str]:
    """Buffer, encoding and error handling for a new stream in place of this one.

    Text is UTF-8 whatever the locale says; a terminal that lacks a character shows its number.
    """
    encoding = stream.encoding if stream.isatty() else "utf-8"
    return stream.detach(), encoding, "backslashreplace"  # type: ignore[attr-defined]
