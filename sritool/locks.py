"""Locks that one process at a time holds, and that end with it, however it ends.

A lock is `flock` on a file that says who holds it. The kernel lets it go when the process dies, so that a file left
by a kill locks nothing. It is removed at the end, while it is still held. Whoever opened it just before then locks
a file that has no name any more: after taking a lock one looks whether the name still means the same file, and
begins again if not. Where the file system has no locks everybody goes on without.
"""

from __future__ import annotations

import contextlib
import datetime
import fcntl
import os
import socket
from pathlib import Path
from types import TracebackType
from typing import NamedTuple, Self

_LONGEST = 300  # bytes of a lock file that are read: nobody needs more to say who he is


def take(descriptor: int, wait: bool = False) -> bool | None:
    """Lock an open file: True if it is ours now, False if somebody else's, None where there are no locks."""
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | (0 if wait else fcntl.LOCK_NB))
    except (BlockingIOError, PermissionError):  # NFS answers with either
        return False
    except OSError:
        return None
    return True


def is_named(descriptor: int, path: Path) -> bool:
    """Whether the open file is still the one of this name."""
    with contextlib.suppress(FileNotFoundError):
        return os.path.samestat(os.fstat(descriptor), path.lstat())
    return False


class Holder(NamedTuple):
    """Who holds a lock; empty where that cannot be read."""

    host: str = ""
    process: str = ""
    since: str = ""

    def is_here(self) -> bool:
        """Whether it is a process of this machine."""
        return self.host == socket.gethostname()

    def __str__(self) -> str:
        if not self.host:
            return "another process"
        where = "" if self.is_here() else f" on {self.host}"
        return f"process {self.process}{where}, since {self.since}"


def holder_of(path: Path) -> Holder:
    """What the holder of a lock wrote into its file."""
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK)
        try:
            line = os.read(descriptor, _LONGEST).decode("utf-8", "replace")
        finally:
            os.close(descriptor)
    except OSError:
        return Holder()
    words = line.split()
    if len(words) < 3 or not words[1].isdigit() or not (line.isascii() and line.isprintable()):
        return Holder()
    return Holder(words[0], words[1], " ".join(words[2:]))


class Lock:
    """The lock of a file, made for the purpose; a context manager that lets it go.

    Attributes: without, True once it was to be taken and the file system has no locks.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.without = False
        self._descriptor: int | None = None

    def acquire(self, wait: bool = False) -> bool:
        """Take it; False if another process has it. Raises: OSError if its file cannot be made."""
        while True:
            # A link is not followed: whoever packed the folder could make us write anywhere.
            flags = os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC | os.O_NONBLOCK
            descriptor = os.open(self.path, flags, 0o666)
            kept = False
            try:
                taken = take(descriptor, wait)
                if taken is False:
                    return False
                if taken is None:
                    self.without = True
                    if not os.fstat(descriptor).st_size:
                        self.path.unlink(missing_ok=True)
                    return True
                if is_named(descriptor, self.path):
                    _write_holder(descriptor)
                    self._descriptor, kept = descriptor, True
                    return True
            finally:
                if not kept:
                    os.close(descriptor)

    def release(self) -> None:
        """Let it go, and remove its file."""
        if self._descriptor is None:
            return
        with contextlib.suppress(OSError):
            if is_named(self._descriptor, self.path):
                self.path.unlink(missing_ok=True)
        os.close(self._descriptor)
        self._descriptor = None

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, where: TracebackType | None
    ) -> None:
        self.release()


def _write_holder(descriptor: int) -> None:
    now = datetime.datetime.now().astimezone()
    line = f"{socket.gethostname()} {os.getpid()} {now:%Y-%m-%d %H:%M:%S %z}".rstrip()
    with contextlib.suppress(OSError):  # a full disk: the lock holds all the same
        os.ftruncate(descriptor, 0)
        os.pwrite(descriptor, line.encode(), 0)
