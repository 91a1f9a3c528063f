"""Models that come with sritool, ready to try: run folders in `sritool/models/`.

`python -m benchmarks.bundled_model` rebuilds them.
"""

from __future__ import annotations

import contextlib
import os
from pathlib import Path

FOLDER = Path(__file__).parents[1] / "models"


def bundled_models() -> list[str]:
    """Return the names of the models that come with sritool."""
    return sorted(path.name for path in FOLDER.iterdir() if path.is_dir() and path.name[0].isalpha())


def bundled_run(name: str) -> Path | None:
    """Return the run folder of a model that comes with sritool, or None if no model has this name."""
    try:
        return FOLDER / name if name in bundled_models() else None
    except OSError:  # this user may not read the installation
        return None


def is_bundled(checkpoint: Path) -> bool:
    """Tell whether a checkpoint file came with sritool."""
    return checkpoint.parent.parent == FOLDER


def records_folder(checkpoint: Path) -> Path:
    """Return the folder that holds the measurements of a checkpoint: the checkpoint's own.

    For a model that came with sritool it is a folder in the user's cache, created if it does not exist.
    """
    if not is_bundled(checkpoint):
        return checkpoint.parent
    cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    folder = cache / "sritool" / checkpoint.parent.name
    with contextlib.suppress(OSError):  # then nothing is stored; the record reports that itself
        folder.mkdir(parents=True, exist_ok=True)
    return folder
