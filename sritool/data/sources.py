"""Sources of a corpus: a built-in name, a folder of files, files, or standard input.

A ``Source`` has default options and reads nothing until its `read` is called.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Container, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from itertools import chain, combinations
from pathlib import Path

from sritool.data.blocks import check_file, name_of
from sritool.data.fields import FieldNames
from sritool.data.file_names import (
    SPLIT_WORDS,
    SUFFIXES,
    UNLABELLED,
    Files,
    folders_in,
    form_of,
    label_folders,
    labels_of_names,
    list_folder,
    split_files,
    split_of,
    suffix_of,
)
from sritool.data.options import PrepareOptions
from sritool.data.readers import lines_in, read_files, read_folders
from sritool.data.sentences import CorpusText, Cut, StreamedSentences
from sritool.errors import UsageError

STDIN = Path("-")
DEFAULT_SHARE = 0.05
SHOWN = 6  # most files to name in corpus.json


@dataclass(frozen=True)
class Source:
    """A text to prepare: its default options and a function that reads it."""

    options: PrepareOptions
    read: Callable[[], CorpusText]


@dataclass(frozen=True)
class FileOptions:
    """How files are read, and how a split without a file is cut from train.

    Raises:
        UsageError: The shares are not allowed.
    """

    form: str | None = None  # one of `file_names.FORMATS`; None: by each file's ending
    names: FieldNames = field(default_factory=FieldNames)  # columns or keys of text and label
    valid_share: float | None = None  # share of train to cut off for validation; None: `DEFAULT_SHARE`
    test_share: float | None = None  # the same for test
    seed: int = 0  # seed of the cut

    def __post_init__(self) -> None:
        shares = self.shares.values()
        if not (min(shares) > 0 and sum(shares) < 0.9):  # also refuses NaN
            raise UsageError("--valid-share and --test-share are above 0 and together below 0.9; change them")
        if self.names.label and not self.names.labels:
            raise UsageError(
                "--label-column names the labels, and --no-labels takes none; leave one of them out"
            )

    @property
    def shares(self) -> dict[str, float]:
        """Share of the sentences for each split that is cut from train."""
        given = {"valid": self.valid_share, "test": self.test_share}
        return {split: DEFAULT_SHARE if share is None else share for split, share in given.items()}

    @property
    def given(self) -> list[str]:
        """The command-line options that were given, except the seed."""
        named = {
            "--input-format": self.form,
            "--text-column": self.names.text,
            "--label-column": self.names.label,
            "--no-labels": None if self.names.labels else True,
            "--valid-share": self.valid_share,
            "--test-share": self.test_share,
        }
        return [option for option, value in named.items() if value is not None]

    def complete(
        self,
        source: str,
        splits: Mapping[str, StreamedSentences],
        before: Iterable[str] = (),
        after: Iterable[str] = (),
    ) -> CorpusText:
        """Return a text with missing splits cut from train; `before` and `after` are notes around that on the cut.

        Raises:
            UsageError: A share was given for a split that is there.
        """
        for split in splits:
            if f"--{split}-share" in self.given:
                raise UsageError(
                    f"--{split}-share is for cutting {split} from train, but there is a {split} split; leave it out"
                )
        missing = {split: share for split, share in self.shares.items() if split not in splits}
        if not missing:
            return CorpusText(source, splits, (*before, *after))
        shares = " and ".join(f"{split} ({share:.0%})" for split, share in missing.items())
        cut = f"{shares} cut from train with seed {self.seed}"
        return CorpusText(source, splits, (*before, cut, *after), Cut(missing, self.seed))


def file_source(
    files: Mapping[str, Path | Sequence[Path]], options: FileOptions, notes: Sequence[str] = ()
) -> Source:
    """Return the source of one or more files per split, with notes on their choice.

    A missing ``valid`` or ``test`` is cut from ``train``.

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
    return Source(PrepareOptions(), partial(_read_files, paths, options, notes))


def folder_source(folder: Path, options: FileOptions) -> Source:
    """Return the source of a folder of files whose names tell their splits (train, valid or dev or val, test).

    If no name tells a split, all files are train, and a note says so. The folder may instead contain one folder per
    label with one text per file, directly or inside folders of splits. Notes name the files and folders that are left
    out. Errors are those of `split_files` and `file_source`.
    """
    list_folder(folder)
    labelled = _label_folders(folder)
    if labelled:
        idle = {"--input-format", "--text-column", "--label-column"}.intersection(options.given)
        if idle:
            raise UsageError(
                f"{min(idle)} is for tables, but {folder} has a folder for each label; leave it out"
            )
        return Source(PrepareOptions(), partial(_read_folders, folder, labelled, options))
    files = split_files(folder)
    taken = {path for paths in files.values() for path in paths}
    left = [path for path in list_folder(folder) if suffix_of(path) in SUFFIXES and path not in taken]
    notes = _left_out(folder, taken.union(left))
    if left:
        names = _some([_name(path) for path in left])
        notes.insert(0, f"left out of {folder}, as their names tell no split: {names}")
    if not any(map(split_of, taken)):
        kinds = " and ".join(sorted(set(map(suffix_of, taken))))
        notes.append(f"no file name in {folder} tells a split: all of its {kinds} files are train")
    return file_source(files, options, [*notes, *misnamed_notes(files)])


def misnamed_notes(files: Files) -> list[str]:
    """Return a note if the only file is train, although its name tells another split."""
    path = files["train"][0]
    split = split_of(path)
    misnamed = split not in (None, "train")
    return [f"{_name(path)} is taken as train, although its name says {split}"] if misnamed else []


def _left_out(folder: Path, taken: Container[Path]) -> list[str]:
    """Return a note on the files and folders directly in a folder that are not taken; a folder with its files."""
    left = [_name(path) for path in list_folder(folder) if path not in taken]
    for path in folders_in(folder):
        if path not in taken:
            count = sum(len(names) for _, _, names in os.walk(path))
            left.append(f"{_name(path)}/ ({count:,} {'file' if count == 1 else 'files'})")
    return [f"left out of {folder}: {_some(left)}"] if left else []


def _label_folders(folder: Path) -> dict[str, Mapping[str, Path]]:
    """Return the label folders of each split; none if the folder holds files of sentences instead."""
    splits = {split_of(path): label_folders(path) for path in folders_in(folder) if split_of(path)}
    found: dict[str, Mapping[str, Path]] = {
        split: splits[split] for split in SPLIT_WORDS if splits.get(split)
    }
    if "train" in found:
        return found
    whole = {} if list_folder(folder) else label_folders(folder)
    return {"train": whole} if whole else {}


def _read_folders(folder: Path, found: Mapping[str, Mapping[str, Path]], options: FileOptions) -> CorpusText:
    if options.names.labels:
        _refuse_files_of_lines(folder, [path for labels in found.values() for path in labels.values()])
    splits = {split: read_folders(labels, options.names.labels) for split, labels in found.items()}
    left = [next(iter(labels.values())).parent / UNLABELLED for labels in found.values()]
    notes = [f"left out: {path}, which has no labels" for path in left if path.is_dir()]
    taken = {path for labels in found.values() for one in labels.values() for path in (one, one.parent)}
    return options.complete(_name(folder), splits, [*notes, *_left_out(folder, {*taken, *left})])


def _refuse_files_of_lines(folder: Path, label_folders: Sequence[Path]) -> None:
    """Raise a UsageError if there are hardly more files than folders of one label each, and one has several lines."""
    paths = [path for one in label_folders for path in list_folder(one)]
    if len(paths) >= 2 * len(label_folders):
        return
    several = next((path for path in paths if sum(map(bool, map(str.strip, lines_in(path)))) > 1), None)
    if several is not None:
        raise UsageError(
            f"{folder} has {len(label_folders)} folders of labels with {len(paths)} files, each one sentence, but "
            f"{several} has several lines; to read files by line, give --no-labels or --train FILE …"
        )


def _read_files(files: Files, options: FileOptions, about: Sequence[str]) -> CorpusText:
    paths = [path for given in files.values() for path in given]
    if (options.names.text or options.names.label) and _are_plain(paths, options):
        raise UsageError(
            "plain text has no columns; with --text-column or --label-column, say --input-format tsv, csv or jsonl"
        )
    for path in paths:
        check_file(path)
    splits = {}
    for split in SPLIT_WORDS:
        if split in files:
            wanted = options.names.labels and _are_plain(files[split], options)
            labels = labels_of_names(files[split]) if wanted else ()
            splits[split] = read_files(files[split], options.form, options.names, not labels, labels)
    several = [f"{split}: {_some(_names(given))}" for split, given in files.items() if len(given) > 1]
    return options.complete(_some(_names(paths)), splits, about, [*_recurring(files), *several])


def _are_plain(paths: Sequence[Path], options: FileOptions) -> bool:
    return all(form_of(path, options.form) == "text" for path in paths)


def _names(paths: Sequence[Path]) -> list[str]:
    return ["standard input" if path == STDIN else _name(path) for path in paths]


def _name(path: Path) -> str:
    """Return a name as it can be stored; bytes that are not UTF-8 become replacement characters."""
    return os.fsencode(path.name).decode("utf-8", "replace")


def _some(names: Sequence[str]) -> str:
    return ", ".join(names[:SHOWN]) + (f" and {len(names) - SHOWN} more" if len(names) > SHOWN else "")


def _recurring(files: Files) -> list[str]:
    """Return notes on files that appear in two splits, or twice in one."""
    owners: dict[tuple[int, int], list[tuple[str, Path]]] = {}  # by device and inode
    for split in SPLIT_WORDS:
        for path in files.get(split, ()):
            if path != STDIN:
                found = path.stat()
                owners.setdefault((found.st_dev, found.st_ino), []).append((split, path))
    pairs = chain.from_iterable(combinations(same, 2) for same in owners.values())
    return [
        f"{name_of(path)} is twice in {one}"
        if one == other
        else f"{one} and {other} are the same file: no figure on {other} tells of new text"
        for (one, path), (other, _) in pairs
    ]
