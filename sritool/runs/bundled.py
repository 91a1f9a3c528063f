"""Models that come with sritool, to be tried at once: run folders in `sritool/models/`.

`python -m benchmarks.bundled_model` makes them again.
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
    """Return the run folder of a model that comes with sritool, or None where none has this name."""
    try:
        return FOLDER / name if name in bundled_models() else None
    except OSError:  # an installation that this user may not read has none for them
        return None


def is_bundled(checkpoint: Path) -> bool:
    """Tell whether a checkpoint file came with sritool."""
    return checkpoint.parent.parent == FOLDER


def records_folder(checkpoint: Path) -> Path:
    """Return where measurements of a checkpoint are kept: beside it.

    Those of a model that came with sritool are kept in the user's cache, in a folder that is made if need be.
    """
    if not is_bundled(checkpoint):
        return checkpoint.parent
    cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    folder = cache / "sritool" / checkpoint.parent.name
    with contextlib.suppress(OSError):  # then nothing is kept, which the record says itself
        folder.mkdir(parents=True, exist_ok=True)
    return folder
