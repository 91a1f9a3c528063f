"""Signals, which end the program at once but cleanly, or ask it to stop at the next good moment.

A signal that the caller set to be ignored, as `nohup` does with SIGHUP, stays ignored.
"""

from __future__ import annotations

import contextlib
import signal
from collections.abc import Iterator
from types import FrameType
from typing import Any, Self

from sritool.errors import Interrupted

_NAMES = ("SIGINT", "SIGTERM", "SIGHUP", "SIGUSR1")  # SIGUSR1: for a SLURM job whose time is nearly over
SIGNALS = tuple(getattr(signal, name) for name in _NAMES if hasattr(signal, name))


class Stopped(KeyboardInterrupt):
    """A signal other than Ctrl-C that ended the program; like Ctrl-C, it is not caught by `except Exception`."""

    def __init__(self, number: int) -> None:
        super().__init__()
        self.number = number


@contextlib.contextmanager
def ending_on_signals() -> Iterator[None]:
    """While entered, every signal of SIGNALS ends the program as Ctrl-C does, after temporary files are removed."""

    def end(number: int, frame: FrameType | None) -> None:
        raise KeyboardInterrupt if number == signal.SIGINT else Stopped(number)

    before = _set(end)
    try:
        yield
    finally:
        for number, handler in before.items():
            if signal.getsignal(number) is end:
                signal.signal(number, handler)


def ignoring_signals() -> None:
    """Ignore all signals from here on: the rest takes no time."""
    _set(signal.SIG_IGN)


class StopRequest:
    """While entered, the first signal is noted and a second one ends the program at once.

    Calling it returns the number of the signal received, or None.
    """

    def __init__(self) -> None:
        self.received: int | None = None
        self._before: dict[int, Any] = {}

    def __call__(self) -> int | None:
        return self.received

    def __enter__(self) -> Self:
        self._before = _set(self._note)
        return self

    def __exit__(self, *error: object) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler)

    def _note(self, number: int, frame: FrameType | None) -> None:
        if self.received is not None:
            raise Interrupted(number)
        self.received = number


def _set(handler: Any) -> dict[int, Any]:
    """Set the handler of every signal that is not ignored, and return the previous ones."""
    heard = [number for number in SIGNALS if signal.getsignal(number) is not signal.SIG_IGN]
    return {number: signal.signal(number, handler) for number in heard}
