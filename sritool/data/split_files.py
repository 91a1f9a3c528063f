"""The Arrow files of a stored split: written as by ``datasets``, and read as untrusted input."""

from __future__ import annotations

import json
import struct
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from sritool.data.arrays import array_of, joined, pieces_of, values_of
from sritool.data.corpus_info import CorpusInfo, SplitInfo
from sritool.data.split import Split
from sritool.data.tokenizer import EOS, FIRST_PREDICTED, offsets_of

SHARD = 1 << 25  # ids per file, 128 MB; a file holds whole sentences, so it may slightly exceed this


class SplitFiles:
    """Writes the files of one split: shards when they are ready, and the metadata files at the end.

    The format is that of ``datasets``, whose own writer would take longer than all other steps.
    """

    def __init__(self, folder: Path) -> None:
        """Create the folder. Raises: OSError if it cannot be created."""
        self._folder = folder
        self._shards: list[Path] = []
        self._columns: list[str] = []
        folder.mkdir()

    def __len__(self) -> int:
        return len(self._shards)

    def add(self, shard: Split) -> None:
        """Write some sentences as the next shard. Raises: OSError if it cannot be written."""
        import pyarrow as pa

        starts = array_of(np.asarray(shard.offsets).astype(np.int32))
        columns: dict[str, Any] = {"ids": pa.ListArray.from_arrays(starts, array_of(shard.ids))}
        if shard.labels is not None:
            columns["label"] = array_of(shard.labels)
        if shard.word_counts is not None:
            columns["words"] = array_of(shard.word_counts)
        table = pa.table(columns)
        path = self._folder / f"data-{len(self._shards):05d}.arrow"
        with pa.OSFile(str(path), "wb") as file, pa.ipc.new_stream(file, table.schema) as stream:
            stream.write_table(table)
        self._shards.append(path)
        self._columns = table.column_names

    def split(self) -> Split:
        """Return the sentences written so far, as views of the files."""
        return _split_of([_read_table(path) for path in self._shards])

    def finish(self, info: CorpusInfo) -> None:
        """Give the shards their final names, and write the metadata. Raises: OSError if this fails."""
        names = [f"data-{number:05d}-of-{len(self._shards):05d}.arrow" for number in range(len(self._shards))]
        for path, name in zip(self._shards, names, strict=True):
            path.rename(path.with_name(name))
        feature_of = {
            "ids": {"feature": {"dtype": "int32", "_type": "Value"}, "_type": "List"},
            "label": {"names": [*info.labels], "_type": "ClassLabel"},
            "words": {"dtype": "int64", "_type": "Value"},
        }
        features = {name: feature_of[name] for name in self._columns}
        about = {"citation": "", "description": "", "features": features, "homepage": "", "license": ""}
        write_json(self._folder / "dataset_info.json", about)
        state: dict[str, Any] = {
            "_data_files": [{"filename": name} for name in names],
            "_fingerprint": f"{info.content_hash[:16]}-{self._folder.name}",
            "_split": None,
            "_format_columns": None,
            "_format_kwargs": {},
            "_format_type": None,
            "_output_all_columns": False,
        }
        write_json(self._folder / "state.json", state)


def write_json(path: Path, values: Mapping[str, Any]) -> None:
    """Write values as one line of JSON."""
    path.write_text(json.dumps(values, ensure_ascii=False) + "\n", encoding="utf-8")


def read_split(files: Sequence[Path], counts: SplitInfo, types: int, labels: int) -> Split:
    """Read a split with this many `types` of ids and `labels`, as views of its Arrow files that may exceed memory.

    Raises:
        OSError: A file cannot be read.
        ValueError: There is no file, a file is not in our format, or its values cannot come from text.
    """
    import pyarrow as pa

    if not files:
        raise ValueError("it has no .arrow file")
    try:
        split = _split_of([_read_table(file) for file in files])
    except (struct.error, pa.ArrowException) as error:
        raise ValueError(str(error)) from error
    _check_split(split, counts, types, labels)
    return split


def _split_of(tables: Sequence[Any]) -> Split:
    """Return the rows of some tables as one split.

    Raises: ValueError if their columns differ.
    """
    names = tables[0].column_names
    if any(table.column_names != names for table in tables):
        raise ValueError("its files have different columns")
    lists = [chunk for table in tables for chunk in table.column("ids").chunks if len(chunk)]
    ids = [values_of(chunk.flatten(), np.int32) for chunk in lists]
    starts = [values_of(chunk.offsets, np.int32) for chunk in lists]
    begins = offsets_of([len(part) for part in ids])[:-1].tolist()
    shifts = [begin - int(start[0]) for begin, start in zip(begins, starts, strict=True)]
    ends = [start[:-1] for start in starts[:-1]] + starts[-1:] or [np.zeros(1, np.int32)]
    numbers = {  # plain arrays
        name: joined(
            [values_of(chunk, np.int64) for table in tables for chunk in table.column(name).chunks], np.int64
        )[:]
        for name in names
        if name != "ids"
    }
    offsets = joined(ends, np.int64, shifts or [0])
    return Split(joined(ids, np.int32), offsets, numbers.get("label"), numbers.get("words"))


def _read_table(file: Path) -> Any:
    """Map one Arrow file; refuse content that the library would decompress, or not check."""
    import pyarrow as pa

    kinds = {"ids": pa.list_(pa.int32()), "label": pa.int64(), "words": pa.int64()}
    with pa.memory_map(str(file)) as data:
        for message in pa.ipc.MessageReader.open_stream(data):
            if message.type == "record batch" and _names_codec(message.metadata.to_pybytes()):
                raise ValueError("it is compressed, and was not unpacked")
            if message.type not in ("schema", "record batch"):
                raise ValueError(f"it holds a {message.type}")
        data.seek(0)
        with pa.ipc.open_stream(data) as stream:
            names, types = stream.schema.names, {field.name: field.type for field in stream.schema}
            ours = {name: kinds.get(name) for name in names}
            if "ids" not in names or len(types) < len(names) or types != ours:
                raise ValueError("it has columns other than ids, label and words, or of other types")
            table = stream.read_all()
    table.validate(full=True)
    if table.column("ids").null_count:
        raise ValueError("a sentence is missing")
    return table


def _names_codec(batch: bytes) -> bool:
    """Whether the metadata of a record batch names a codec; only the batch itself says how large it is unpacked.

    The library decompresses such a batch before its size can be checked. The metadata is a FlatBuffers table (Arrow's
    format/Message.fbs), which begins with the offset of the list of its fields' places.
    """

    def field(table: int, number: int) -> int:
        places = table - struct.unpack_from("<i", batch, table)[0]
        size, place = struct.unpack_from("<H", batch, places)[0], 4 + 2 * number
        return int(table + struct.unpack_from("<H", batch, places + place)[0]) if place < size else table

    def follow(place: int) -> int:
        return int(place + struct.unpack_from("<I", batch, place)[0])

    message = follow(0)
    header = follow(field(message, 2))
    return field(header, 3) != header


def _check_split(split: Split, counts: SplitInfo, types: int, labels: int) -> None:
    if len(split) != counts.sentences or split.predictions != counts.predictions:
        raise ValueError("its numbers of sentences and predictions are not those in corpus.json")
    if not len(split) or split.lengths.min() < 1:
        raise ValueError("it holds an empty sentence, or none at all")
    ends = 0
    for piece in pieces_of(split.ids):
        if not FIRST_PREDICTED <= piece.min() <= piece.max() < types:
            raise ValueError("it holds ids outside the vocabulary")
        ends += int(np.count_nonzero(piece == EOS))
    if ends != np.count_nonzero(split.ended):
        raise ValueError("it holds a sentence that goes on after its end")
    if split.labels is not None and not 0 <= split.labels.min() <= split.labels.max() < labels:
        raise ValueError("it holds labels that corpus.json does not name")
    counted = split.word_counts
    if counted is not None and not 0 <= counted.min() <= counted.max() < 1 << 31:
        raise ValueError("its word counts are out of range")
