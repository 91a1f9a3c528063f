"""Reads sentences and labels from text, TSV, CSV, JSON and Parquet files, one or many, compressed or not.

Files are read some lines at a time, so they may be larger than memory. Tables and records are parsed by Python's
`csv` and `json`, because errors can then give the row number at once, and standard input cannot be read twice.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from itertools import chain
from pathlib import Path

import numpy as np

from sritool.data.blocks import NO_WORD, lines_of, name_of, read_blocks, text_blocks
from sritool.data.columns import header_in
from sritool.data.csv_parquet import parse_csv, parse_tsv, read_parquet
from sritool.data.fields import FieldNames, some_of
from sritool.data.file_names import FORMATS, form_of, list_folder
from sritool.data.json_records import is_json_object, parse_json
from sritool.data.plain_labels import parse_labelled
from sritool.data.sentences import Chunk, Sentences, StreamedSentences, in_chunks, in_memory
from sritool.errors import DataError, UsageError

_JUDGED = 10  # lines of a text that tell whether it is a table or JSON


def read_files(
    paths: Sequence[Path],
    form: str | None = None,
    names: FieldNames | None = None,
    recognise: bool = False,
    file_labels: Sequence[str] = (),
) -> StreamedSentences:
    """Return the sentences of one or more files.

    Reading raises a DataError if a file is missing, empty, not UTF-8 or not in its format.

    Args:
        paths: The files, ``-`` for standard input.
        form: One of `FORMATS`; None: by each file's ending.
        names: Columns or keys of text and label; None: the usual names.
        recognise: Whether to look for labels inside the lines of plain text.
        file_labels: The label of each file, if each file holds the sentences of one label.
    """
    where = ", ".join(map(name_of, paths[:3])) + (", …" if len(paths) > 3 else "")

    def read() -> Iterator[Chunk]:
        labelled: bool | None = None
        for place, path in enumerate(paths):
            for chunk in _chunks_of_file(path, form, names or FieldNames(), recognise):
                if file_labels:
                    description = f"label: the file ({', '.join(dict.fromkeys(file_labels))})"
                    labels = [file_labels[place]] * len(chunk.texts)
                    chunk = chunk._replace(labels=labels, description=description)
                if labelled is not None and labelled != (chunk.labels is not None):
                    has = "no labels" if labelled else f"labels ({chunk.description})"
                    advice = "give --no-labels, or such files alone"
                    raise DataError(f"{path} has {has}, unlike the files before it; {advice}")
                labelled = chunk.labels is not None
                yield chunk

    return StreamedSentences(where, read)


def read_folders(folders: Mapping[str, Path], labelled: bool = True) -> StreamedSentences:
    """Return the texts in one folder per label (``train/pos``, ``train/neg``), where each file is one text.

    Unless `labelled`, labels are left out, and each line is a sentence. Reading raises a DataError if a file is
    binary or not UTF-8.
    """
    description = "text: each line of the files in folders; no labels"
    if labelled:
        description = f"text: each whole file; label: the folder ({', '.join(folders)})"

    def pairs() -> Iterator[tuple[str, str]]:
        for label, folder in folders.items():
            for path in list_folder(folder):
                lines = lines_in(path)
                yield from ((text, label) for text in ([" ".join(lines)] if labelled else lines))

    def read() -> Iterator[Chunk]:
        return in_chunks(pairs(), labelled, description)

    return StreamedSentences(str(next(iter(folders.values())).parent), read)


def read_sentences(path: Path, form: str | None = None, names: FieldNames | None = None) -> Sentences:
    """Read the sentences of one file into memory; arguments and errors as in `read_files`.

    Without `names`, errors do not advise to name columns.
    """
    return in_memory(read_files([path], form, names or FieldNames(by_option=False)).chunks())


def read_labelled(path: Path, form: str | None = None, names: FieldNames | None = None) -> Sentences:
    """Read like `read_sentences`, but take plain text with a tab in its first line for ``label<TAB>text``."""
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
        DataError: The file cannot be read, or is empty, binary or not UTF-8; the message names the line and byte.
    """
    return b"".join(text_blocks(read_blocks(path), name_of(path))).decode()


def parse(blocks: Iterable[bytes], where: str, form: str, names: FieldNames) -> Iterator[Chunk]:
    """Yield the sentences in a file's bytes, in any format but Parquet; the sizes of the blocks do not matter.

    Raises:
        UsageError: The format does not exist.
        DataError: The bytes are empty, not UTF-8 or not in that format.
    """
    parser = _PARSERS.get(form)
    if parser is None:
        raise UsageError(f"no input format {form!r}; choose one of {', '.join(FORMATS)}")
    return parser(text_blocks(blocks, where, returns_end_lines=form == "csv"), where, names)


def _chunks_of_file(path: Path, form: str | None, names: FieldNames, recognise: bool) -> Iterator[Chunk]:
    guessed, form = form is None, form_of(path, form)
    if form == "parquet":
        return read_parquet(path, names)
    found = parse(read_blocks(path), name_of(path), form, names)
    if form != "text" or not recognise:
        return found
    if guessed:
        found = _as_sentences(found, name_of(path))
    return parse_labelled(found, name_of(path)) if names.labels else found


def _as_sentences(chunks: Iterator[Chunk], where: str) -> Iterator[Chunk]:
    """Yield the lines of plain text.

    Raises:
        DataError: The first lines are JSON objects, or the first one is the header of a table.
    """
    first = next(chunks)
    lines = [line for line in first.texts[:_JUDGED].to_pylist() if line.strip()]
    found = ""
    if lines and all(map(is_json_object, lines)):
        found, form = "has a JSON object on each line", "jsonl"
    elif lines and (header := header_in(lines[0])):
        found, form = (
            f"begins with the header of a table ({some_of(header)})",
            "tsv" if "\t" in lines[0] else "csv",
        )
    if found:
        raise DataError(f"{where} {found}; give --input-format {form}, or --input-format text for plain text")
    yield from chain([first], chunks)


def lines_in(path: Path) -> list[str]:
    """Return the lines of a file of plain text; it may be empty.

    Raises:
        DataError: The file cannot be read, is binary or not UTF-8.
    """
    data = b"".join(read_blocks(path))
    return [*lines_of(text_blocks([data], str(path)))] if data.strip(NO_WORD) else [""]


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
