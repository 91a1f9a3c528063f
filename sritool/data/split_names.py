"""Which file is which split, as the files' names tell."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from pathlib import Path

from sritool.data.label_names import LABEL_SUFFIXES, labels_of_names
from sritool.data.readers import SUFFIXES, suffix_of
from sritool.errors import DataError, UsageError

SPLIT_WORDS = {
    "train": ("train", "training"),
    "valid": ("valid", "dev", "val", "validation"),
    "test": ("test",),
}

Files = Mapping[str, tuple[Path, ...]]  # of each split


def split_files(folder: Path) -> Files:
    """Return the files of a folder by split.

    Raises:
        UsageError: There is no such folder, or files of different kinds for one split.
        DataError: There is no training file.
    """
    paths = [path for path in list_folder(folder) if suffix_of(path) in (*SUFFIXES, *LABEL_SUFFIXES)]
    named = [path for path in paths if split_of(path)]
    files = assign(named or (paths if labels_of_names(paths) else []))
    if "train" not in files:
        raise DataError(f"{folder} has no file with train in its name; name the files: --train FILE …")
    return files


def list_folder(folder: Path) -> list[Path]:
    """Return the files right in a folder, hidden ones left out, in the order of their names.

    Raises:
        UsageError: There is no such folder.
    """
    if not folder.is_dir():
        raise UsageError(f"no such folder: {folder}; give the folder that holds the files")
    return [path for path in _shown(folder) if path.is_file()]


def folders_in(folder: Path) -> list[Path]:
    """Return the folders right in a folder, as `list_folder` does with files."""
    return [path for path in _shown(folder) if path.is_dir()]


def _shown(folder: Path) -> list[Path]:
    return sorted(path for path in folder.iterdir() if not path.name.startswith("."))


def assign(paths: Sequence[Path]) -> Files:
    """Return each split's files by what their names tell; a single file is the training text whatever its name,
    and so are files of one label each.

    Raises:
        UsageError: A name tells no split, or a split has files of different kinds, which may be the same text.
    """
    if len(paths) == 1 or (labels_of_names(paths) and not any(map(split_of, paths))):
        return {"train": tuple(paths)}
    files: dict[str, tuple[Path, ...]] = {}
    for path in paths:
        split = split_of(path)
        if split is None:
            raise UsageError(
                f"cannot tell from its name which split {path} is; give it with --train, --valid or --test"
            )
        others = files.get(split, ())
        alike = not others or suffix_of(others[0]) == suffix_of(path) or labels_of_names([*others, path])
        if not alike:
            raise UsageError(f"{others[0]} and {path} are both {split}; say which: --{split} FILE")
        files[split] = (*others, path)
    return {split: files[split] for split in SPLIT_WORDS if split in files}


def split_of(path: Path) -> str | None:
    """Return the split that a file's name tells, as ``ptb.valid.txt`` or ``snli_1.0_dev.jsonl`` do; else None."""
    words = set(re.split(r"[^a-z]+", path.name.lower()))
    found = [split for split, names in SPLIT_WORDS.items() if words.intersection(names)]
    return found[0] if len(found) == 1 else None
