"""Signals: they end the program at once with nothing half done, or ask it to stop at the next good moment.

A signal that the caller has told us to ignore, as `nohup` does with SIGHUP, stays ignored.
"""

from __future__ import annotations

import contextlib
import signal
from collections.abc import Iterator
from types import FrameType
from typing import Any, Self

from sritool.errors import Interrupted

_NAMES = ("SIGINT", "SIGTERM", "SIGHUP", "SIGUSR1")  # the last one: of a SLURM job whose time is nearly over
SIGNALS = tuple(getattr(signal, name) for name in _NAMES if hasattr(signal, name))


class Stopped(KeyboardInterrupt):
    """A signal other than Ctrl-C that ended the program; like Ctrl-C, no `except Exception` catches it."""

    def __init__(self, number: int) -> None:
        super().__init__()
        self.number = number


@contextlib.contextmanager
def ended_by_signals() -> Iterator[None]:
    """While entered, every signal of SIGNALS ends the program as Ctrl-C does: temporary files go first."""

    def end(number: int, frame: FrameType | None) -> None:
        raise KeyboardInterrupt if number == signal.SIGINT else Stopped(number)

    before = _set(end)
    try:
        yield
    finally:
        for number, handler in before.items():
            if signal.getsignal(number) is end:
                signal.signal(number, handler)


def deaf_to_signals() -> None:
    """Ignore all signals from here on: what is left to do takes no time."""
    _set(signal.SIG_IGN)


class StopRequest:
    """While entered, the first signal is noted and a second one ends the program at once.

    Called, it gives the number of the signal that came, or None.
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
    """Set a handler of every signal that is not ignored; what was there before."""
    heard = [number for number in SIGNALS if signal.getsignal(number) is not signal.SIG_IGN]
    return {number: signal.signal(number, handler) for number in heard}
