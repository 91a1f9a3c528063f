"""Names of runs in tables and messages."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from sritool.runs.folder import BEST, LAST
from sritool.runs.hub import name_in_cache


def run_name(path: Path) -> str:
    """Return the name of a checkpoint's run folder, its name on the hub, or otherwise the file's own name."""
    on_hub = name_in_cache(path)
    if on_hub is not None:
        return on_hub
    folder = path.absolute().parent.name  # in a run folder, path.parent is "."
    return folder if path.name in (BEST, LAST) and folder else path.name


def run_names(checkpoints: Sequence[Path]) -> list[str]:
    """Name each run as `run_name` does, or by its path if several share that name."""
    names = [run_name(path) for path in checkpoints]
    return [
        str(path) if names.count(name) > 1 else name for path, name in zip(checkpoints, names, strict=True)
    ]


def each_once(checkpoints: Sequence[Path]) -> tuple[list[Path], list[str]]:
    """Return the checkpoints without duplicates, and a note on each duplicate."""
    first_given: dict[Path, Path] = {}
    notes = []
    for path in checkpoints:
        if first_given.setdefault(path.resolve(), path) is not path:
            notes.append(f"{run_name(path)} was given more than once; it is shown once")
    return list(first_given.values()), list(dict.fromkeys(notes))
