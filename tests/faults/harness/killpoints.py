"""Faults that the environment requests of a process of the `Zygote`.

FAULTS_KILL_AT=n: SIGKILL just before the n-th call that changes files or locks. A kill before one call is a kill
after the previous one, so all n together cover every moment at which the files can differ.
FAULTS_STEPS=FILE: after every training step its number is written to FILE, where a kill does not undo it.
FAULTS_NO_LOCKS=1: the file system has no locks.
FAULTS_NO_NETWORK=FILE: every request for an address is refused and recorded in FILE.
"""

from __future__ import annotations

import errno
import io
import os
import signal
import sys
from functools import partial
from pathlib import Path
from types import FrameType
from typing import Any

KILL_AT, STEPS = "FAULTS_KILL_AT", "FAULTS_STEPS"
NO_LOCKS, NO_NETWORK = "FAULTS_NO_LOCKS", "FAULTS_NO_NETWORK"

CALLS = {
    *("fsync", "rename", "replace", "unlink", "rmdir", "mkdir", "symlink", "flock", "ftruncate", "truncate"),
    *("open", "write", "pwrite", "chmod"),
}
"""C functions that change what is on the disk, or the order in which it gets there."""


def arm() -> None:
    """Set up the faults that the environment requests."""
    if os.environ.get(NO_LOCKS):
        from sritool import locks

        locks.lock_descriptor = _no_locks
    if path := os.environ.get(STEPS):
        _count_steps(Path(path))
    if path := os.environ.get(NO_NETWORK):
        sys.addaudithook(partial(_refuse_addresses, Path(path)))
    if number := os.environ.get(KILL_AT):
        sys.setprofile(Killer(int(number)))


def _refuse_addresses(report: Path, event: str, arguments: tuple[Any, ...]) -> None:
    """An audit hook that refuses the use of addresses."""
    if not event.startswith("socket.") or event in ("socket.__new__", "socket.gethostname"):
        return
    if len(arguments) > 1 and isinstance(arguments[1], str | bytes):
        return  # a path instead of a pair: a Unix socket
    with report.open("a", encoding="utf-8") as file:
        file.write(f"{event} {arguments}\n")
    raise OSError(101, "Network is unreachable")


def _no_locks(descriptor: int, *, blocking: bool) -> bool:
    raise OSError(errno.ENOTSUP, os.strerror(errno.ENOTSUP))


class Killer:
    """Counts calls, as a function for `sys.setprofile`, and kills the process."""

    def __init__(self, number: int) -> None:
        self.left = number
        self.written = ""  # the last file written: of successive writes only the first counts

    def __call__(self, frame: FrameType, event: str, argument: Any) -> None:
        if event == "c_call" and (self._calls(argument) or self._writes(argument)):
            self.left -= 1
            if not self.left:
                os.kill(os.getpid(), signal.SIGKILL)

    def _calls(self, function: Any) -> bool:
        module = getattr(function, "__module__", None)  # strings have a `replace` too
        if function.__name__ not in CALLS or module not in ("posix", "fcntl"):
            return False
        self.written = ""
        return True

    def _writes(self, function: Any) -> bool:
        """Whether the call writes to a named file other than a standard stream."""
        if function.__name__ not in ("write", "writelines", "flush", "close"):
            return False
        file = getattr(function, "__self__", None)
        try:
            name = str(getattr(file, "name", "<")) if file.writable() else "<"  # type: ignore[union-attr]
        except (ValueError, AttributeError):  # closed, or not a file
            return False
        again = function.__name__ == "write" and name == self.written and not isinstance(file, io.FileIO)
        if name.isdigit() or name.startswith("<") or again:
            return False
        self.written = name
        return True


def _count_steps(path: Path) -> None:
    from sritool.training.loop import Trainer

    original, descriptor = Trainer._step, os.open(path, os.O_WRONLY | os.O_CREAT)

    def counted(self: Trainer, batches: Any) -> bool:
        planned = original(self, batches)
        os.pwrite(descriptor, self.state.position.step.to_bytes(8, "little"), 0)
        return planned

    Trainer._step = counted  # type: ignore[method-assign]


def steps_in(path: Path) -> int:
    """The number of the last step counted."""
    return int.from_bytes(path.read_bytes(), "little") if path.is_file() else 0
