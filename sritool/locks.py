"""File locks between processes: those of the operating system, through `filelock`.

The system releases them when the process ends, however it ends. Where the file system or Python does not support
locks, processes run without them.
"""

from __future__ import annotations

import contextlib
import datetime
import os
import re
import socket
import time
import warnings
from pathlib import Path
from typing import BinaryIO, Self

with warnings.catch_warnings():
    warnings.simplefilter("ignore")  # about a Python without locks, which `Lock.unsupported` reports
    from filelock import lock_descriptor

WINDOWS = os.name == "nt"  # an open file can be neither renamed nor removed there
# Links are not followed: one in a folder from elsewhere could make us write anywhere. Not every system has all flags.
NO_LINK = sum(getattr(os, name, 0) for name in ("O_NOFOLLOW", "O_NONBLOCK", "O_BINARY"))
_TRIES, _PAUSE = 5, 0.02  # another process may hold a lock for a moment only, to see whether it is free
_HOLDER = re.compile(r"(\S+) (\d+) ([-+:\d ]+)")


def open_locked(path: Path, wait: bool = False) -> tuple[BinaryIO, bool | None]:
    """Open a file, created if missing, and lock it until it is closed; a link is not followed.

    Returns:
        The open file, and whether the lock is ours: False if another process holds it and `wait` is not set, None if
        locks are not supported.

    Raises:
        OSError: The file can be neither opened nor created.
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
        file.close()  # its last holder removed or renamed it between opening and locking


def holder_of(path: Path) -> str:
    """Return which process holds the lock of a file, read from the file, and what to do about it."""
    with contextlib.suppress(OSError), os.fdopen(os.open(path, os.O_RDONLY | NO_LINK), "rb") as file:
        found = _HOLDER.fullmatch(file.read(300).decode("ascii", "replace"))
        if found and found[1].isprintable():
            host, process, since = found.groups()
            here = host == socket.gethostname()
            where, stop = ("", f"with: kill {process}") if here else (f" on {host}", "there")
            return f"process {process}{where}, since {since}; wait until it has ended, or stop it {stop}"
    return "another process; wait until it has ended, or stop it"


class Lock:
    """A lock on a file created for it; as a context manager it releases the lock on exit.

    The file names the process that holds the lock, and is removed just before the release. `unsupported` becomes
    True when the lock is acquired where locks are not supported.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.unsupported = False
        self._file: BinaryIO | None = None

    def acquire(self, wait: bool = False) -> bool:
        """Take the lock, or `wait` until it is free; return False if another process holds it.

        Raises:
            OSError: The file cannot be created.
        """
        file, ours = open_locked(self.path, wait)
        for _ in range(_TRIES - 1):
            if ours is not False:
                break
            file.close()
            time.sleep(_PAUSE)
            file, ours = open_locked(self.path)
        if ours:
            self._file = file  # before anything else, so that it can be released after an interrupt
            since = datetime.datetime.now().astimezone()
            holder = f"{socket.gethostname()} {os.getpid()} {since:%Y-%m-%d %H:%M:%S %z}".strip()
            with contextlib.suppress(OSError):  # on a full disk the lock still holds
                file.truncate(0)
                file.write(holder.encode())
                file.flush()
            return True
        file.close()
        self.unsupported = ours is None
        return self.unsupported

    def is_free(self) -> bool:
        """Return whether no other process holds the lock, whose file stays as it is.

        Raises:
            OSError: The file cannot be opened.
        """
        for _ in range(_TRIES):
            file, ours = open_locked(self.path)
            file.close()
            if ours is not False:
                return True
            time.sleep(_PAUSE)
        return False

    def release(self) -> None:
        """Release the lock and remove its file; may be called again after an interrupt."""
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
    """Whether the path still names this open file."""
    with contextlib.suppress(FileNotFoundError):
        return os.path.samestat(os.fstat(file.fileno()), path.lstat())
    return False


def remove_open(path: Path, file: BinaryIO) -> None:
    """Remove an open file while its lock is held; Windows requires closing it first."""
    if WINDOWS:
        file.close()
    path.unlink(missing_ok=True)
