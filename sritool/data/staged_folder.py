"""Atomic replacement of a folder.

`staged` provides an empty folder beside the target and finally replaces the target by two renames: the old folder
moves aside, the new one moves in. A killed run leaves either the old folder or the new one. If it was killed between
the two renames, the old folder is still aside; `recover`, which every reader and writer calls first, moves it back.
"""

from __future__ import annotations

import contextlib
import os
import secrets
import shutil
import time
from collections.abc import Callable, Iterator
from pathlib import Path

from sritool.errors import SritoolError
from sritool.files import cannot_write, sync_folder
from sritool.locks import Lock

_ABANDONED_AFTER = 86_400.0  # seconds
_LOCK = ".lock"  # in a folder being written; held by its writer


@contextlib.contextmanager
def staged(target: Path, settle: Callable[[Path], bool] = lambda _: True) -> Iterator[Path]:
    """Yield an empty folder that replaces `target` when the block ends without an exception.

    Args:
        target: The folder to write. If it is a link, the folder that it points to is replaced.
        settle: Called at the end with the new folder, while no other process can replace `target`. If it returns
            False or raises, the old folder stays.

    Raises:
        SritoolError: The parent folder cannot be written to; raised before the block is entered if possible.
    """
    target = target.resolve() if target.is_symlink() else target
    parent = target.parent
    parent_is_new = not parent.exists()
    new = target.with_name(f".{target.name}.new-{secrets.token_hex(4)}")
    replacing, writing = _lock_of(target), Lock(new / _LOCK)
    try:
        parent.mkdir(parents=True, exist_ok=True)
        replacing.acquire(wait=True)
        _put_back(target)
        _clear_leftovers(target)
        new.mkdir()
        writing.acquire(wait=True)
        replacing.release()
        yield new
        replacing.acquire(wait=True)
        if settle(new):
            _sync_tree(new)
            writing.release()
            _swap(new, target)
            sync_folder(parent)
    except OSError as error:
        raise SritoolError(cannot_write(parent, error, "another folder with --data-dir")) from error
    finally:  # also completes what a Ctrl-C interrupted
        writing.release()
        replacing.release()
        shutil.rmtree(new, ignore_errors=True)
        if parent_is_new:
            with contextlib.suppress(OSError):
                parent.rmdir()  # only succeeds if still empty


def recover(target: Path) -> None:
    """Move the old folder back if a killed run moved it aside without replacing it."""
    if target.exists() or not _beside(target, "old"):
        return
    with contextlib.suppress(OSError), _lock_of(target) as replacing:
        replacing.acquire(wait=True)
        _put_back(target)


def _lock_of(target: Path) -> Lock:
    """Return a lock, not yet acquired; while it is held, no other process replaces the folder."""
    return Lock(target.with_name(f".{target.name}.lock"))


def _put_back(target: Path) -> None:
    aside = _beside(target, "old")
    if aside and not target.exists():
        aside[0].rename(target)


def _swap(new: Path, target: Path) -> None:
    if not target.exists():
        new.rename(target)
        return
    aside = target.with_name(f".{target.name}.old-{secrets.token_hex(4)}")
    target.rename(aside)
    try:
        new.rename(target)
    except OSError:
        aside.rename(target)
        raise
    shutil.rmtree(aside, ignore_errors=True)


def _beside(target: Path, kind: str) -> list[Path]:
    """List the unfinished folders (kind "new") or those moved aside ("old")."""
    prefix = f".{target.name}.{kind}-"
    with contextlib.suppress(OSError):
        return sorted(path for path in target.parent.iterdir() if path.name.startswith(prefix))
    return []


def _clear_leftovers(target: Path) -> None:
    """Remove leftovers of killed runs. The target must be locked, so that no process uses the "old" folders."""
    for folder in _beside(target, "old"):
        shutil.rmtree(folder, ignore_errors=True)
    for folder in _beside(target, "new"):
        with contextlib.suppress(OSError):
            lock = Lock(folder / _LOCK)
            if lock.acquire():
                old = time.time() - folder.stat().st_mtime >= _ABANDONED_AFTER
                lock.release()
                if old or not lock.unsupported:  # without locks, only its age shows that it is abandoned
                    shutil.rmtree(folder, ignore_errors=True)


def _sync_tree(folder: Path) -> None:
    """Flush a folder to disk: its files, and the entries of each subfolder."""
    for path in folder.rglob("*"):
        if path.is_dir():
            sync_folder(path)
        else:
            with path.open("rb") as file:
                os.fsync(file.fileno())
    sync_folder(folder)
