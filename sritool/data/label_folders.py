"""Folders with a file for each text and a folder for each label: ``train/pos/0.txt``, ``test/neg/1.txt``."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from sritool.data.blocks import NO_WORD, read_blocks, text_blocks
from sritool.data.fields import chunk_of
from sritool.data.normalise import rewritten_notes, unescaped
from sritool.data.sentences import Chunk
from sritool.data.split_names import folders_in, list_folder

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
            DataError: A file is binary or not UTF-8.
        """
        rewritten = 0
        for label, folder in self.folders.items():
            paths = list_folder(folder)
            for begin in range(0, len(paths), _FILES):
                part = paths[begin : begin + _FILES]
                whole = chunk_of([_text_of(path) for path in part], None)
                texts, changed = unescaped(whole.texts, plain=True)
                rewritten += changed
                yield Chunk(texts, [label] * len(part) if self.labelled else None)
        label = f"label: the folder ({', '.join(self.folders)})" if self.labelled else "no labels"
        self.notes[:] = [f"text: each whole file; {label}", *rewritten_notes(rewritten, plain=True)]


def _text_of(path: Path) -> str:
    """Return a file's text on one line; it may have no word."""
    data = b"".join(read_blocks(path))
    blocks = text_blocks([data], str(path)) if data.strip(NO_WORD) else ()
    return b"".join(blocks).decode().replace("\n", " ")


def label_folders(folder: Path) -> dict[str, Path]:
    """Return the folder of each label: folders with files in them, where there are two or more; else nothing."""
    filled = {path.name: path for path in folders_in(folder) if path.name != UNLABELLED and list_folder(path)}
    return filled if len(filled) > 1 else {}
