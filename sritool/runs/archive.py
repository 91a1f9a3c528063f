"""The archive that a checkpoint is: read by ourselves, so that nothing of a stranger's file reaches a loader of code.

`torch.save` writes a zip archive of uncompressed entries, one behind the other: a pickle, and a file of numbers for
each tensor. We add a digest of every byte before it as the archive's comment. What departs from that form in any way
is refused before an entry is read: nothing is ever unpacked, and what is read is never more than the file holds.
"""

from __future__ import annotations

import hashlib
import re
import struct
import zipfile
import zlib
from typing import IO, Any, BinaryIO, NamedTuple, cast

import torch

SEAL = b"sritool sha256 "  # and 64 hexadecimal digits, the archive's comment
_DIGITS = 64
_END = struct.Struct(
    "<4sHHHHIIH"
)  # of the directory: mark, disks, entries, its size and place, comment's length
_LOCAL = struct.Struct("<4sHHHHHIIIHH")  # before an entry: …, lengths of its name and of its padding
_END_MARK, _LOCAL_MARK = b"PK\x05\x06", b"PK\x03\x04"
_DESCRIPTORS = (0, 12, 16, 20, 24)  # bytes behind an entry that repeat its size and checksum
_FLAGS = 0x808  # sizes are repeated behind the entry; names are UTF-8
_ELSEWHERE = 0xFFFFFFFF  # the place is in the record for archives of more than 4 GB
_RECORDS_64 = 56 + 20  # bytes of that record and of the one that tells where it is; torch always writes them
_MOST_ENTRIES = 10_000
_LARGEST_DIRECTORY = 1 << 22
_CHUNK = 1 << 20
_SHORTER = "it became shorter while it was read"
_NAMES = re.compile(
    r"data\.pkl|version|byteorder|\.format_version|\.storage_alignment|\.data/serialization_id|data/\d{1,6}"
)


class Refused(ValueError):  # noqa: N818 - what happened to the file
    """Why a file is not taken: a phrase without what to do about it."""


class Entry(NamedTuple):
    """Where the bytes of an entry are."""

    begin: int
    size: int
    checksum: int  # CRC-32


class Archive:
    """The entries of a checkpoint, by name without the folder that they all lie in.

    Raises: Refused if the file is anything else than `torch.save` and `save_sealed` write, or was changed since.
    """

    def __init__(self, file: BinaryIO) -> None:
        self._file = file
        size = file.seek(0, 2)
        sealed, directory = _end_of(file, size)
        self.entries = _entries(file, size, directory)
        self.used: set[str] = set()
        self._sealed = sealed
        if sealed:
            _check_seal(file, size)

    def read(self, name: str) -> bytearray:
        """All bytes of an entry. Raises: Refused if there is none or its checksum is wrong."""
        if name not in self.entries:
            raise Refused(f"it has no entry {name}")
        entry = self.entries[name]
        self.used.add(name)
        content = bytearray(entry.size)
        self._file.seek(entry.begin)
        if self._file.readinto(content) != entry.size:  # type: ignore[attr-defined]
            raise Refused(_SHORTER)
        if not self._sealed and zlib.crc32(content) != entry.checksum:
            raise Refused(f"the checksum of its entry {name} is wrong")
        return content

    def unused(self) -> list[str]:
        """Numbers that no tensor took."""
        return [name for name in self.entries if name.startswith("data/") and name not in self.used]


def save_sealed(values: Any, file: BinaryIO) -> None:
    """`torch.save`, with a digest of the whole file in the archive's comment, in one pass."""
    writer = _Sealer(file)
    torch.save(values, cast(IO[bytes], writer))  # it only writes and flushes
    writer.finish()


class _Sealer:
    """A file to write to that sums up what goes through, and holds the archive's last record back."""

    def __init__(self, file: BinaryIO) -> None:
        self._file, self._last, self._digest = file, b"", hashlib.sha256()

    def write(self, data: Any) -> int:
        view = memoryview(data).cast("B")
        if len(view) >= _END.size:
            self._pass(self._last)
            self._pass(view[: -_END.size])
            self._last = bytes(view[-_END.size :])
        else:
            together = self._last + bytes(view)
            self._pass(together[: -_END.size])
            self._last = together[-_END.size :]
        return len(view)

    def flush(self) -> None:
        """What is held back stays."""

    def finish(self) -> None:
        *fields, _ = _END.unpack(self._last)
        self._pass(_END.pack(*fields, len(SEAL) + _DIGITS) + SEAL)
        self._file.write(self._digest.hexdigest().encode("ascii"))

    def _pass(self, data: bytes | memoryview) -> None:
        self._digest.update(data)
        self._file.write(data)


class _End(NamedTuple):
    """The last record of an archive: where it is, and what it says of the directory."""

    begin: int
    entries: int
    size: int
    place: int


def _end_of(file: BinaryIO, size: int) -> tuple[bool, _End]:
    """Whether the file has a digest, and its last record."""
    file.seek(0)
    if file.read(1) == b"\x80":
        raise Refused("it is a bare pickle, which may hold code, and was not run")
    for comment in (len(SEAL) + _DIGITS, 0):
        begin = size - _END.size - comment
        if begin < 0:
            continue
        file.seek(begin)
        mark, disk, other, here, entries, directory, place, length = _END.unpack(_exactly(file, _END.size))
        if mark == _END_MARK and length == comment:
            if disk or other or here != entries or entries > _MOST_ENTRIES or directory > _LARGEST_DIRECTORY:
                raise Refused("its directory is not one that torch.save writes")
            return comment > 0, _End(begin, entries, directory, place)
    raise Refused("truncated, or another kind of file")


def _exactly(file: BinaryIO, size: int) -> bytes:
    """The next bytes. Raises: Refused if there are fewer, as of a file that is being copied there."""
    found = file.read(size)
    if len(found) < size:
        raise Refused(_SHORTER)
    return found


def _check_seal(file: BinaryIO, size: int) -> None:
    file.seek(0)
    digest, left = hashlib.sha256(), size - _DIGITS
    while left:
        part = _exactly(file, min(_CHUNK, left))
        digest.update(part)
        left -= len(part)
    if file.read(_DIGITS) != digest.hexdigest().encode("ascii"):
        raise Refused("damaged: its bytes are not those that were written")


def _entries(file: BinaryIO, size: int, end: _End) -> dict[str, Entry]:
    """Entries that lie one behind the other from the file's first byte on, none of them compressed."""
    try:
        with zipfile.ZipFile(file) as archive:
            listed, directory = archive.infolist(), archive.start_dir
    except Exception as error:  # what a damaged directory can do to its parser has no one name
        raise Refused("its directory is damaged") from error
    if (
        not 0 < len(listed) == end.entries
        or end.place not in (directory, _ELSEWHERE)
        or end.begin - directory - end.size not in (0, _RECORDS_64)
    ):
        raise Refused("its directory is damaged")
    entries: dict[str, Entry] = {}
    folder, position = listed[0].filename.partition("/")[0], 0
    for info in sorted(listed, key=lambda entry: entry.header_offset):
        top, _, name = info.filename.partition("/")
        if info.compress_type != zipfile.ZIP_STORED or info.compress_size != info.file_size:
            raise Refused("it is compressed, which torch.save never does, and was not unpacked")
        if info.flag_bits & ~_FLAGS or top != folder or name in entries or not _NAMES.fullmatch(name):
            raise Refused("it has entries that torch.save does not write")
        begin = _begin_of(file, info, position, size)
        position = begin + info.file_size
        entries[name] = Entry(begin, info.file_size, info.CRC)
    if directory - position not in _DESCRIPTORS:
        raise Refused("its entries overlap, or something lies between them")
    return entries


def _begin_of(file: BinaryIO, info: zipfile.ZipInfo, position: int, size: int) -> int:
    """Where an entry's bytes begin, if the entry follows the one that ended at `position`."""
    gap = info.header_offset - position
    if gap not in _DESCRIPTORS or info.header_offset + _LOCAL.size > size or (position == 0 and gap):
        raise Refused("its entries overlap, or something lies between them")
    file.seek(info.header_offset)
    mark, _, _, method, *_, name, padding = _LOCAL.unpack(_exactly(file, _LOCAL.size))
    if mark != _LOCAL_MARK or method or file.read(name) != info.filename.encode("utf-8", "replace"):
        raise Refused("its directory and its entries contradict each other")
    begin = info.header_offset + _LOCAL.size + int(name) + int(padding)
    if begin + info.file_size > size:
        raise Refused("an entry is larger than the file")
    return begin
