"""Run folders: `runs/NAME-METHOD/` with best.pt, last.pt, config.toml and metrics.jsonl."""

from __future__ import annotations

import contextlib
import json
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from sritool.errors import CheckpointError, UsageError

BEST, LAST, CONFIG, METRICS = "best.pt", "last.pt", "config.toml", "metrics.jsonl"


def new_run(folder: Path) -> Path:
    """Make a folder for a new run: `folder`, or folder-2, folder-3 … where there is one already.

    Raises: UsageError if it cannot be made.
    """
    candidate, number = folder, 1
    try:
        folder.parent.mkdir(parents=True, exist_ok=True)
        while True:
            try:
                candidate.mkdir()
                return candidate
            except FileExistsError:
                number += 1
                candidate = folder.with_name(f"{folder.name}-{number}")
    except OSError as error:
        raise UsageError(
            f"cannot make the run folder {candidate}: {error.strerror}; give another with --runs-dir"
        ) from error


def remove_unsaved(folder: Path) -> bool:
    """Remove a run folder in which no checkpoint was saved; False if there is one."""
    if (folder / BEST).is_file() or (folder / LAST).is_file():
        return False
    for name in (CONFIG, METRICS):
        (folder / name).unlink(missing_ok=True)
    with contextlib.suppress(OSError):  # what somebody else put there stays
        folder.rmdir()
    return True


def newest_run(runs_dir: Path, name: str = "") -> Path | None:
    """The run folder whose checkpoints are youngest; with `name`, of those called so or so with a number."""
    found = [
        (max(path.stat().st_mtime for path in (folder / BEST, folder / LAST) if path.is_file()), folder)
        for folder in (runs_dir.iterdir() if runs_dir.is_dir() else ())
        if (not name or re.fullmatch(rf"{re.escape(name)}(-\d+)?", folder.name))
        and ((folder / BEST).is_file() or (folder / LAST).is_file())
    ]
    return max(found)[1] if found else None


def find_checkpoint(given: Path | None, runs_dir: Path) -> Path:
    """The checkpoint file meant by a file, a run folder (best before last), or nothing (the newest run).

    Raises: CheckpointError if there is none.
    """
    if given is None:
        folder = newest_run(runs_dir)
        if folder is None:
            raise CheckpointError(f"no run in {runs_dir}/; start one with: sritool train tiny")
        return find_checkpoint(folder, runs_dir)
    for path in (given, given / BEST, given / LAST):
        if path.is_file():
            return path
    if (runs_dir / given).is_dir() and not given.exists():
        return find_checkpoint(runs_dir / given, runs_dir)
    kind = f"no {BEST} or {LAST} in" if given.is_dir() else "no checkpoint"
    raise CheckpointError(f"{kind} {given}; give a .pt file or a run folder that `sritool train` wrote")


class MetricsLog:
    """metrics.jsonl: a line a record; what a resumed run will do again is cut off first."""

    def __init__(self, path: Path, steps: int = 0, epochs: int = 0, pretraining: bool = False) -> None:
        """Args: steps, epochs: how many of them are done; their records are kept; pretraining: which epochs."""
        self.path = path

        def is_done(record: Mapping[str, Any]) -> bool:
            if record["kind"] != "epoch":
                return bool(record["step"] <= steps)
            of_pretraining = bool(record.get("pretraining", False))
            if of_pretraining != pretraining:
                return of_pretraining
            return bool(record["epoch"] <= epochs)

        kept = [record for record in read_metrics(path) if is_done(record)]
        temporary = path.with_name(f".{path.name}.tmp")
        temporary.write_text("".join(json.dumps(record) + "\n" for record in kept), encoding="utf-8")
        temporary.replace(path)

    def add(self, record: Mapping[str, Any]) -> None:
        """Append one record and hand it to the system at once."""
        with self.path.open("a", encoding="utf-8") as file:
            file.write(json.dumps(dict(record)) + "\n")


def read_metrics(path: Path) -> list[dict[str, Any]]:
    """All whole records of a metrics.jsonl; a line cut by a kill is left out."""
    if not path.is_file():
        return []
    records = []
    for line in path.read_text(encoding="utf-8").splitlines():
        try:
            records.append(json.loads(line))
        except json.JSONDecodeError:
            continue
    return records
