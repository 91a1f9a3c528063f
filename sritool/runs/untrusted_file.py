"""Plain values and tensors in one file that a stranger may have made.

`torch.save` writes the file, and a line with the SHA-256 of all bytes before it ends the file.
`torch.load(path, weights_only=True)` opens it like any other file of torch.

That loader runs no code from a file, but it notices no damage and sets no bounds: a few hundred bytes can make it
allocate gigabytes or hash for years. So three things are checked before it sees anything (the digest, the entries of
the archive, the order of the pickle's instructions), and what it returns is checked after.
"""

from __future__ import annotations

import hashlib
import io
import os
import re
import struct
import zipfile
from collections.abc import Mapping
from pickle import UnpicklingError
from typing import IO, Any, BinaryIO, cast

import torch
from torch import Tensor

from sritool.errors import quoted
from sritool.runs.pickle_grammar import RefusedError, check_instructions

DIGEST_MARK = b"sritool sha256 "
"""Stands before the 64 hexadecimal digits that end a file."""

_DIGITS = 64
_CHUNK = 1 << 20
# Of an archive: mark, disks, entries, directory's size and place, comment.
_LAST_RECORD = struct.Struct("<4s4H2LH")
_ELSEWHERE = 0xFFFFFFFF  # the place is in the record for archives of more than 4 GB
_RECORDS_64 = 56 + 20  # bytes of that record and of the one that tells where it is; torch always writes them
_FLAGS = 0x808  # an entry's sizes are repeated behind it; names are UTF-8
_MOST_ENTRIES = 10_000
_ENTRY = re.compile(
    r"data\.pkl|version|byteorder|\.format_version|\.storage_alignment|\.data/serialization_id|data/\d{1,6}"
)
_DEEPEST = 24
_TYPES = (torch.float32, torch.uint8)

# What a file can do to the two parsers. Any other error is one of the program, the installation or the machine.
_DAMAGED_ARCHIVE = (zipfile.BadZipFile, EOFError, NotImplementedError, ValueError, struct.error)
_UNREADABLE = (UnpicklingError, EOFError, LookupError, OverflowError, RuntimeError, TypeError, ValueError)


def save_values(values: Any, file: BinaryIO) -> None:
    """Write nested plain values and tensors, in one pass from the file's beginning to its end.

    Args:
        values: Dictionaries by text or number, lists, tuples of plain values, texts, numbers, None, and tensors of
            float32 or octets.
        file: Where to write; it need not be a file on a disk.

    Raises:
        TypeError: There is something else among the values.
        OSError: The file cannot be written. torch may raise a RuntimeError in its place, with the OSError as context.
    """
    writer = _HashingWriter(file)
    torch.save(_unshared(values), cast(IO[bytes], writer))
    writer.write(DIGEST_MARK)
    file.write(writer.digest.hexdigest().encode("ascii"))


def load_values(file: BinaryIO) -> Any:
    """Read what `save_values` wrote, with tensors on the CPU.

    Takes memory for at most twice the file's size and the values that it really holds.

    Raises:
        RefusedError: The file is damaged, or is anything else than `save_values` writes.
        OSError: It cannot be read.
    """
    size = _check_digest(file)
    archive, program, stored = _copy_entries(file, size)
    check_instructions(program)
    try:
        values = torch.load(archive, map_location="cpu", weights_only=True)
    except _UNREADABLE as error:
        raise RefusedError(f"torch cannot read its values ({quoted(str(error))})") from error
    _check_tensors(_tensors_in(values), stored)
    return values


class _HashingWriter:
    """A file to write to that sums up what goes through."""

    def __init__(self, file: BinaryIO) -> None:
        self.file, self.digest = file, hashlib.sha256()

    def write(self, data: bytes) -> int:
        self.digest.update(data)
        return self.file.write(data)

    def flush(self) -> None:
        self.file.flush()


def _unshared(value: Any) -> Any:
    """A copy of the values in which no list stands in two places and each tensor owns its numbers, on the CPU."""
    if isinstance(value, Tensor) and value.dtype in _TYPES:
        kept = value.detach().cpu().contiguous()
        whole = kept.untyped_storage().nbytes() == kept.numel() * kept.element_size()
        return kept if whole else kept.clone()
    if isinstance(value, Mapping) and all(isinstance(key, str | int) for key in value):
        return {key: _unshared(item) for key, item in value.items()}
    if isinstance(value, list):
        return [_unshared(item) for item in value]
    if isinstance(value, tuple) and not any(
        isinstance(item, list | tuple | Mapping | Tensor) for item in value
    ):
        return tuple(map(_unshared, value))
    for kind in (bool, int, float, str):
        if isinstance(value, kind):
            return kind(value)  # NumPy's numbers are Python's too, but their pickles are not
    if value is None:
        return None
    kind_of = value.dtype if isinstance(value, Tensor) else type(value).__name__
    raise TypeError(f"a checkpoint holds plain values and tensors of float32 or octets, not {kind_of}")


def _check_digest(file: BinaryIO) -> int:
    """Compare the digest; return the number of bytes before the mark."""
    left = file.seek(0, os.SEEK_END) - _DIGITS
    archive = left - len(DIGEST_MARK)
    file.seek(max(0, archive))
    if archive < 0 or file.read(len(DIGEST_MARK)) != DIGEST_MARK:
        raise RefusedError("truncated, or another kind of file")
    told = file.read()
    digest = hashlib.sha256()
    file.seek(0)
    for start in range(0, left, _CHUNK):
        digest.update(file.read(min(_CHUNK, left - start)))
    if told != digest.hexdigest().encode("ascii"):
        raise RefusedError("damaged: its bytes are not those that were written")
    return archive


def _copy_entries(file: BinaryIO, size: int) -> tuple[BinaryIO, bytes, int]:
    """Look at the entries of an archive of `size` bytes; return a copy, its pickle, and its bytes of numbers.

    torch reads the copy. It has a parser of archives of its own, which might see other entries than were looked at.
    """
    copied, program, stored = io.BytesIO(), b"", 0
    try:
        with zipfile.ZipFile(file) as archive, zipfile.ZipFile(copied, "w") as copy:
            entries = archive.infolist()
            _check_last_record(file, size, len(entries), archive.start_dir)
            if len({entry.filename for entry in entries}) != len(entries):
                raise RefusedError("it has two entries of one name")
            if sum(entry.file_size for entry in entries) > size:
                raise RefusedError("its entries claim to be larger than the file")
            for entry in entries:
                content = _content_of(entry, archive)
                name = entry.filename.partition("/")[2]
                program = content if name == "data.pkl" else program
                stored += len(content) if name.startswith("data/") else 0
                copy.writestr(f"archive/{name}", content)
    except RefusedError:
        raise
    except _DAMAGED_ARCHIVE as error:
        raise RefusedError(f"its archive is damaged ({quoted(str(error))})") from error
    copied.seek(0)
    return copied, program, stored


def _check_last_record(file: BinaryIO, size: int, entries: int, place: int) -> None:
    begin = file.seek(size - _LAST_RECORD.size)
    told = _LAST_RECORD.unpack(file.read(_LAST_RECORD.size))
    directory = begin - place
    if (
        told[:5] != (b"PK\5\6", 0, 0, entries, entries)
        or told[5] not in (directory, directory - _RECORDS_64)
        or told[6] not in (place, _ELSEWHERE)
    ):
        raise RefusedError("its directory is damaged")
    if entries > _MOST_ENTRIES:
        raise RefusedError("it has too many entries")


def _content_of(entry: zipfile.ZipInfo, archive: zipfile.ZipFile) -> bytes:
    if entry.compress_type != zipfile.ZIP_STORED or entry.compress_size != entry.file_size:
        raise RefusedError("it is compressed, which torch.save never does, and was not unpacked")
    folder = archive.infolist()[0].filename.partition("/")[0]
    top, _, name = entry.filename.partition("/")
    if entry.flag_bits & ~_FLAGS or top != folder or not _ENTRY.fullmatch(name):
        raise RefusedError("it has entries that torch.save does not write")
    return archive.read(entry)


def _tensors_in(value: Any, levels: int = _DEEPEST) -> list[Tensor]:
    """All tensors among values that are nested in so many levels at most."""
    if not levels:
        raise RefusedError("its values are nested too deep")
    if isinstance(value, Tensor):
        return [value]
    if isinstance(value, dict):
        if not all(type(key) in (str, int) for key in value):
            raise RefusedError("it has a table whose keys are no names")
        value = list(value.values())
    inside = value if isinstance(value, list) else []
    nested = (item for item in inside if isinstance(item, dict | list | Tensor))
    return [tensor for item in nested for tensor in _tensors_in(item, levels - 1)]


def _check_tensors(tensors: list[Tensor], stored: int) -> None:
    """Whether each tensor has exactly the numbers of one entry, in order, and the tensors have all `stored` bytes."""
    owned: dict[int, int] = {}
    for tensor in tensors:
        storage = tensor.untyped_storage()
        if tensor.dtype not in _TYPES or not tensor.is_contiguous():
            raise RefusedError(
                "it has a tensor of another type, or one whose numbers overlap or are out of order"
            )
        if storage.nbytes() != tensor.numel() * tensor.element_size():
            raise RefusedError("a tensor has other numbers than the file has for it")
        owned[storage.data_ptr()] = storage.nbytes()
    if sum(owned.values()) != stored:
        raise RefusedError("it has numbers that belong to no tensor")
