"""Draws a command's output on a terminal as an SVG picture.

    python docs/screenshot.py docs/pictures/compare.svg sritool compare runs/tiny-sri runs/tiny-lm

The command runs on a terminal of its own, so that its output has the colours and the width of one. Its messages on
stderr are left out.
"""

from __future__ import annotations

import argparse
import io
import os
import pty
import shlex
import subprocess
from pathlib import Path

from rich.console import Console
from rich.text import Text


def output_on_a_terminal(command: list[str], columns: int) -> str:
    """What the command writes to stdout where stdout is a terminal, escape sequences included."""
    ours, theirs = pty.openpty()
    environment = os.environ | {"COLUMNS": str(columns), "TERM": "xterm-256color", "COLORTERM": "truecolor"}
    with subprocess.Popen(command, stdout=theirs, stderr=subprocess.DEVNULL, env=environment) as process:
        os.close(theirs)
        written = bytearray()
        try:
            while part := os.read(ours, 1 << 16):
                written += part
        except OSError:  # Linux ends a terminal whose other side is closed with an error
            pass
    if process.returncode:
        raise SystemExit(f"{shlex.join(command)} ended with exit code {process.returncode}")
    return written.decode("utf-8").replace("\r\n", "\n")


def main() -> None:
    """Write the picture."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--columns", type=int, default=100, help="width of the terminal")
    parser.add_argument("picture", type=Path)
    parser.add_argument("command", nargs=argparse.REMAINDER)
    given = parser.parse_args()
    text = Text.from_ansi(output_on_a_terminal(given.command, given.columns))
    console = Console(record=True, width=given.columns, file=io.StringIO())
    console.print(Text(f"$ {shlex.join(given.command)}", style="bold"))
    console.print(text)
    given.picture.write_text(console.export_svg(title=""), encoding="utf-8")


if __name__ == "__main__":
    main()
