"""Sentences out of text, TSV, CSV and JSONL files, with errors that name file, line and what to do.

Files are read some lines at a time, so that one larger than memory can be prepared. What text is:
``sritool.data.textblocks``.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from sritool.data.columns import Columns, lines_of
from sritool.data.jsonlines import parse_jsonl
from sritool.data.raw import RawSplit, gathered
from sritool.data.tables import parse_csv, parse_tsv
from sritool.data.textblocks import decoded, name_of, read_blocks
from sritool.errors import UsageError

FORMATS = ("text", "tsv", "csv", "jsonl")
_BY_SUFFIX = {".tsv": "tsv", ".csv": "csv", ".jsonl": "jsonl", ".ndjson": "jsonl", ".json": "jsonl"}


@dataclass(frozen=True)
class FileSplit:
    """The sentences of one file, ``-`` for standard input, read anew each time that they are asked for."""

    path: Path
    form: str | None = None  # by the file's ending
    columns: Columns = field(default_factory=Columns)

    @property
    def where(self) -> str:
        """What errors call it."""
        return name_of(self.path)

    def chunks(self) -> Iterator[RawSplit]:
        """All sentences in order, some at a time.

        Raises: DataError if there is no such file, or it is empty, not UTF-8 or not of its form.
        """
        return parsed(read_blocks(self.path), self.where, form_of(self.path, self.form), self.columns)

    @property
    def texts(self) -> Sequence[str]:
        """All sentences, in memory."""
        return gathered(self.chunks()).texts


def read_split(path: Path, form: str | None = None, columns: Columns | None = None) -> RawSplit:
    """Sentences of one file, ``-`` for standard input; the form follows from the file's ending unless given.

    Raises: DataError if there is no such file, or it is empty, not UTF-8 or not of that form.
    """
    return gathered(FileSplit(path, form, columns or Columns()).chunks())


def form_of(path: Path, form: str | None = None) -> str:
    """The form asked for, or else the one that the file's ending tells, or else plain text."""
    return form or _BY_SUFFIX.get(path.suffix.lower(), "text")


def parse(data: bytes, where: str, form: str = "text", columns: Columns | None = None) -> RawSplit:
    """Sentences of a file's bytes. ``where`` names it in errors; forms are those of ``FORMATS``."""
    return gathered(parsed([data], where, form, columns or Columns()))


def parsed(blocks: Iterable[bytes], where: str, form: str, columns: Columns) -> Iterator[RawSplit]:
    """Sentences of a file's bytes, some at a time; the same whatever the sizes of the blocks."""
    parser = _PARSERS.get(form)
    if parser is None:
        raise UsageError(f"no input format {form!r}; choose one of {', '.join(FORMATS)}")
    return parser(decoded(blocks, where, returns_end_lines=form == "csv"), where, columns)


def decode(data: bytes, where: str) -> str:
    """Bytes of a file as text.

    Raises: DataError if it is empty, binary or not UTF-8; the message names the line and byte.
    """
    return "".join(decoded([data], where))


def read_bytes(path: Path) -> bytes:
    """A file's bytes.

    Raises: UsageError if it is a folder; DataError if there is no such file, or it cannot be read.
    """
    return b"".join(read_blocks(path))


def _parse_text(pieces: Iterable[str], where: str, columns: Columns) -> Iterator[RawSplit]:
    for text in pieces:
        yield RawSplit(lines_of(text))


_PARSERS: dict[str, Callable[[Iterable[str], str, Columns], Iterator[RawSplit]]] = {
    "text": _parse_text,
    "tsv": parse_tsv,
    "csv": parse_csv,
    "jsonl": parse_jsonl,
}
