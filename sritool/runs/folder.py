"""Run folders: `runs/NAME-METHOD/` with best.pt, last.pt, config.toml and metrics.jsonl.

A run that begins as an autoencoder and goes on from its best epoch has that in autoencoder.pt. One that ran out of
time, and has the model of that moment in best.pt, keeps the best of its epochs in best-epoch.pt until it is resumed.
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
LOCK = ".lock"  # there while a process works on the run; after a kill it stays and locks nothing
_TRIES = 100
_LEFT = re.compile(
    r"\.((best(-epoch)?|last|autoencoder)\.pt|config\.toml|metrics\.(jsonl|csv))(\.[0-9a-f]{8})?\.tmp"
)


def new_run(folder: Path) -> tuple[Path, Lock]:
    """Make a folder for a new run and lock it: `folder`, or folder-2, folder-3 … where there is one already.

    What a killed run left before it saved anything is cleared away and its folder taken.

    Raises:
        UsageError: There is a file in its way.
        SritoolError: It cannot be made.
    """
    candidate, number, vanished = folder, 1, 0
    try:
        while True:
            folder.parent.mkdir(parents=True, exist_ok=True)
            try:
                lock = _begin(candidate)
            except FileNotFoundError:  # its owner removed it at this moment
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
    """Lock a folder that is new or was abandoned; None where it is somebody's."""
    new = True
    try:
        folder.mkdir()
    except FileExistsError:
        new = False
    lock = Lock(folder / LOCK)
    try:
        if not ((new or _is_abandoned(folder)) and lock.acquire()):
            return None
    except OSError as error:
        if new:
            with contextlib.suppress(OSError):
                folder.rmdir()
        elif isinstance(error, PermissionError):  # another user's, where several share a folder of runs
            return None
        raise
    if lock.unsupported:
        return lock if new else None
    if not _is_abandoned(folder):  # meanwhile another process took it, saved in it, and has ended
        lock.release()
        return None
    _remove_own(folder)
    return lock


def _is_abandoned(folder: Path) -> bool:
    """Whether a run was begun there and nothing saved: a lock, and what is written first, or nothing at all."""
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
    """Remove the temporary files that killed processes left in a run folder whose lock is held."""
    for path in folder.iterdir():
        if _LEFT.fullmatch(path.name):
            with contextlib.suppress(OSError):
                path.unlink()


def hold(folder: Path) -> Lock:
    """Take the lock of a run folder that is there: only one process changes its checkpoints.

    Raises:
        UsageError: Another process has it.
        SritoolError: Nothing can be written there.
    """
    lock = Lock(folder / LOCK)
    try:
        taken = lock.acquire()
    except OSError as error:
        raise SritoolError(
            f"cannot write in {folder}: {error.strerror}; make it a folder that you can write in, or start a new run"
        ) from error
    if taken:
        return lock
    raise UsageError(f"{folder} is in use by {holder_of(lock.path)}")


def remove_unsaved(folder: Path, lock: Lock) -> bool:
    """Remove a run folder whose lock is held, and release the lock, if no checkpoint was saved there.

    Returns:
        False if there is a checkpoint; then nothing is removed and the lock stays held.
    """
    if (folder / BEST).is_file() or (folder / LAST).is_file():
        return False
    with contextlib.suppress(OSError):  # the folder is gone, or somebody has put a file in its place
        _remove_own(folder)
    lock.release()
    with contextlib.suppress(OSError):  # what somebody else put there stays
        folder.rmdir()
    return True


def newest_run(runs_dir: Path, name: str = "") -> Path | None:
    """Return the run folder whose checkpoints are youngest; None if there is no run with a checkpoint.

    With a name, look only at runs called so, or so with a number. The folder of runs need not be there.
    """
    found = [
        (saved, folder)
        for folder in (runs_dir.iterdir() if runs_dir.is_dir() else ())
        if (not name or re.fullmatch(rf"{re.escape(name)}(-\d+)?", folder.name))
        and (saved := _last_saved(folder)) is not None
    ]
    return max(found)[1] if found else None


def _last_saved(folder: Path) -> float | None:
    """Return when a run was last saved; None without a checkpoint, or where another user lets nobody look."""
    with contextlib.suppress(PermissionError):
        times = [path.stat().st_mtime for path in (folder / BEST, folder / LAST) if path.is_file()]
        return max(times, default=None)
    return None


def find_checkpoint(given: Path | None, runs_dir: Path) -> Path:
    """Return the checkpoint file that a user means: the one place where a checkpoint's name is resolved.

    Args:
        given: A file, a run folder (best.pt before last.pt), its name in `runs_dir`, the name of a model that comes
            with sritool, `hf://user/name` of one on the Hugging Face hub, or None for the newest run. The first of
            these that is there is taken.
        runs_dir: The folder of runs.

    Raises:
        CheckpointError: There is none.
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
