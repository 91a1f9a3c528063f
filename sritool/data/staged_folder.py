"""A folder that appears whole or not at all.

`staged` hands out an empty folder beside the target and puts it in the target's place at the end, by two renames: the
old folder moves aside, the new one moves in. A run that is killed leaves the old folder or the new one. Where it was
killed between the two renames the old folder lies aside; `recover`, which every reader and every writer calls first,
moves it back.
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
_LOCK = ".lock"  # in a folder that is being written: held by its writer


@contextlib.contextmanager
def staged(target: Path, settle: Callable[[Path], bool] = lambda _: True) -> Iterator[Path]:
    """Yield an empty folder that takes the place of `target` when the block ends without an exception.

    Args:
        target: The folder to write. Behind a link, what the link points to is replaced.
        settle: Asked at the end with the new folder, while no other process can replace `target`. Where it answers
            no, or raises, the old folder stays.

    Raises:
        SritoolError: The parent folder cannot be written to; raised before the block is entered where possible.
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
    finally:  # whatever a Ctrl-C cut short is done here
        writing.release()
        replacing.release()
        shutil.rmtree(new, ignore_errors=True)
        if parent_is_new:
            with contextlib.suppress(OSError):
                parent.rmdir()  # only where it is still empty


def recover(target: Path) -> None:
    """Move the old folder back if a killed run had moved it aside and no new one took its place."""
    if target.exists() or not _beside(target, "old"):
        return
    with contextlib.suppress(OSError), _lock_of(target) as replacing:
        replacing.acquire(wait=True)
        _put_back(target)


def _lock_of(target: Path) -> Lock:
    """Return a lock, still to be taken; while it is held, no other process replaces the folder."""
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
    """List unfinished folders (kind "new") or those that were moved aside ("old")."""
    prefix = f".{target.name}.{kind}-"
    with contextlib.suppress(OSError):
        return sorted(path for path in target.parent.iterdir() if path.name.startswith(prefix))
    return []


def _clear_leftovers(target: Path) -> None:
    """Remove what killed runs left. Called while the target is locked, so that "old" folders are nobody's."""
    for folder in _beside(target, "old"):
        shutil.rmtree(folder, ignore_errors=True)
    for folder in _beside(target, "new"):
        with contextlib.suppress(OSError):
            lock = Lock(folder / _LOCK)
            if lock.acquire():
                old = time.time() - folder.stat().st_mtime >= _ABANDONED_AFTER
                lock.release()
                if old or not lock.unsupported:  # without locks only its age tells that nobody writes it
                    shutil.rmtree(folder, ignore_errors=True)


def _sync_tree(folder: Path) -> None:
    """Flush a folder to the disk: its files, and the names in each folder of it."""
    for path in folder.rglob("*"):
        if path.is_dir():
            sync_folder(path)
        else:
            with path.open("rb") as file:
                os.fsync(file.fileno())
    sync_folder(folder)
