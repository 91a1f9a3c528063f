"""Sentences and labels out of text, TSV, CSV, JSON and Parquet files, one or many, compressed or not.

Files are read some lines at a time, so that one larger than memory can be prepared. Python's `csv` and `json` read
tables and records, because a wrong row can be named by its number at once, and standard input cannot be read twice.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from sritool.data.blocks import name_of, read_blocks, text_blocks
from sritool.data.csv_parquet import parse_csv, parse_tsv, read_parquet
from sritool.data.fields import FieldNames
from sritool.data.json_records import parse_json
from sritool.data.normalise import rewritten_notes, unescaped
from sritool.data.plain_labels import parse_labelled
from sritool.data.sentences import Chunk, Sentences, in_memory
from sritool.errors import DataError, UsageError

FORMATS = ("text", "tsv", "csv", "jsonl", "parquet")
COMPRESSED = (".gz", ".bz2", ".xz", ".zst")
_BY_SUFFIX = {
    ".tsv": "tsv",
    ".csv": "csv",
    ".jsonl": "jsonl",
    ".ndjson": "jsonl",
    ".json": "jsonl",
    ".parquet": "parquet",
}
SUFFIXES = (".txt", *_BY_SUFFIX)


@dataclass(frozen=True)
class FileSplit:
    """The sentences of one or more files, ``-`` for standard input, read anew each time that they are asked for.

    Attributes:
        paths: The files.
        form: One of `FORMATS`; None: by each file's ending.
        names: Where tables and objects keep text and label.
        recognise: Whether labels inside the lines of plain text are looked for.
        file_labels: The label of each file, where a file holds the sentences of one label.
        notes: What was taken as what, once all has been read.
    """

    paths: tuple[Path, ...]
    form: str | None = None
    names: FieldNames = field(default_factory=FieldNames)
    recognise: bool = False
    file_labels: tuple[str, ...] = ()
    notes: list[str] = field(default_factory=list, compare=False)

    @property
    def where(self) -> str:
        """What errors call them."""
        return ", ".join(map(name_of, self.paths[:3])) + (", …" if len(self.paths) > 3 else "")

    def chunks(self) -> Iterator[Chunk]:
        """Yield all sentences in order, some at a time.

        Raises:
            DataError: There is no such file, or it is empty, not UTF-8 or not of its form.
        """
        labelled: bool | None = None
        taken: dict[str, None] = {}
        rewritten = [0, 0]  # of forms with escapes, and of others
        for place, path in enumerate(self.paths):
            form = form_of(path, self.form)
            for chunk in self._chunks_of(path, form):
                if self.file_labels:
                    chunk = chunk._replace(labels=[self.file_labels[place]] * len(chunk.texts))
                if labelled is not None and labelled != (chunk.labels is not None):
                    raise DataError(
                        f"{path} has {'no ' if labelled else ''}labels, unlike the files before it; "
                        "give such files alone"
                    )
                labelled = chunk.labels is not None
                if chunk.description:
                    taken[chunk.description] = None
                plain = form not in ("csv", "tsv")
                texts, changed = unescaped(chunk.texts, plain)
                rewritten[plain] += changed
                yield chunk._replace(texts=texts)
        if self.file_labels:
            taken[f"label: the file ({', '.join(dict.fromkeys(self.file_labels))})"] = None
        self.notes[:] = [*taken, *rewritten_notes(rewritten[0], False), *rewritten_notes(rewritten[1], True)]

    def _chunks_of(self, path: Path, form: str) -> Iterator[Chunk]:
        if form == "parquet":
            return read_parquet(path, self.names)
        found = parse(read_blocks(path), name_of(path), form, self.names)
        if form != "text" or self.file_labels:
            return found
        return parse_labelled(found, name_of(path), self.recognise and self.names.labels)


def read_sentences(path: Path, form: str | None = None, names: FieldNames | None = None) -> Sentences:
    """Read the sentences of one file into memory.

    Args:
        path: The file; ``-`` for standard input.
        form: One of `FORMATS`; None: by the file's ending.
        names: Where tables and objects keep text and label; None: under the usual names.

    Raises:
        DataError: There is no such file, or it is empty, not UTF-8 or not of that form.
    """
    return in_memory(FileSplit((path,), form, names or FieldNames()).chunks())


def read_labelled(path: Path, form: str | None = None, names: FieldNames | None = None) -> Sentences:
    """Read the sentences of one file into memory; plain text with a tab in its first line is ``label<TAB>text``.

    Arguments and errors are those of `read_sentences`.
    """
    form, names = form_of(path, form), names or FieldNames()
    if form != "text":
        return read_sentences(path, form, names)
    blocks = [*read_blocks(path)]
    if blocks and b"\t" in blocks[0].partition(b"\n")[0]:
        form = "tsv"
    return in_memory(parse(blocks, name_of(path), form, names))


def read_text(path: Path) -> str:
    """Return a file's text.

    Raises:
        DataError: It cannot be read, or is empty, binary or not UTF-8; the message names the line and byte.
    """
    return b"".join(text_blocks(read_blocks(path), name_of(path))).decode()


def form_of(path: Path, form: str | None = None) -> str:
    """Return the format of a file: the one asked for, or else the one that its ending tells, or else plain text."""
    return form or _BY_SUFFIX.get(suffix_of(path), "text")


def suffix_of(path: Path) -> str:
    """Return a file's ending in small letters, without that of its compression: ``.tsv`` of ``train.tsv.gz``."""
    suffixes = [suffix.lower() for suffix in path.suffixes]
    if suffixes and suffixes[-1] in COMPRESSED:
        suffixes.pop()
    return suffixes[-1] if suffixes else ""


def parse(blocks: Iterable[bytes], where: str, form: str, names: FieldNames) -> Iterator[Chunk]:
    """Yield the sentences of a file's bytes, some at a time; the same whatever the sizes of the blocks.

    Args:
        blocks: The bytes.
        where: What errors call the file.
        form: One of `FORMATS`, but for Parquet.
        names: Where tables and objects keep text and label.

    Raises:
        DataError: They are empty, not UTF-8 or not of that form.
    """
    parser = _PARSERS.get(form)
    if parser is None:
        raise UsageError(f"no input format {form!r}; choose one of {', '.join(FORMATS)}")
    return parser(text_blocks(blocks, where, returns_end_lines=form == "csv"), where, names)


def _parse_text(blocks: Iterable[bytes], where: str, names: FieldNames) -> Iterator[Chunk]:
    """Yield the lines of plain text."""
    import pyarrow as pa
    import pyarrow.compute as pc

    for data in blocks:
        ends = np.flatnonzero(np.frombuffer(data, np.uint8) == ord("\n")) + 1
        if not data.endswith(b"\n"):
            ends = np.append(ends, len(data))
        offsets = np.concatenate(([0], ends)).astype(np.int32)
        lines = pa.StringArray.from_buffers(len(ends), pa.py_buffer(offsets), pa.py_buffer(data))
        yield Chunk(pc.ascii_rtrim(lines, "\n"), None)


_PARSERS: dict[str, Callable[[Iterable[bytes], str, FieldNames], Iterator[Chunk]]] = {
    "text": _parse_text,
    "tsv": parse_tsv,
    "csv": parse_csv,
    "jsonl": parse_json,
}
