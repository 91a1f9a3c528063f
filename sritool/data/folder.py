"""A folder that appears whole or not at all.

``staged`` hands out an empty sibling of the target and swaps it in at the end. A run that is killed leaves
the old folder or the new one; what it had begun is cleared away by the next run, which tells it from what another
process is writing by a lock. Where two write the same folder they take turns at the end: one whole folder is left.
"""

from __future__ import annotations

import contextlib
import ctypes
import errno
import os
import secrets
import shutil
import socket
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

from sritool.errors import SritoolError
from sritool.files import ABANDONED_AFTER, sync_folder
from sritool.locks import Lock, is_named, take


@contextlib.contextmanager
def staged(target: Path, settle: Callable[[Path], bool] = Path.is_dir) -> Iterator[Path]:
    """An empty folder beside ``target`` that takes its place when the block ends without an exception.

    Args:   settle: asked at the end with the new folder, while no other process can replace ``target``; the writing
            is called off where it says no, or raises.
    Raises: SritoolError if the parent folder cannot be written to, before the block is entered.
    """
    target = target.resolve() if target.is_symlink() else target
    parent = target.parent
    new_parent = not parent.exists()
    try:
        parent.mkdir(parents=True, exist_ok=True)
        with _turn(target):
            _put_back(target)
            _clear_leavings(target, "old")
        _clear_leavings(target, "new")
        temporary, descriptor = _begin(target)
    except OSError as error:
        raise _cannot_write(parent, error) from error
    try:
        yield temporary
        if temporary.exists():
            _sync_tree(temporary)
            with _turn(target):
                if settle(temporary):
                    _swap(temporary, target)
                    sync_folder(parent)
    except OSError as error:
        raise _cannot_write(parent, error) from error
    finally:
        shutil.rmtree(temporary, ignore_errors=True)
        os.close(descriptor)
        if new_parent:
            with contextlib.suppress(OSError):
                parent.rmdir()  # only where it is still empty


def recover(target: Path) -> None:
    """Put back the old folder that a killed run had moved aside, where no new one took its place."""
    if target.exists() or not _leavings(target, "old"):
        return
    with contextlib.suppress(OSError), _turn(target):
        _put_back(target)


def _turn(target: Path) -> contextlib.AbstractContextManager[object]:
    """While entered, no other process replaces the folder."""
    lock = Lock(target.with_name(f".{target.name}.lock"))
    lock.acquire(wait=True)
    return lock


def _put_back(target: Path) -> None:
    aside = _leavings(target, "old")
    if aside and not target.exists():
        aside[0].rename(target)


def _begin(target: Path) -> tuple[Path, int]:
    """A new folder, and a descriptor of it with a lock on it, by which others tell that it is in use."""
    while True:
        name = f".{target.name}.new-{socket.gethostname()}-{os.getpid()}-{secrets.token_hex(4)}"
        temporary = target.with_name(name)
        temporary.mkdir()
        with contextlib.suppress(FileNotFoundError):
            descriptor = os.open(temporary, os.O_RDONLY | os.O_DIRECTORY)
            take(descriptor, wait=True)
            if is_named(descriptor, temporary):
                return temporary, descriptor
            os.close(descriptor)  # between the lines somebody took it for a leftover


def _swap(new: Path, target: Path) -> None:
    if not target.exists():
        new.rename(target)
        return
    if _exchange(new, target):
        shutil.rmtree(new, ignore_errors=True)
        return
    # No atomic exchange on this system: between the two renames only ``recover`` finds the old folder.
    aside = target.with_name(new.name.replace(f".{target.name}.new-", f".{target.name}.old-"))
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


def _leavings(target: Path, kind: str) -> list[Path]:
    """What is called so: an unfinished folder ("new"), or one that was moved aside ("old")."""
    prefix = f".{target.name}.{kind}-"
    try:
        return sorted(path for path in target.parent.iterdir() if path.name.startswith(prefix))
    except OSError:
        return []


def _clear_leavings(target: Path, kind: str) -> None:
    """Remove what dead runs left: unfinished folders, and old ones that a new one has replaced."""
    for folder in _leavings(target, kind):
        with contextlib.suppress(OSError):
            descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW)
            try:
                free = take(descriptor)
                if free is not False and _is_abandoned(folder, kind, free is None):
                    shutil.rmtree(folder, ignore_errors=True)
            finally:
                os.close(descriptor)


def _is_abandoned(folder: Path, kind: str, no_locks: bool) -> bool:
    """Whether a folder that nobody here has a lock on is of a dead process; if of another machine's, by its age.

    Not every file system shows a lock to other machines.
    """
    host, process, *_ = [*folder.name.rpartition(f".{kind}-")[2].rsplit("-", 2), ""]
    if host == socket.gethostname():
        return not (no_locks and process.isdigit() and _alive(int(process)))
    return time.time() - folder.stat().st_mtime >= ABANDONED_AFTER


def _alive(process: int) -> bool:
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True


def _sync_tree(folder: Path) -> None:
    """Have all of a folder on the disk: files, and the names in each folder."""
    for path in folder.rglob("*"):
        if path.is_dir():
            sync_folder(path)
        else:
            with path.open("rb") as file:
                os.fsync(file.fileno())
    sync_folder(folder)


def _cannot_write(folder: Path, error: OSError) -> SritoolError:
    reason = error.strerror or type(error).__name__
    return SritoolError(f"cannot write in {folder} ({reason}); choose another folder with --data-dir")
