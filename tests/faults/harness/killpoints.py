"""What a process of the `Zygote` is told by its environment: to kill itself at a chosen call, to count its steps.

FAULTS_KILL_AT=n: SIGKILL just before the n-th call that changes files or locks. A kill before one call is a kill
after the one before it, so that all n together are every moment at which the files can differ.
FAULTS_STEPS=FILE: after every step of training its number is put there, where a kill does not undo it.
FAULTS_NO_LOCKS=1: the file system has no locks.
FAULTS_NO_NETWORK=FILE: whoever asks for an address is refused, and written down there.
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
"""C functions that change what is on the disk, or what order it gets there in."""


def arm() -> None:
    """Do what the environment says, if anything."""
    if os.environ.get(NO_LOCKS):
        from sritool import locks

        locks.lock_descriptor = _no_locks
    if path := os.environ.get(STEPS):
        _count_steps(Path(path))
    if path := os.environ.get(NO_NETWORK):
        sys.addaudithook(partial(_refuse_addresses, Path(path)))
    if number := os.environ.get(KILL_AT):
        sys.setprofile(Killer(int(number)))


def _refuse_addresses(told: Path, event: str, arguments: tuple[Any, ...]) -> None:
    """An audit hook."""
    if not event.startswith("socket.") or event in ("socket.__new__", "socket.gethostname"):
        return
    if len(arguments) > 1 and isinstance(arguments[1], str | bytes):
        return  # a name in place of a pair: a socket of this machine's own files
    with told.open("a", encoding="utf-8") as file:
        file.write(f"{event} {arguments}\n")
    raise OSError(101, "Network is unreachable")


def _no_locks(descriptor: int, *, blocking: bool) -> bool:
    raise OSError(errno.ENOTSUP, os.strerror(errno.ENOTSUP))


class Killer:
    """Counts calls, as `sys.setprofile` tells of them."""

    def __init__(self, number: int) -> None:
        self.left = number
        self.written = ""  # the file that was written last: of writes in a row only the first counts

    def __call__(self, frame: FrameType, event: str, argument: Any) -> None:
        if event == "c_call" and (self._calls(argument) or self._writes(argument)):
            self.left -= 1
            if not self.left:
                os.kill(os.getpid(), signal.SIGKILL)

    def _calls(self, function: Any) -> bool:
        module = getattr(function, "__module__", None)  # a string has a `replace` too
        if function.__name__ not in CALLS or module not in ("posix", "fcntl"):
            return False
        self.written = ""
        return True

    def _writes(self, function: Any) -> bool:
        """Whether it writes into a file that has a name, and is no standard stream."""
        if function.__name__ not in ("write", "writelines", "flush", "close"):
            return False
        file = getattr(function, "__self__", None)
        try:
            name = str(getattr(file, "name", "<")) if file.writable() else "<"  # type: ignore[union-attr]
        except (ValueError, AttributeError):  # it is closed, or no file
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
    """The number of the last step that was counted."""
    return int.from_bytes(path.read_bytes(), "little") if path.is_file() else 0
