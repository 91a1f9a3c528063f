"""Derives format, split and label from the names of files and folders."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from pathlib import Path

from sritool.data.blocks import explain_read_errors
from sritool.errors import DataError, UsageError

SPLIT_WORDS = {
    "train": ("train", "training"),
    "valid": ("valid", "dev", "val", "validation"),
    "test": ("test",),
}
LABEL_WORDS = ("pos", "neg", "positive", "negative", "neutral")
UNLABELLED = "unsup"  # folder of texts without a label in the movie reviews of Maas et al. 2011
FORMATS = ("text", "tsv", "csv", "jsonl", "parquet")
_COMPRESSED = (".gz", ".bz2", ".xz", ".zst")
_FORM_OF_SUFFIX = {
    ".tsv": "tsv",
    ".csv": "csv",
    ".jsonl": "jsonl",
    ".ndjson": "jsonl",
    ".json": "jsonl",
    ".parquet": "parquet",
}
SUFFIXES = (".txt", *_FORM_OF_SUFFIX)
_LABEL_SUFFIXES = tuple(f".{word}" for word in (*LABEL_WORDS, *"0123456789"))

Files = Mapping[str, tuple[Path, ...]]  # of each split


def form_of(path: Path, form: str | None = None) -> str:
    """Return the format of a file: `form` if given, else by its ending, else plain text."""
    return form or _FORM_OF_SUFFIX.get(suffix_of(path), "text")


def _unpacked(path: Path) -> Path:
    """Return the name that a file has when it is unpacked."""
    return path.with_suffix("") if path.suffix.lower() in _COMPRESSED else path


def suffix_of(path: Path) -> str:
    """Return a file's ending in lower case, ignoring compression: ``.tsv`` for ``train.tsv.gz``."""
    suffixes = [suffix.lower() for suffix in path.suffixes]
    if suffixes and suffixes[-1] in _COMPRESSED:
        suffixes.pop()
    return suffixes[-1] if suffixes else ""


def split_of(path: Path) -> str | None:
    """Return the split that a file name such as ``ptb.valid.txt`` or ``snli_1.0_dev.jsonl`` tells, or None."""
    words = set(re.split(r"[^a-z]+", path.name.lower()))
    found = [split for split, names in SPLIT_WORDS.items() if words.intersection(names)]
    return found[0] if len(found) == 1 else None


def labels_of_names(paths: Sequence[Path]) -> tuple[str, ...]:
    """Return the label of each file if the names differ only in a label; otherwise nothing.

    A label is one of `LABEL_WORDS` anywhere in the name (``rt-polarity.pos``), or an ending of one digit
    (``sentiment.train.0``).
    """
    found = []
    for path in paths:
        words = re.split(r"([^A-Za-z0-9]+)", path.name.lower())
        places = [place for place, word in enumerate(words) if word in LABEL_WORDS]
        if not places and path.suffix in _LABEL_SUFFIXES:
            places = [len(words) - 1]
        if len(places) != 1:
            return ()
        place = places[0]
        found.append((words[place], (*words[:place], *words[place + 1 :])))
    labels = tuple(label for label, _ in found)
    alike = len({rest for _, rest in found}) == 1
    return labels if len(paths) > 1 and alike and len(set(labels)) == len(paths) else ()


def assign(paths: Sequence[Path]) -> Files:
    """Assign files to splits by their names.

    A single file is the training text whatever its name, and so are files of one label each.

    Raises:
        UsageError: A name does not tell the split, or a split has files of different kinds, perhaps of the same text.
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
        before = files.get(split, ())
        alike = not before or suffix_of(before[0]) == suffix_of(path) or labels_of_names([*before, path])
        if not alike:
            raise UsageError(f"{before[0]} and {path} are both {split}; say which: --{split} FILE")
        twin = next((each for each in before if _unpacked(each) == _unpacked(path)), None)
        if twin is not None:
            raise UsageError(f"{twin} and {path} seem to be the same text, twice; leave one out")
        files[split] = (*before, path)
    return {split: files[split] for split in SPLIT_WORDS if split in files}


def split_files(folder: Path) -> Files:
    """Return the files of a folder by split; if no name tells a split, all are train.

    Raises:
        UsageError: The folder does not exist, or a split has files of different kinds.
        DataError: There is no training file.
    """
    paths = [path for path in list_folder(folder) if suffix_of(path) in (*SUFFIXES, *_LABEL_SUFFIXES)]
    named = [path for path in paths if split_of(path)]
    if named:
        files = assign(named)
        if "train" not in files:
            raise DataError(f"{folder} has no file with train in its name; name the files: --train FILE …")
        return files
    if not paths:
        raise DataError(
            f"{folder} has no file of text with an ending like .txt; name the files: --train FILE …"
        )
    different = next((path for path in paths if suffix_of(path) != suffix_of(paths[0])), None)
    if different and not labels_of_names(paths):
        raise UsageError(f"{paths[0]} and {different} are of different kinds; say which: --train FILE")
    return {"train": tuple(paths)}


def label_folders(folder: Path) -> dict[str, Path]:
    """Return the folder of each label: the subfolders with files, if there are at least two; otherwise nothing."""
    filled = {path.name: path for path in folders_in(folder) if path.name != UNLABELLED and list_folder(path)}
    return filled if len(filled) > 1 else {}


def list_folder(folder: Path) -> list[Path]:
    """Return the files directly in a folder, without hidden ones, sorted by name.

    Raises:
        UsageError: The folder does not exist.
    """
    if not folder.is_dir():
        raise UsageError(f"no such folder: {folder}; give the folder that holds the files")
    return [path for path in _shown(folder) if path.is_file()]


def folders_in(folder: Path) -> list[Path]:
    """Return the folders directly in a folder, without hidden ones, sorted by name."""
    return [path for path in _shown(folder) if path.is_dir()]


def _shown(folder: Path) -> list[Path]:
    with explain_read_errors(folder):
        return sorted(path for path in folder.iterdir() if not path.name.startswith("."))
