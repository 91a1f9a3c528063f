"""Talk: lines on stderr, beside a running progress bar or without. It never fails and never ends the work."""

from __future__ import annotations

import contextlib
import sys
from collections.abc import Iterator
from typing import TYPE_CHECKING

from rich.console import Console
from rich.text import Text

if TYPE_CHECKING:
    from rich.progress import Progress as RichProgress

# Words may come from anybody's text: their control characters are shown, never sent to the terminal.
VISIBLE_CONTROLS = {code: chr(0x2400 + code) for code in range(32)} | {0x7F: "␡", 0x09: " ", 0x0A: "\n"}
VISIBLE_CONTROLS |= dict.fromkeys(range(0x80, 0xA0), "\N{REPLACEMENT CHARACTER}")

STYLES = {"error": "bold red", "warning": "yellow"}


class TalkConsole(Console):
    """A console of stderr that falls silent when its reader goes."""

    def on_broken_pipe(self) -> None:
        self.quiet = True


_stderr_console: TalkConsole | None = None


def stderr_console() -> Console:
    """The console of stderr, one for talk and progress, so that a line said goes above a running bar."""
    global _stderr_console
    stream = getattr(sys.stderr, "rich_proxied_file", sys.stderr)  # Rich stands before it while a bar runs
    if _stderr_console is None or _stderr_console.file is not stream:
        _stderr_console = TalkConsole(file=stream)
    return _stderr_console


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
    with contextlib.suppress(OSError, ValueError):
        console = stderr_console()
        text = Text(f"{label}: ", style=STYLES.get(label, "")) if label else Text()
        console.print(
            text + Text(message.translate(VISIBLE_CONTROLS)),
            soft_wrap=not console.is_terminal,
            highlight=False,
        )
