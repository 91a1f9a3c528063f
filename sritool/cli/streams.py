"""The program's standard streams, always present and in UTF-8, and its messages on stderr.

If the reader of stdout goes away, as `head -1` does, that is no error: further output is discarded. A full disk is an
error, and so is output to a closed stdout. Writing to stderr never fails: no work ends because nobody reads the
messages.
"""

from __future__ import annotations

import contextlib
import io
import os
import sys
from collections.abc import Iterator
from typing import TYPE_CHECKING, TextIO

from rich.console import Console, ConsoleDimensions
from rich.text import Text

from sritool.cli.printable import printable
from sritool.errors import SritoolError

if TYPE_CHECKING:
    from rich.progress import Progress as RichProgress


class _Stream(io.TextIOWrapper):
    """A text stream that discards everything after its first failure."""

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
        """Discard further output; otherwise the interpreter would hit the error again when it exits."""
        nowhere = os.open(os.devnull, os.O_WRONLY)
        os.dup2(nowhere, self.fileno())
        os.close(nowhere)
        super().flush()


class Stdout(_Stream):
    """stdout; an OSError becomes a SritoolError, or nothing if only the reader of a pipe has gone."""

    unread = False  # whether the reader has gone

    def fail(self, error: OSError) -> None:
        super().fail(error)
        self.unread = isinstance(error, BrokenPipeError)
        if not self.unread:
            reason = error.strerror or type(error).__name__
            raise SritoolError(f"cannot write the output: {reason}; send it where there is room") from error


class Stderr(_Stream):
    """stderr, which never fails."""


def write_bytes(content: bytes) -> None:
    """Write bytes to stdout, after the text that was written before."""
    sys.stdout.flush()
    try:
        sys.stdout.buffer.write(content)
    except OSError as error:
        if not isinstance(sys.stdout, Stdout):
            raise
        sys.stdout.fail(error)
    sys.stdout.flush()


@contextlib.contextmanager
def standard_streams() -> Iterator[None]:
    """Set up sys.stdin, stdout and stderr as this module describes, until the end of the program."""
    # In the order of their numbers, which newly opened files get. If the caller closed them, stdin reads as empty,
    # stdout fails when it is written to, because its file is open for reading only, and stderr discards.
    for name, mode, access in (
        ("stdin", "r", os.O_RDONLY),
        ("stdout", "w", os.O_RDONLY),
        ("stderr", "w", os.O_WRONLY),
    ):
        if getattr(sys, name) is None:
            setattr(sys, name, os.fdopen(os.open(os.devnull, access), mode, encoding="utf-8"))
    sys.stdout = Stdout(*_taken(sys.stdout))  # type: ignore[arg-type]
    sys.stderr = Stderr(*_taken(sys.stderr), line_buffering=True)  # type: ignore[arg-type]
    try:
        yield
    finally:
        with contextlib.suppress(SritoolError):  # already reported, or nothing left to report
            sys.stdout.flush()
        sys.stderr.flush()


def _taken(stream: TextIO) -> tuple[object, str, str]:
    """Buffer, encoding and error handling for a new stream in place of this one.

    Text is UTF-8 whatever the locale says; a character that a terminal lacks is shown as its number.
    """
    encoding = stream.encoding if stream.isatty() else "utf-8"
    return stream.detach(), encoding, "backslashreplace"  # type: ignore[attr-defined]


STYLES = {"error": "bold red", "warning": "yellow"}

_stderr_console: Console | None = None


def stderr_console() -> Console:
    """Return the console of stderr that messages and progress share, so that messages go above a running bar."""
    global _stderr_console
    stream = getattr(sys.stderr, "rich_proxied_file", sys.stderr)  # Rich wraps it while a bar runs
    if _stderr_console is None or _stderr_console.file is not stream:
        _stderr_console = console_of(stream)
    return _stderr_console


def console_of(stream: TextIO) -> Console:
    """Return Rich's console of a stream, with the true width of a dumb terminal, where Rich assumes 80."""
    console = Console(file=stream)
    if console.is_dumb_terminal:
        with contextlib.suppress(OSError, ValueError):  # no number, no descriptor, or not a terminal
            columns = int(os.environ.get("COLUMNS") or os.get_terminal_size(stream.fileno()).columns)
            if columns > 0:
                console.size = ConsoleDimensions(columns, console.height)
    return console


running_bars: list[RichProgress] = []
"""The live displays now on stderr; hidden while a table is printed."""


@contextlib.contextmanager
def bars_hidden() -> Iterator[None]:
    """Hide running progress bars while entered."""
    for bar in running_bars:
        bar.stop()
    try:
        yield
    finally:
        for bar in running_bars:
            bar.start()


def say(message: str, label: str = "") -> None:
    """Print a message on stderr, as `label: message`; only a terminal wraps it."""
    console = stderr_console()
    text = Text(f"{label}: ", style=STYLES.get(label, "")) if label else Text()
    # The message may quote a user's text.
    console.print(text + Text(printable(message)), soft_wrap=not console.file.isatty(), highlight=False)


@contextlib.contextmanager
def silent() -> Iterator[None]:
    """While entered, nothing reaches stdout and stderr."""
    with (
        open(os.devnull, "w", encoding="utf-8") as nowhere,  # noqa: PTH123 - no path of the user's
        contextlib.redirect_stdout(nowhere),
        contextlib.redirect_stderr(nowhere),
    ):
        yield


def announce_stdin(source: object, what: str = "sentences") -> None:
    """Say on stderr that input is expected, if `source` is "-" and stdin a terminal."""
    if str(source) == "-" and sys.stdin.isatty():
        say(f"type {what}, one per line; end with Ctrl-D")
