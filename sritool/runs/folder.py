"""Run folders: `runs/NAME-METHOD/` with best.pt, last.pt, config.toml and metrics.jsonl.

A run that begins as an autoencoder and continues from its best epoch stores that epoch in autoencoder.pt. If a run
out of time puts its last model into best.pt, best-epoch.pt keeps that of its best epoch until the run is resumed.
"""

from __future__ import annotations

import contextlib
import re
import shutil
from pathlib import Path

from sritool.errors import CheckpointError, SritoolError, UsageError
from sritool.files import sync_folder
from sritool.locks import Lock, holder_of
from sritool.runs.bundled import bundled_models, bundled_run
from sritool.runs.hub import fetch_checkpoint, hub_model
from sritool.runs.live_logs import CSV, EVENTS, WANDB

BEST, LAST, CONFIG, METRICS = "best.pt", "last.pt", "config.toml", "metrics.jsonl"
AUTOENCODER, BEST_EPOCH = "autoencoder.pt", "best-epoch.pt"
LOCK = ".lock"  # exists while a process works on the run; one left by a killed process locks nothing
_TRIES = 100
_LEFT = re.compile(
    r"\.((best(-epoch)?|last|autoencoder)\.pt|config\.toml|metrics\.(jsonl|csv))(\.[0-9a-f]{8})?\.tmp"
)


def new_run(folder: Path) -> tuple[Path, Lock]:
    """Create and lock a folder for a new run: `folder`, or folder-2, folder-3 … if it exists already.

    A folder left by a run that was killed before it saved anything is emptied and used again.

    Raises:
        UsageError: A file is in the way.
        SritoolError: The folder cannot be created.
    """
    candidate, number, vanished = folder, 1, 0
    try:
        while True:
            folder.parent.mkdir(parents=True, exist_ok=True)
            try:
                lock = _begin(candidate)
            except FileNotFoundError:  # its owner has just removed it
                vanished += 1
                if vanished == _TRIES:
                    raise
                continue
            if lock is not None:
                sync_folder(folder.parent)
                return candidate, lock
            number += 1
            candidate = folder.with_name(f"{folder.name}-{number}")
    except OSError as error:
        in_the_way = isinstance(error, NotADirectoryError | FileExistsError)
        raise (UsageError if in_the_way else SritoolError)(
            f"cannot make the run folder {candidate}: {error.strerror}; give another with --runs-dir"
        ) from error


def _begin(folder: Path) -> Lock | None:
    """Lock a folder that is new or abandoned; None if it belongs to another run."""
    new = True
    try:
        folder.mkdir()
    except FileExistsError:
        new = False
    lock = Lock(folder / LOCK)
    try:
        if not ((new or is_abandoned(folder)) and lock.acquire()):
            return None
    except OSError as error:
        if new:
            with contextlib.suppress(OSError):
                folder.rmdir()
        elif isinstance(error, PermissionError):  # another user's run, in a shared folder of runs
            return None
        raise
    if lock.unsupported:
        return lock if new else None
    if not is_abandoned(folder):  # another process took it, saved in it and ended in the meantime
        lock.release()
        return None
    _remove_own(folder)
    return lock


def is_abandoned(folder: Path) -> bool:
    """Return whether a run began here and saved no checkpoint: it has a lock and files of its start, or nothing."""
    if folder.is_symlink() or not folder.is_dir():
        return False
    names = {path.name for path in folder.iterdir()}
    ours = all(name in (LOCK, CONFIG, METRICS, CSV, EVENTS, WANDB) or _LEFT.fullmatch(name) for name in names)
    return not names or (LOCK in names and ours)


def _remove_own(folder: Path) -> None:
    for name in (CONFIG, METRICS, CSV):
        (folder / name).unlink(missing_ok=True)
    for name in (EVENTS, WANDB):
        shutil.rmtree(folder / name, ignore_errors=True)
    clear_leavings(folder)


def clear_leavings(folder: Path) -> None:
    """Remove temporary files left by killed processes from a run folder; the caller holds its lock."""
    for path in folder.iterdir():
        if _LEFT.fullmatch(path.name):
            with contextlib.suppress(OSError):
                path.unlink()


def hold(folder: Path) -> Lock:
    """Lock an existing run folder, so that only one process changes its checkpoints.

    Raises:
        UsageError: Another process holds the lock.
        SritoolError: The folder cannot be written to.
    """
    lock = Lock(folder / LOCK)
    try:
        taken = lock.acquire()
    except OSError as error:
        raise SritoolError(
            f"cannot write in {folder}: {error.strerror}; make the folder writable, or start a new run"
        ) from error
    if taken:
        return lock
    raise UsageError(f"{folder} is in use by {holder_of(lock.path)}")


def remove_unsaved(folder: Path, lock: Lock) -> bool:
    """Remove a run folder without a checkpoint, and release its lock, which the caller holds.

    Returns:
        False if there is a checkpoint; then nothing is removed and the lock stays held.
    """
    if (folder / BEST).is_file() or (folder / LAST).is_file():
        return False
    with contextlib.suppress(OSError):  # the folder is gone, or a file has taken its place
        _remove_own(folder)
    lock.release()
    with contextlib.suppress(OSError):  # files of other programs stay
        folder.rmdir()
    return True


def newest_run(runs_dir: Path, name: str = "") -> Path | None:
    """Return the first of `newest_runs`, or None."""
    return next(iter(newest_runs(runs_dir, name)), None)


def newest_runs(runs_dir: Path, name: str = "") -> list[Path]:
    """Return the run folders that have a checkpoint, the newest one first.

    With a name, only runs of that name count, with or without a number at its end. `runs_dir` need not exist.
    """
    found = [
        (saved, folder)
        for folder in (runs_dir.iterdir() if runs_dir.is_dir() else ())
        if (not name or re.fullmatch(rf"{re.escape(name)}(-\d+)?", folder.name))
        and (saved := _last_saved(folder)) is not None
    ]
    return [folder for _, folder in sorted(found, reverse=True)]


def _last_saved(folder: Path) -> float | None:
    """Return when a run was last saved; None if it has no checkpoint or its folder cannot be read."""
    with contextlib.suppress(PermissionError):
        times = [path.stat().st_mtime for path in (folder / BEST, folder / LAST) if path.is_file()]
        return max(times, default=None)
    return None


def find_checkpoint(given: Path | None, runs_dir: Path) -> Path:
    """Resolve what a user gave to a checkpoint file.

    Args:
        given: A file, a run folder (best.pt before last.pt), its name in `runs_dir`, the name of a model that comes
            with sritool, `hf://user/name` of one on the Hugging Face hub, or None for the newest run. The first of
            these that exists is used.
        runs_dir: The folder of runs.

    Raises:
        CheckpointError: There is no such checkpoint.
        SritoolError: The hub cannot be reached.
    """
    if given is None:
        folder = newest_run(runs_dir)
        if folder is None:
            raise CheckpointError(f"no run in {runs_dir}/; start one with: sritool train tiny")
        return find_checkpoint(folder, runs_dir)
    for path in (given, given / BEST, given / LAST):
        if path.is_file():
            return path
    if not given.exists():
        inside = runs_dir / given if (runs_dir / given).is_dir() else bundled_run(str(given))
        if inside is not None:
            return find_checkpoint(inside, runs_dir)
        on_hub = hub_model(given)
        if on_hub is not None:
            return fetch_checkpoint(on_hub)
    kind = f"no {BEST} or {LAST} in" if given.is_dir() else "no checkpoint"
    raise CheckpointError(
        f"{kind} {given}; give a .pt file or a run folder that `sritool train` wrote, or {bundled_models()[0]}, "
        "which comes with sritool"
    )
