"""What runs are called in tables and messages."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from sritool.runs.folder import BEST, LAST
from sritool.runs.hub import name_in_cache


def run_name(path: Path) -> str:
    """Return a checkpoint's run folder, its name on the hub, or the file's own name where it lies elsewhere."""
    on_hub = name_in_cache(path)
    if on_hub is not None:
        return on_hub
    return path.parent.name if path.name in (BEST, LAST) and path.parent.name else path.name


def run_names(checkpoints: Sequence[Path]) -> list[str]:
    """Name each run as `run_name` does, or by its path where two share that name."""
    names = [run_name(path) for path in checkpoints]
    return [
        str(path) if names.count(name) > 1 else name for path, name in zip(checkpoints, names, strict=True)
    ]


def each_once(checkpoints: Sequence[Path]) -> tuple[list[Path], list[str]]:
    """Return the checkpoints without repetitions, and a note for each of these."""
    kept: dict[Path, Path] = {}
    again = []
    for path in checkpoints:
        if kept.setdefault(path.resolve(), path) is not path:
            again.append(f"{run_name(path)} was given more than once and stands once")
    return list(kept.values()), list(dict.fromkeys(again))
