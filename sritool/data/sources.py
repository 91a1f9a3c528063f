"""Where a corpus comes from: a built-in name, a folder of files, files, or standard input.

A ``Source`` knows its default options and reads nothing until asked.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import combinations
from pathlib import Path

from sritool.data.blocks import check_file, name_of
from sritool.data.fields import FieldNames
from sritool.data.label_folders import UNLABELLED, LabelFolders, label_folders
from sritool.data.label_names import labels_of_names
from sritool.data.options import PrepareOptions
from sritool.data.readers import SUFFIXES, FileSplit, form_of, suffix_of
from sritool.data.sentences import CorpusText, Cut
from sritool.data.split_names import SPLIT_WORDS, Files, folders_in, list_folder, split_files, split_of
from sritool.errors import UsageError

STDIN = Path("-")
DEFAULT_SHARE = 0.05
SHOWN = 6  # files that are named in corpus.json


@dataclass(frozen=True)
class Source:
    """Something to prepare.

    Attributes:
        options: How it is prepared by default.
        read: Reads it.
    """

    options: PrepareOptions
    read: Callable[[], CorpusText]


@dataclass(frozen=True)
class FileOptions:
    """How files are read and, where a split has no file of its own, how it is cut from train.

    Attributes:
        form: One of `readers.FORMATS`; None: by each file's ending.
        names: Where tables and objects keep text and label.
        valid_share: Share of train that is cut off for validation; None: `DEFAULT_SHARE`.
        test_share: The same for test.
        seed: Of the cut.

    Raises:
        UsageError: The shares are not possible.
    """

    form: str | None = None
    names: FieldNames = field(default_factory=FieldNames)
    valid_share: float | None = None
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
            "--text-column": self.names.text,
            "--label-column": self.names.label,
            "--no-labels": None if self.names.labels else True,
            "--valid-share": self.valid_share,
            "--test-share": self.test_share,
        }
        return [option for option, value in named.items() if value is not None]


def file_source(
    files: Mapping[str, Path | Sequence[Path]], options: FileOptions, notes: Sequence[str] = ()
) -> Source:
    """Return the source of one or more files a split.

    Args:
        files: Those of each split. Where ``valid`` or ``test`` has none, it is cut from ``train``.
        options: How they are read and cut.
        notes: What is to be known of the choice of files.

    Raises:
        UsageError: The files and options contradict each other.
    """
    paths = {
        split: (given,) if isinstance(given, Path) else tuple(given)
        for split, given in files.items()
        if given
    }
    if "train" not in paths:
        raise UsageError("no training file; name it with --train FILE")
    if sum(path == STDIN for given in paths.values() for path in given) > 1:
        raise UsageError("standard input can be one split only; give files for the others")
    for split in ("valid", "test"):
        if split in paths and f"--{split}-share" in options.given:
            raise UsageError(
                f"--{split}-share is for cutting {split} from train, and it has a file; leave one out"
            )
    return Source(PrepareOptions(), lambda: _read_files(paths, options, notes))


def folder_source(folder: Path, options: FileOptions) -> Source:
    """Return the source of a folder of files whose names tell their splits (train, valid or dev or val, test).

    It may also have folders of labels with one text a file, right in it or in folders of splits. Other files with
    text in the folder are named in a note. Arguments and errors are those of `split_files` and `file_source`.
    """
    list_folder(folder)
    labelled = _label_folders(folder)
    if labelled:
        return Source(PrepareOptions(), lambda: _read_folders(folder, labelled, options))
    files = split_files(folder)
    taken = {path for paths in files.values() for path in paths}
    left = [path.name for path in list_folder(folder) if suffix_of(path) in SUFFIXES and path not in taken]
    note = f"left out of {folder}, as their names tell no split: {_some(left)}"
    return file_source(files, options, (note,) if left else ())


def _label_folders(folder: Path) -> dict[str, Mapping[str, Path]]:
    """Return the folders of labels of each split; none where the folder holds files of sentences instead."""
    splits = {split_of(path): label_folders(path) for path in folders_in(folder) if split_of(path)}
    found: dict[str, Mapping[str, Path]] = {
        split: splits[split] for split in SPLIT_WORDS if splits.get(split)
    }
    if "train" in found:
        return found
    whole = {} if list_folder(folder) else label_folders(folder)
    return {"train": whole} if whole else {}


def _read_folders(folder: Path, found: Mapping[str, Mapping[str, Path]], options: FileOptions) -> CorpusText:
    splits = {split: LabelFolders(labels, options.names.labels) for split, labels in found.items()}
    missing = {split: share for split, share in options.shares.items() if split not in found}
    left = [path for labels in found.values() for path in [next(iter(labels.values())).parent / UNLABELLED]]
    notes = [f"left out: {path}, which has no labels" for path in left if path.is_dir()]
    notes += cut_notes(missing, options)
    return CorpusText(folder.name, splits, tuple(notes), Cut(missing, options.seed) if missing else None)


def cut_notes(missing: Mapping[str, float], options: FileOptions) -> list[str]:
    """Return which splits are cut from train, in words."""
    cut = " and ".join(f"{split} ({share:.0%})" for split, share in missing.items())
    return [f"{cut} cut from train with seed {options.seed}"] if missing else []


def _read_files(files: Files, options: FileOptions, about: Sequence[str]) -> CorpusText:
    paths = [path for given in files.values() for path in given]
    if (options.names.text or options.names.label) and all(
        form_of(path, options.form) == "text" for path in paths
    ):
        raise UsageError(
            "plain text has no columns; with --text-column or --label-column, say --input-format tsv, csv or jsonl"
        )
    for path in paths:
        check_file(path)
    missing = {split: share for split, share in options.shares.items() if split not in files}
    notes = [*about, *cut_notes(missing, options)]
    notes += _recurring(files)
    source = _some(_names(paths))
    notes += [f"{split}: {_some(_names(given))}" for split, given in files.items() if len(given) > 1]
    splits = {
        split: FileSplit(files[split], options.form, options.names, True, _file_labels(files[split], options))
        for split in SPLIT_WORDS
        if split in files
    }
    return CorpusText(source, splits, tuple(notes), Cut(missing, options.seed) if missing else None)


def _file_labels(paths: Sequence[Path], options: FileOptions) -> tuple[str, ...]:
    plain = all(form_of(path, options.form) == "text" for path in paths)
    return labels_of_names(paths) if plain and options.names.labels else ()


def _names(paths: Sequence[Path]) -> list[str]:
    return ["standard input" if path == STDIN else path.name for path in paths]


def _some(names: Sequence[str]) -> str:
    return ", ".join(names[:SHOWN]) + (f" and {len(names) - SHOWN} more" if len(names) > SHOWN else "")


def _recurring(files: Files) -> list[str]:
    """Return which splits have one and the same file, or have one twice."""
    owned = [(split, path) for split in SPLIT_WORDS for path in files.get(split, ()) if path != STDIN]
    notes = []
    for (one, path), (other, second) in combinations(owned, 2):
        if path.samefile(second):
            notes.append(
                f"{name_of(path)} is twice in {one}"
                if one == other
                else f"{one} and {other} are the same file: no figure on {other} tells of new text"
            )
    return notes
