"""The Arrow files of a stored split: written as ``datasets`` does, and read as if a stranger had made them."""

from __future__ import annotations

import json
import struct
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from sritool.data.arrow_arrays import array_of, lists_of, values_of
from sritool.data.corpus_info import CorpusInfo, SplitInfo
from sritool.data.split import Split
from sritool.data.tokenizer import EOS, FIRST_PREDICTED, IdArray, OffsetArray, offsets_of

MOST_IN_CHUNK = 2**31 - 1  # ids in one Arrow array of lists, which counts them in 32 bits
SPLIT_FILE = "data-00000-of-00001.arrow"


def write_split(folder: Path, split: Split, info: CorpusInfo) -> None:
    """Write a split into a new folder, as ``datasets`` saves it; its own way takes longer than all else.

    Args:
        folder: Where it goes.
        split: What is written.
        info: What the corpus is.

    Raises:
        OSError: It cannot be written.
    """
    import pyarrow as pa

    columns: dict[str, Any] = {"ids": _lists(split.ids, split.offsets)}
    features: dict[str, Any] = {"ids": {"feature": {"dtype": "int32", "_type": "Value"}, "_type": "List"}}
    if split.labels is not None:
        columns["label"] = array_of(split.labels)
        features["label"] = {"names": [*info.labels], "_type": "ClassLabel"}
    if info.tokenizer != "word":  # there every token is a word
        columns["words"] = array_of(split.words)
        features["words"] = {"dtype": "int64", "_type": "Value"}
    table = pa.table(columns)
    folder.mkdir()
    with pa.OSFile(str(folder / SPLIT_FILE), "wb") as file, pa.ipc.new_stream(file, table.schema) as stream:
        stream.write_table(table)
    about = {"citation": "", "description": "", "features": features, "homepage": "", "license": ""}
    write_json(folder / "dataset_info.json", about)
    state: dict[str, Any] = {
        "_data_files": [{"filename": SPLIT_FILE}],
        "_fingerprint": f"{info.content_hash[:16]}-{folder.name}",
        "_split": None,
        "_format_columns": None,
        "_format_kwargs": {},
        "_format_type": None,
        "_output_all_columns": False,
    }
    write_json(folder / "state.json", state)


def write_json(path: Path, values: Mapping[str, Any]) -> None:
    """Write values as one line of JSON."""
    path.write_text(json.dumps(values, ensure_ascii=False) + "\n", encoding="utf-8")


def _lists(ids: IdArray, offsets: OffsetArray) -> Any:
    """Return sentences as Arrow lists, in chunks."""
    import pyarrow as pa

    chunks = []
    begin, end = 0, len(offsets) - 1
    while begin < end:
        next_begin = int(np.searchsorted(offsets, offsets[begin] + MOST_IN_CHUNK, side="right")) - 1
        bounds = offsets[begin : next_begin + 1]
        starts = array_of((bounds - bounds[0]).astype(np.int32))
        chunks.append(pa.ListArray.from_arrays(starts, array_of(ids[bounds[0] : bounds[-1]])))
        begin = next_begin
    return pa.chunked_array(chunks, type=pa.list_(pa.int32()))


def read_split(files: Sequence[Path], counts: SplitInfo, types: int, labels: int) -> Split:
    """Read a split: views of its file where that has one batch.

    Args:
        files: Its Arrow files, in order.
        counts: What ``corpus.json`` says of it.
        types: Number of word ids.
        labels: Number of labels.

    Raises:
        OSError: A file cannot be read.
        ValueError: There is no file, one is not as we write it, or there is something that no text becomes.
    """
    import pyarrow as pa

    if not files:
        raise ValueError("it has no .arrow file")
    try:
        split = _split_of(pa.concat_tables([_read_table(file) for file in files]))
    except (struct.error, pa.ArrowException) as error:
        raise ValueError(str(error)) from error
    _check_split(split, counts, types, labels)
    split.ids.flags.writeable = False
    return split


def _split_of(table: Any) -> Split:
    lists = [lists_of(chunk, np.int32) for chunk in table.column("ids").chunks]
    lists = lists or [(np.zeros(0, np.int32), np.zeros(0, np.int64))]
    ids = lists[0][0] if len(lists) == 1 else np.concatenate([flat for flat, _ in lists])
    offsets = offsets_of(np.concatenate([lengths for _, lengths in lists]))
    numbers = {
        name: np.concatenate(
            [np.zeros(0, np.int64), *(values_of(chunk, np.int64) for chunk in table.column(name).chunks)]
        )
        for name in table.column_names
        if name != "ids"
    }
    return Split(ids, offsets, numbers.get("label"), numbers.get("words", np.diff(offsets)))


def _read_table(file: Path) -> Any:
    """Map one Arrow file. What the library would unpack, or leave unchecked, is refused."""
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
                raise ValueError("it has other columns than ids, label and words, or other types")
            table = stream.read_all()
    table.validate(full=True)
    if table.column("ids").null_count:
        raise ValueError("a sentence is missing")
    return table


def _names_codec(batch: bytes) -> bool:
    """Whether the description of a record batch names a codec: how large the data would become, it says alone.

    The library unpacks such a batch before anyone can ask for its size. The description is a FlatBuffers table
    (Arrow's format/Message.fbs), which begins with the distance to the list of places of its fields.
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
        raise ValueError("it holds other numbers of sentences than corpus.json says")
    if not len(split) or split.lengths.min() < 1:
        raise ValueError("it holds an empty sentence, or none at all")
    if not FIRST_PREDICTED <= int(split.ids.min()) <= int(split.ids.max()) < types:
        raise ValueError("it holds ids outside the vocabulary")
    last = split.offsets[1:] - 1
    if not np.array_equal(np.flatnonzero(split.ids == EOS), last[split.ids[last] == EOS]):
        raise ValueError("it holds a sentence that goes on after its end")
    if split.labels is not None and not 0 <= int(split.labels.min()) <= int(split.labels.max()) < labels:
        raise ValueError("it holds labels that corpus.json does not name")
    if int(split.words.min()) < 0 or int(split.words.max()) >= 1 << 31:
        raise ValueError("it holds absurd counts of words")
