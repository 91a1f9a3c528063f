"""A folder that appears whole or not at all.

``staged`` hands out an empty sibling of the target and swaps it in at the end. A run that is killed leaves
the old folder or the new one; what it had begun is cleared away by the next run.
"""

from __future__ import annotations

import contextlib
import ctypes
import errno
import os
import shutil
import socket
import sys
import time
from collections.abc import Iterator
from pathlib import Path

from sritool.errors import SritoolError

_ABANDONED_AFTER = 86_400  # seconds; for the leavings of another machine, whose processes cannot be asked


@contextlib.contextmanager
def staged(target: Path) -> Iterator[Path]:
    """An empty folder beside ``target`` that takes its place when the block ends without an exception.

    Raises: SritoolError if the parent folder cannot be written to, before the block is entered.
    """
    parent = target.parent
    new_parent = not parent.exists()
    temporary = parent / f".{target.name}.new-{socket.gethostname()}-{os.getpid()}"
    try:
        parent.mkdir(parents=True, exist_ok=True)
        recover(target)
        _clear_leavings(target)
        temporary.mkdir()
    except OSError as error:
        raise _cannot_write(parent, error) from error
    try:
        yield temporary
        if temporary.exists():
            _sync_tree(temporary)
            _swap(temporary, target)
            _sync(parent)
    except OSError as error:
        raise _cannot_write(parent, error) from error
    finally:
        shutil.rmtree(temporary, ignore_errors=True)
        if new_parent:
            with contextlib.suppress(OSError):
                parent.rmdir()  # only where it is still empty


def recover(target: Path) -> None:
    """Put back the old folder that a killed run had moved aside, where no new one took its place."""
    if target.exists() or not target.parent.is_dir():
        return
    aside = sorted(target.parent.glob(f".{target.name}.old-*"))
    if aside:
        with contextlib.suppress(OSError):
            aside[0].rename(target)


def _swap(new: Path, target: Path) -> None:
    if not target.exists():
        new.rename(target)
        return
    if _exchange(new, target):
        shutil.rmtree(new, ignore_errors=True)
        return
    # No atomic exchange on this system: between the two renames only ``recover`` finds the old folder.
    aside = target.parent / new.name.replace(f".{target.name}.new-", f".{target.name}.old-")
    target.rename(aside)
    try:
        new.rename(target)
    except OSError:
        aside.rename(target)
        raise
    shutil.rmtree(aside, ignore_errors=True)


def _exchange(one: Path, other: Path) -> bool:
    """Exchange two folders in one step (Linux ``renameat2``); False where that is not to be had."""
    if not sys.platform.startswith("linux"):
        return False
    try:
        renameat2 = ctypes.CDLL(None, use_errno=True).renameat2
    except (OSError, AttributeError):
        return False
    here, exchange = -100, 2  # AT_FDCWD, RENAME_EXCHANGE
    if renameat2(here, os.fsencode(one), here, os.fsencode(other), exchange) == 0:
        return True
    code = ctypes.get_errno()
    if code in (errno.EINVAL, errno.ENOSYS, errno.ENOTSUP, errno.EPERM):
        return False
    raise OSError(code, os.strerror(code), str(other))


def _clear_leavings(target: Path) -> None:
    """Remove what dead runs left: unfinished folders, and old ones that a new one has replaced."""
    for kind in ("new", "old"):
        for folder in target.parent.glob(f".{target.name}.{kind}-*"):
            host, _, process = folder.name.rpartition(f".{kind}-")[2].rpartition("-")
            if host == socket.gethostname():
                if process.isdigit() and _alive(int(process)) and int(process) != os.getpid():
                    continue
            elif time.time() - folder.stat().st_mtime < _ABANDONED_AFTER:
                continue
            shutil.rmtree(folder, ignore_errors=True)


def _alive(process: int) -> bool:
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True


def _sync_tree(folder: Path) -> None:
    for path in [*folder.rglob("*"), folder]:
        _sync(path)


def _sync(path: Path) -> None:
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def _cannot_write(folder: Path, error: OSError) -> SritoolError:
    reason = error.strerror or type(error).__name__
    return SritoolError(f"cannot write in {folder} ({reason}); choose another folder with --data-dir")
