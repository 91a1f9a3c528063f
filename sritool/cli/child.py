"""Runs other commands of the program, each in its own process: captures its stdout and lets its stderr through.

A signal that arrives meanwhile is passed on to that process, once: the process has its own session, so that Ctrl-C on
a terminal does not reach it a second time. It saves and ends, and then this process ends too.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from types import FrameType
from typing import NamedTuple

from sritool.cli.error_messages import REASON
from sritool.cli.signals import StopRequest

_GRACE = 330.0  # seconds to save once its time is over, a little more than a job gives its own processes
_OURS, _PASSED_ON = (
    "SRITOOL_",
    ("SRITOOL_DEBUG", "SRITOOL_MEMORY", "SRITOOL_PROCESSES", "SRITOOL_PEER_TIMEOUT"),
)
"""Prefix of the program's own variables, and those that change no figure and so are passed on."""

_ROOT = Path(__file__).parents[2]
_PROGRAM = """\
import sys
root = sys.argv.pop(1)
if root not in sys.path:
    sys.path.insert(0, root)
from sritool.__main__ import main
main()
"""
"""Runs this same program, as the console script does, and imports nothing from the current folder."""


def command_of(words: Sequence[str]) -> list[str]:
    """Return the command line that runs `sritool WORDS` with this same program."""
    return [sys.executable, "-P", "-c", _PROGRAM, str(_ROOT), *words]


class Done(NamedTuple):
    """How a command ended."""

    code: int  # as in a shell: 128 plus the signal's number if one ended it
    output: str
    seconds: float
    in_time: bool  # False if it was asked to stop because its time was over

    @property
    def reason(self) -> str:
        """Why it failed: its last line without the advice, or else the exit code."""
        last = self.output.splitlines()[-1:]
        return last[0].partition("; ")[0] if last else f"exit code {self.code}"


class Children(StopRequest):
    """Runs commands one after another; while entered, signals are passed on to the running one."""

    def __init__(self) -> None:
        super().__init__()
        self._running: subprocess.Popen[str] | None = None

    def run(self, words: Sequence[str], seconds: float | None = None) -> Done:
        """Run `sritool WORDS` to its end; if `seconds` is given, ask it to stop after that time."""
        began, in_time = time.monotonic(), True
        # Variables like SRITOOL_EPOCHS would change what the command line says.
        passed_on = {
            name: os.environ[name] for name in os.environ if not name.startswith(_OURS) or name in _PASSED_ON
        }
        process = subprocess.Popen(
            command_of(words),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            text=True,
            encoding="utf-8",
            env={**passed_on, REASON: "1"},
            start_new_session=True,
        )
        self._running = process
        try:
            if self.received is not None:  # it came before the process started
                process.send_signal(self.received)
            try:
                output, _ = process.communicate(timeout=seconds)
            except subprocess.TimeoutExpired:
                in_time = False
                process.send_signal(signal.SIGTERM)
                output = self._last_words(process)
        finally:
            self._running = None
            if process.poll() is None:
                process.kill()
                process.wait()
        code = process.returncode if process.returncode >= 0 else 128 - process.returncode
        return Done(code, output, time.monotonic() - began, in_time)

    def _last_words(self, process: subprocess.Popen[str]) -> str:
        try:
            return process.communicate(timeout=_GRACE)[0]
        except subprocess.TimeoutExpired:
            process.kill()
            return process.communicate()[0]

    def _note(self, number: int, frame: FrameType | None) -> None:
        if self._running is None:
            super()._note(number, frame)
            return
        self.received = self.received or number
        self._running.send_signal(number)
