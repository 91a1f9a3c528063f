"""Where a corpus comes from: a built-in name, a folder of files, files, or standard input.

A ``Source`` knows its default options and reads nothing until asked.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from sritool.data.columns import Columns
from sritool.data.prepare import PrepareOptions
from sritool.data.raw import Cut, RawCorpus
from sritool.data.textblocks import check_file
from sritool.data.textfiles import FileSplit, form_of
from sritool.errors import DataError, UsageError

SPLIT_WORDS = {
    "train": ("train", "training"),
    "valid": ("valid", "dev", "val", "validation"),
    "test": ("test",),
}
SUFFIXES = (".txt", ".tsv", ".csv", ".jsonl", ".ndjson", ".json")
STDIN = Path("-")
DEFAULT_SHARE = 0.05


@dataclass(frozen=True)
class Source:
    """Something to prepare: its default options, and how to read it."""

    options: PrepareOptions
    read: Callable[[], RawCorpus]


@dataclass(frozen=True)
class FileOptions:
    """How files are read and, where a split has no file of its own, how it is cut from train."""

    form: str | None = None  # one of textfiles.FORMATS; None: by the file's ending
    columns: Columns = field(default_factory=Columns)
    valid_share: float | None = None  # None: DEFAULT_SHARE
    test_share: float | None = None
    seed: int = 0

    def __post_init__(self) -> None:
        shares = self.shares.values()
        if not (min(shares) > 0 and sum(shares) < 0.9):  # nor is NaN
            raise UsageError("--valid-share and --test-share are above 0 and together below 0.9; change them")

    @property
    def shares(self) -> dict[str, float]:
        """Share of the sentences that each split takes where it is cut from train."""
        given = {"valid": self.valid_share, "test": self.test_share}
        return {split: DEFAULT_SHARE if share is None else share for split, share in given.items()}

    @property
    def given(self) -> list[str]:
        """The command-line options that were given, but for the seed."""
        named = {
            "--input-format": self.form,
            "--text-key": self.columns.text,
            "--label-key": self.columns.label,
            "--valid-share": self.valid_share,
            "--test-share": self.test_share,
        }
        return [option for option, value in named.items() if value is not None]


def file_source(files: Mapping[str, Path], options: FileOptions) -> Source:
    """Files by split. ``train`` is needed; the others are cut from it by ratio where they have no file."""
    if "train" not in files:
        raise UsageError("no training file; name it with --train FILE")
    if sum(path == STDIN for path in files.values()) > 1:
        raise UsageError("standard input can be one split only; give files for the others")
    for split in ("valid", "test"):
        if split in files and f"--{split}-share" in options.given:
            raise UsageError(
                f"--{split}-share is for cutting {split} from train, and it has a file; leave one out"
            )
    return Source(PrepareOptions(), lambda: _read_files(files, options))


def folder_source(folder: Path, options: FileOptions) -> Source:
    """A folder of files whose names tell their splits (train, valid or dev or val, test)."""
    return file_source(split_files(folder), options)


def split_files(folder: Path) -> dict[str, Path]:
    """The files of a folder by split.

    Raises: UsageError if there is no such folder, no training file, or two files for one split.
    """
    paths = sorted(path for path in list_folder(folder) if path.suffix.lower() in SUFFIXES)
    files = assign([path for path in paths if split_of(path)])
    if "train" not in files:
        raise DataError(f"{folder} has no file with train in its name; name the files: --train FILE …")
    return files


def list_folder(folder: Path) -> list[Path]:
    """The files in a folder.

    Raises: UsageError if there is no such folder.
    """
    if not folder.is_dir():
        raise UsageError(f"no such folder: {folder}; give the folder that holds the files")
    return [path for path in folder.iterdir() if path.is_file()]


def assign(paths: Sequence[Path]) -> dict[str, Path]:
    """Each file to the split that its name tells; a single file is the training text whatever its name.

    Raises: UsageError if a name tells none, or two tell the same.
    """
    if len(paths) == 1:
        return {"train": paths[0]}
    files: dict[str, Path] = {}
    for path in paths:
        split = split_of(path)
        if split is None:
            raise UsageError(
                f"cannot tell from its name which split {path} is; give it with --train, --valid or --test"
            )
        if split in files:
            raise UsageError(f"{files[split]} and {path} are both {split}; say which: --{split} FILE")
        files[split] = path
    return {split: files[split] for split in SPLIT_WORDS if split in files}


def split_of(path: Path) -> str | None:
    """The split that a file's name tells, as ``ptb.valid.txt`` or ``snli_1.0_dev.jsonl`` do; else None."""
    words = set(re.split(r"[^a-z]+", path.name.lower()))
    found = [split for split, names in SPLIT_WORDS.items() if words.intersection(names)]
    return found[0] if len(found) == 1 else None


def _read_files(files: Mapping[str, Path], options: FileOptions) -> RawCorpus:
    if (options.columns.text or options.columns.label) and all(
        form_of(path, options.form) == "text" for path in files.values()
    ):
        raise UsageError(
            "plain text has no keys; with --text-key or --label-key, say --input-format tsv, csv or jsonl"
        )
    for path in files.values():
        check_file(path)
    missing = {split: share for split, share in options.shares.items() if split not in files}
    notes: list[str] = []
    if missing:
        cut = " and ".join(f"{split} ({share:.0%})" for split, share in missing.items())
        notes.append(f"{cut} cut from train with seed {options.seed}")
    notes += _recurring(files)
    source = ", ".join("standard input" if path == STDIN else path.name for path in files.values())
    splits = {
        split: FileSplit(files[split], options.form, options.columns)
        for split in SPLIT_WORDS
        if split in files
    }
    return RawCorpus(source, splits, tuple(notes), Cut(missing, options.seed) if missing else None)


def _recurring(files: Mapping[str, Path]) -> list[str]:
    """Which splits are one and the same file."""
    names = [split for split in SPLIT_WORDS if split in files and files[split] != STDIN]
    return [
        f"{one} and {other} are the same file: no figure on {other} tells of new text"
        for number, one in enumerate(names)
        for other in names[number + 1 :]
        if files[one].samefile(files[other])
    ]
