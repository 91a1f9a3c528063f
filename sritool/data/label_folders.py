"""Folders with a file for each text and a folder for each label: ``train/pos/0.txt``, ``test/neg/1.txt``."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from sritool.data.fields import chunk_of
from sritool.data.normalise import unescaped
from sritool.data.readers import read_text
from sritool.data.sentences import Chunk

UNLABELLED = "unsup"  # what the movie reviews of Maas et al. 2011 call texts without a label
_FILES = 1_000  # that are read at a time


@dataclass(frozen=True)
class LabelFolders:
    """The texts of one split, one a file.

    Attributes:
        folders: The folder of each label, by label.
        labelled: Whether the labels are wanted.
        notes: What was taken as what, once all has been read.
    """

    folders: Mapping[str, Path]
    labelled: bool = True
    notes: list[str] = field(default_factory=list, compare=False)

    @property
    def where(self) -> str:
        """What errors call them."""
        first = next(iter(self.folders.values()))
        return str(first.parent)

    def chunks(self) -> Iterator[Chunk]:
        """Yield all texts, those of one label after the other, in the order of the files' names.

        Raises:
            DataError: A file is empty or not UTF-8.
        """
        rewritten = 0
        for label, folder in self.folders.items():
            paths = files_in(folder)
            for begin in range(0, len(paths), _FILES):
                part = paths[begin : begin + _FILES]
                whole = chunk_of([" ".join(read_text(path).split("\n")) for path in part], None)
                texts, changed = unescaped(whole.texts, plain=True)
                rewritten += changed
                yield Chunk(texts, [label] * len(part) if self.labelled else None)
        label = f"label: the folder ({', '.join(self.folders)})" if self.labelled else "no labels"
        self.notes[:] = [f"text: each whole file; {label}"]
        if rewritten:
            self.notes.append(f"texts whose <br /> became a space: {rewritten:,}")


def files_in(folder: Path) -> list[Path]:
    """Return the files right in a folder, hidden ones left out, in the order of their names."""
    return sorted(path for path in folder.iterdir() if path.is_file() and not path.name.startswith("."))


def label_folders(folder: Path) -> dict[str, Path]:
    """Return the folder of each label: folders with files in them, where there are two or more; else nothing."""
    inner = [path for path in sorted(folder.iterdir()) if path.is_dir() and path.name != UNLABELLED]
    filled = {path.name: path for path in inner if files_in(path)}
    return filled if len(filled) > 1 else {}
