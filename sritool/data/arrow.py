"""The columns of an Arrow file that somebody else may have made: nothing is unpacked, and every claim is checked.

The Arrow library maps the file and hands out views of it. What it would take memory for, or leave to its reader to
check, is refused first: compressed or dictionary-encoded data, other types than ours, offsets that lie.
"""

from __future__ import annotations

import struct
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

Int32s = npt.NDArray[np.int32]
Int64s = npt.NDArray[np.int64]

_HEADER, _COMPRESSION = 2, 3  # fields of a Message, and of the RecordBatch in it (Arrow's format/Message.fbs)


class Columns(NamedTuple):
    """Columns of a split, views of its file where it has one batch."""

    ids: Int32s  # of all sentences in a row  [ids]
    lengths: Int64s  # ids of each sentence  [sentences]
    label: Int64s | None  # [sentences]
    words: Int64s | None  # [sentences]


def read_columns(files: list[Path]) -> Columns:
    """The columns of a split's files, one after another.

    Raises: ValueError, OSError or pyarrow.ArrowException if there is none or anything in one is not as we write it.
    """
    import pyarrow as pa

    tables = [_read_table(file) for file in files]
    if not tables:
        raise ValueError("it has no .arrow file")
    table = pa.concat_tables(tables)
    if table.column("ids").null_count:
        raise ValueError("a sentence is missing")
    chunks = table.column("ids").chunks
    ids = [_as_numpy(chunk.flatten(), np.int32) for chunk in chunks]
    lengths = [np.diff(_as_numpy(chunk.offsets, np.int32)) for chunk in chunks]
    return Columns(
        ids[0] if len(ids) == 1 else np.concatenate([np.zeros(0, np.int32), *ids]),
        np.concatenate([np.zeros(0, np.int64), *lengths]),
        _column(table, "label"),
        _column(table, "words"),
    )


def _read_table(file: Path) -> Any:
    import pyarrow as pa

    kinds = {"ids": pa.list_(pa.int32()), "label": pa.int64(), "words": pa.int64()}
    with pa.memory_map(str(file)) as data:
        schema = pa.ipc.open_stream(data).schema
        names = schema.names
        if "ids" not in names or len(set(names)) != len(names) or not set(names) <= kinds.keys():
            raise ValueError("it has other columns than ids, label and words")
        if any(field.type != kinds[field.name] for field in schema):
            raise ValueError("a column has another type")
        data.seek(0)
        for message in pa.ipc.MessageReader.open_stream(data):
            if message.type == "record batch" and _is_compressed(message.metadata.to_pybytes()):
                raise ValueError("it is compressed, and was not unpacked")
            if message.type not in ("schema", "record batch"):
                raise ValueError(f"it holds a {message.type}")
        data.seek(0)
        table = pa.ipc.open_stream(data).read_all()
    table.validate(full=True)
    return table


def _is_compressed(message: bytes) -> bool:
    """Whether a RecordBatch says that its buffers are compressed; how large they would become, it says alone."""
    root = _unsigned(message, 0)
    header = _place(message, root, _HEADER)
    if not header:
        raise ValueError("a batch has no description")
    return bool(_place(message, header + _unsigned(message, header), _COMPRESSION))


def _place(message: bytes, table: int, field: int) -> int:
    """Where a field of a FlatBuffers table is, 0 if it is left out."""
    (back,) = struct.unpack_from("<i", message, table)
    fields = table - back
    (size,) = struct.unpack_from("<H", message, fields)
    if fields < 0 or size < 6 + 2 * field:
        return 0
    (offset,) = struct.unpack_from("<H", message, fields + 4 + 2 * field)
    return table + int(offset) if offset else 0


def _unsigned(message: bytes, place: int) -> int:
    return int(struct.unpack_from("<I", message, place)[0])


def _column(table: Any, name: str) -> Int64s | None:
    if name not in table.column_names:
        return None
    chunks = [_as_numpy(chunk, np.int64) for chunk in table.column(name).chunks]
    return np.concatenate([np.zeros(0, np.int64), *chunks])


def _as_numpy(array: Any, dtype: type[np.generic]) -> npt.NDArray[Any]:
    """The values of an Arrow array without a copy. Its own ``to_numpy`` would import pandas: 0.3 s."""
    if array.null_count:
        raise ValueError("a column has missing values")
    if not len(array):
        return np.zeros(0, dtype)
    return np.frombuffer(array.buffers()[1], dtype=dtype)[array.offset : array.offset + len(array)]
