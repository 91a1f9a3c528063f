"""Locks on files, between processes: the operating system's, by `filelock`.

They end with the process, however it ends. Where the file system or Python has no locks, everybody goes on without.
"""

from __future__ import annotations

import contextlib
import datetime
import os
import re
import socket
import warnings
from pathlib import Path
from typing import BinaryIO, Self

with warnings.catch_warnings():
    warnings.simplefilter("ignore")  # a Python without locks, of which `Lock.unsupported` tells
    from filelock import lock_descriptor

WINDOWS = os.name == "nt"  # where a file that is open can be neither renamed nor removed
# A link is not followed: whoever packed a folder could make us write anywhere. Not every system has these flags.
NO_LINK = sum(getattr(os, name, 0) for name in ("O_NOFOLLOW", "O_NONBLOCK", "O_BINARY"))
_HOLDER = re.compile(r"(\S+) (\d+) ([-+:\d ]+)")


def open_locked(path: Path, wait: bool = False) -> tuple[BinaryIO, bool | None]:
    """Open a file, which is made if need be, and lock it until it is closed; a link is not followed.

    Returns:
        The open file, and whether the lock is ours: False if another process has it and one is not to `wait`, None if
        there are no locks.

    Raises:
        OSError: The file can be neither opened nor made.
    """
    while True:
        file = open(path, "r+b", opener=_create)  # noqa: SIM115 - Path.open takes no opener; returned open
        try:
            ours = lock_descriptor(file.fileno(), blocking=wait)
        except OSError:
            if not os.fstat(file.fileno()).st_size:
                remove_open(path, file)
            return file, None
        if not ours or _is_named(file, path):
            return file, ours
        file.close()  # its last holder removed or renamed it between the two lines


def holder_of(path: Path) -> str:
    """Return who holds the lock of a file, by what is in it, and how to get past it."""
    with contextlib.suppress(OSError), os.fdopen(os.open(path, os.O_RDONLY | NO_LINK), "rb") as file:
        found = _HOLDER.fullmatch(file.read(300).decode("ascii", "replace"))
        if found and found[1].isprintable():
            host, process, since = found.groups()
            here = host == socket.gethostname()
            where, stop = ("", f"with: kill {process}") if here else (f" on {host}", "there")
            return f"process {process}{where}, since {since}; wait until it has ended, or stop it {stop}"
    return "another process; wait until it has ended, or stop it"


class Lock:
    """The lock of a file that is made for the purpose; a context manager that lets it go.

    The file says who holds the lock, and is removed at the end, while the lock is still held. `unsupported` is
    True once the lock was to be taken and there are no locks here.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.unsupported = False
        self._file: BinaryIO | None = None

    def acquire(self, wait: bool = False) -> bool:
        """Take it, or `wait` until it is free; return False if another process has it.

        Raises:
            OSError: The file cannot be made.
        """
        file, ours = open_locked(self.path, wait)
        if ours:
            self._file = file  # at once: whoever is interrupted in what follows can still release it
            since = datetime.datetime.now().astimezone()
            holder = f"{socket.gethostname()} {os.getpid()} {since:%Y-%m-%d %H:%M:%S %z}".strip()
            with contextlib.suppress(OSError):  # a full disk: the lock holds all the same
                file.truncate(0)
                file.write(holder.encode())
                file.flush()
            return True
        file.close()
        self.unsupported = ours is None
        return self.unsupported

    def release(self) -> None:
        """Let it go, and remove its file; again, where an interrupt cut it short."""
        if self._file is not None and not self._file.closed:
            with contextlib.suppress(OSError):
                if _is_named(self._file, self.path):
                    remove_open(self.path, self._file)
            with contextlib.suppress(OSError):
                self._file.close()
        self._file = None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: object) -> None:
        self.release()


def _create(path: str, flags: int) -> int:
    return os.open(path, flags | os.O_CREAT | NO_LINK, 0o666)


def _is_named(file: BinaryIO, path: Path) -> bool:
    """Whether the open file is still the one of this name."""
    with contextlib.suppress(FileNotFoundError):
        return os.path.samestat(os.fstat(file.fileno()), path.lstat())
    return False


def remove_open(path: Path, file: BinaryIO) -> None:
    """Remove an open file, while its lock is held where the system allows that; on Windows it is closed first."""
    if WINDOWS:
        file.close()
    path.unlink(missing_ok=True)
