"""Plain values and tensors in one file that a stranger may have made.

`torch.save` writes the file; a line with the SHA-256 of all bytes before it is added at the end.
`torch.load(path, weights_only=True)` opens it like any other torch file.

That loader runs no code from a file, but it detects no damage and sets no bounds: a few hundred bytes can make it
allocate gigabytes or hash for years. So three things are checked before it sees the file (the digest, the entries of
the archive, the order of the pickle's instructions), and the values that it returns are checked too.
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
"""Precedes the 64 hexadecimal digits at the end of a file."""

_DIGITS = 64
_CHUNK = 1 << 20
# The last record of an archive: mark, disks, entries, directory's size and offset, comment.
_LAST_RECORD = struct.Struct("<4s4H2LH")
_ELSEWHERE = 0xFFFFFFFF  # the offset is in the record for archives of more than 4 GB
_RECORDS_64 = 56 + 20  # bytes of that record and of its locator; torch always writes them
_FLAGS = 0x808  # an entry's sizes are repeated after it; names are UTF-8
_MOST_ENTRIES = 10_000
_ENTRY = re.compile(
    r"data\.pkl|version|byteorder|\.format_version|\.storage_alignment|\.data/serialization_id|data/\d{1,6}"
)
_DEEPEST = 24
_TYPES = (torch.float32, torch.uint8)

# Errors that a bad file can cause in the two parsers. Any other error comes from the program, the installation or the
# machine.
_DAMAGED_ARCHIVE = (zipfile.BadZipFile, EOFError, NotImplementedError, ValueError, struct.error)
_UNREADABLE = (UnpicklingError, EOFError, LookupError, OverflowError, RuntimeError, TypeError, ValueError)


def save_values(values: Any, file: BinaryIO) -> None:
    """Write nested plain values and tensors, in one pass from the start of the file to its end.

    Args:
        values: Dictionaries with strings or whole numbers as keys, lists, tuples of plain values, strings, numbers,
            None, and tensors of float32 or uint8.
        file: The file to write to; it need not be on a disk.

    Raises:
        TypeError: A value has another type.
        OSError: The file cannot be written.
    """
    writer = _HashingWriter(file)
    torch.save(_unshared(values), cast(IO[bytes], writer))
    if writer.failed is not None:
        raise writer.failed
    writer.write(DIGEST_MARK)
    file.write(writer.digest.hexdigest().encode("ascii"))


def load_values(file: BinaryIO) -> Any:
    """Read what `save_values` wrote, with tensors on the CPU.

    Takes at most twice the file's size in memory, plus the values that it really holds.

    Raises:
        RefusedError: The file is damaged, or `save_values` did not write it.
        OSError: The file cannot be read.
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
    """A writer that hashes everything it passes on, until a write fails or a signal stops it.

    It keeps that error, as torch would replace it with a RuntimeError about a position in its archive.
    """

    def __init__(self, file: BinaryIO) -> None:
        self.file, self.digest = file, hashlib.sha256()
        self.failed: BaseException | None = None

    def write(self, data: bytes) -> int:
        try:
            if self.failed is None:
                self.digest.update(data)
                self.file.write(data)
        except BaseException as error:
            self.failed = error
        return len(data)

    def flush(self) -> None:
        self.file.flush()


def _unshared(value: Any) -> Any:
    """Copy the values so that no list occurs in two places and each tensor has its own storage, on the CPU."""
    if isinstance(value, Tensor) and value.dtype in _TYPES:
        tensor = value.detach().cpu().contiguous()
        owns_storage = tensor.untyped_storage().nbytes() == tensor.numel() * tensor.element_size()
        return tensor if owns_storage else tensor.clone()
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
            return kind(value)  # some NumPy numbers are subclasses, but pickle in another way
    if value is None:
        return None
    kind_of = value.dtype if isinstance(value, Tensor) else type(value).__name__
    raise TypeError(f"a checkpoint holds plain values and tensors of float32 or uint8, not {kind_of}")


def _check_digest(file: BinaryIO) -> int:
    """Check the digest; return the number of bytes before the mark."""
    hashed = file.seek(0, os.SEEK_END) - _DIGITS
    archive = hashed - len(DIGEST_MARK)
    file.seek(max(0, archive))
    if archive < 0 or file.read(len(DIGEST_MARK)) != DIGEST_MARK:
        raise RefusedError("truncated, or another kind of file")
    stored = file.read()
    digest = hashlib.sha256()
    file.seek(0)
    for start in range(0, hashed, _CHUNK):
        digest.update(file.read(min(_CHUNK, hashed - start)))
    if stored != digest.hexdigest().encode("ascii"):
        raise RefusedError("damaged: its bytes do not match its digest")
    return archive


def _copy_entries(file: BinaryIO, size: int) -> tuple[BinaryIO, bytes, int]:
    """Check the entries of an archive of `size` bytes; return a copy, its pickle, and the bytes of its tensor data.

    torch reads the copy, because its own archive parser might see other entries in the file than those checked here.
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


def _check_last_record(file: BinaryIO, size: int, entries: int, offset: int) -> None:
    begin = file.seek(size - _LAST_RECORD.size)
    record = _LAST_RECORD.unpack(file.read(_LAST_RECORD.size))
    directory = begin - offset
    if (
        record[:5] != (b"PK\5\6", 0, 0, entries, entries)
        or record[5] not in (directory, directory - _RECORDS_64)
        or record[6] not in (offset, _ELSEWHERE)
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
    """Return all tensors among the values, which may be nested `levels` deep at most."""
    if not levels:
        raise RefusedError("its values are nested too deeply")
    if isinstance(value, Tensor):
        return [value]
    if isinstance(value, dict):
        if not all(type(key) in (str, int) for key in value):
            raise RefusedError("it has a table whose keys are not names")
        value = list(value.values())
    inside = value if isinstance(value, list) else []
    nested = (item for item in inside if isinstance(item, dict | list | Tensor))
    return [tensor for item in nested for tensor in _tensors_in(item, levels - 1)]


def _check_tensors(tensors: list[Tensor], stored: int) -> None:
    """Check that each tensor holds exactly one entry, in order, and that the tensors hold all `stored` bytes."""
    owned: dict[int, int] = {}
    for tensor in tensors:
        storage = tensor.untyped_storage()
        if tensor.dtype not in _TYPES or not tensor.is_contiguous():
            raise RefusedError(
                "it has a tensor of another type, or one whose numbers overlap or are out of order"
            )
        if storage.nbytes() != tensor.numel() * tensor.element_size():
            raise RefusedError("a tensor does not match the size of its data in the file")
        owned[storage.data_ptr()] = storage.nbytes()
    if sum(owned.values()) != stored:
        raise RefusedError("it has numbers that belong to no tensor")
