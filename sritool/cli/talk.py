"""Talk: lines on stderr, beside a running progress bar or without. What goes wrong there, `sritool.cli.streams` keeps
from ending the work."""

from __future__ import annotations

import contextlib
import os
import sys
from collections.abc import Iterator
from typing import TYPE_CHECKING, TextIO

from rich.console import Console, ConsoleDimensions
from rich.text import Text

from sritool.cli.printable import printable

if TYPE_CHECKING:
    from rich.progress import Progress as RichProgress

STYLES = {"error": "bold red", "warning": "yellow"}


_stderr_console: Console | None = None


def stderr_console() -> Console:
    """The console of stderr, one for talk and progress, so that a line said goes above a running bar."""
    global _stderr_console
    stream = getattr(sys.stderr, "rich_proxied_file", sys.stderr)  # Rich stands before it while a bar runs
    if _stderr_console is None or _stderr_console.file is not stream:
        _stderr_console = console_of(stream)
    return _stderr_console


def console_of(stream: TextIO) -> Console:
    """Rich's console of a stream; with the width of a dumb terminal too, which Rich takes to be 80."""
    console = Console(file=stream)
    if console.is_dumb_terminal and "COLUMNS" not in os.environ:
        with contextlib.suppress(OSError, ValueError):  # no descriptor, or one of no terminal
            columns, lines = os.get_terminal_size(stream.fileno())
            if columns:
                console.size = ConsoleDimensions(columns, lines)
    return console


running_bars: list[RichProgress] = []
"""Live displays on stderr at the moment; hidden while a table is printed."""


@contextlib.contextmanager
def bars_hidden() -> Iterator[None]:
    for bar in running_bars:
        bar.stop()
    try:
        yield
    finally:
        for bar in running_bars:
            bar.start()


def say(message: str, label: str = "") -> None:
    """Print talk on stderr: `label: message`, with the words wrapped on a terminal only."""
    console = stderr_console()
    text = Text(f"{label}: ", style=STYLES.get(label, "")) if label else Text()
    # Words may come from anybody's text.
    console.print(text + Text(printable(message)), soft_wrap=not console.is_terminal, highlight=False)
