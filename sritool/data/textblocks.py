"""Bytes to text, a block of whole lines at a time; what is no UTF-8 text is refused by name and line.

Text is UTF-8, with or without a byte order mark. Only ``\\n`` ends a line; a ``\\r`` is white space. Nothing is
normalised: composed and decomposed accents stay as they are.
"""

from __future__ import annotations

import contextlib
import os
import stat
import sys
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any

from sritool.errors import DataError, UsageError

BLOCK = 1 << 16  # bytes read at a time: about a thousand lines, whose words stay in the processor's cache
HEAD = 400  # bytes that tell what kind of file it is
LONGEST_LINE = 1 << 25  # bytes; 32 MiB without an end of line is no sentence
_MARK = b"\xef\xbb\xbf"  # UTF-8's byte order mark
_NOTHING = b" \t\n\r\x0b\x0c" + _MARK  # bytes that make no word
_FOREIGN = (  # how files of other kinds begin, what they are, and what to do
    (b"\x1f\x8b", "a gzip file", "unpack it: gunzip -c FILE > NEW.txt"),
    (b"PK\x03\x04", "a zip archive", "unpack it: unzip FILE"),
    (b"BZh91AY&SY", "a bzip2 file", "unpack it: bunzip2 -c FILE > NEW.txt"),
    (b"\xfd7zXZ\0", "an xz file", "unpack it: unxz -c FILE > NEW.txt"),
    (b"\x28\xb5\x2f\xfd", "a zstd file", "unpack it: unzstd -c FILE > NEW.txt"),
    (b"7z\xbc\xaf\x27\x1c", "a 7z archive", "unpack it: 7z x FILE"),
    (b"%PDF-", "a PDF", "take its text out: pdftotext FILE"),
    (b"PAR1\x15", "a Parquet file", "write its text column as JSON lines"),
    (b"ARROW1\0\0", "an Arrow file", "write its text column as JSON lines"),
    (b"\x89PNG", "a PNG picture", "give a text file"),
    (b"\xff\xd8\xff", "a JPEG picture", "give a text file"),
    (b"GIF89a", "a GIF picture", "give a text file"),
    (b"\x93NUMPY", "a NumPy array", "give a text file"),
    (b"\x89HDF", "an HDF5 file", "give a text file"),
    (b"SQLite format 3\0", "an SQLite database", "give a text file"),
    (b"\xd0\xcf\x11\xe0", "an old Office document", "save it as plain text"),
    (b"{\\rtf", "a rich text document", "save it as plain text"),
)


def name_of(path: Path) -> str:
    """What errors call a file, or ``-``."""
    return "standard input" if str(path) == "-" else str(path)


def check_file(path: Path) -> None:
    """Raises: as ``read_blocks``, before anything is read, if there is no such file or it is a folder."""
    if str(path) != "-":
        with _told(path):
            if stat.S_ISDIR(path.stat().st_mode):
                raise IsADirectoryError


def read_blocks(path: Path) -> Iterator[bytes]:
    """A file's bytes, or standard input's for ``-``, some at a time.

    Raises: UsageError if it is a folder; DataError if there is no such file, it cannot be read, or it changes
            while it is read.
    """
    if str(path) == "-":
        with _told(Path("standard input")):
            stdin: Any = sys.stdin.buffer
            yield from _blocks(stdin.read1)  # which meets the end once, so that one Ctrl-D is enough
        return
    with _told(path), path.open("rb", buffering=0) as file:
        before = os.fstat(file.fileno())
        yield from _blocks(file.read)
        after = path.stat() if stat.S_ISREG(before.st_mode) else before
    if (before.st_ino, before.st_size, before.st_mtime_ns) != (
        after.st_ino,
        after.st_size,
        after.st_mtime_ns,
    ):
        raise DataError(f"{path} changed while it was read; run again when nothing writes to it")


@contextlib.contextmanager
def _told(path: Path) -> Iterator[None]:
    try:
        yield
    except IsADirectoryError as error:
        raise UsageError(f"{path} is a folder, not a file; name a file in it") from error
    except FileNotFoundError as error:
        raise DataError(f"no such file: {path}; check the path") from error
    except OSError as error:
        raise DataError(f"cannot read {path} ({error.strerror}); check its permissions") from error


def _blocks(read: Callable[[int], bytes | None]) -> Iterator[bytes]:
    while block := read(BLOCK):
        yield block


def decoded(blocks: Iterable[bytes], where: str, returns_end_lines: bool = False) -> Iterator[str]:
    """Text in pieces of whole lines, the same text whatever the sizes of the blocks.

    Only the last piece may lack the end of its last line. Blank lines at the start come with the first words.

    Args:   where: what errors call the text; returns_end_lines: a text without a newline, whose lines end in \\r,
            is none to refuse.
    Raises: DataError if it is empty, binary, not UTF-8 or has a line without an end; the message names the line.
    """
    reader = _Decoder(where, returns_end_lines)
    for block in blocks:
        yield from reader.add(block)
    yield from reader.end()


class _Decoder:
    """Cuts bytes at ends of lines, where no character can be cut, and decodes what lies between."""

    def __init__(self, where: str, returns_end_lines: bool) -> None:
        self.where, self.returns_end_lines = where, returns_end_lines
        self.held: list[bytes] = []  # what has no end of line yet, or no word
        self.held_bytes = 0
        self.lines = 0  # that were handed out
        self.begun = False  # a word has been met
        self.head = b""  # the first bytes, by which files of other kinds are known

    def add(self, block: bytes) -> Iterator[str]:
        """What a block completes."""
        self.begun = self.begun or bool(block.strip(_NOTHING))
        self.head += block[: HEAD - len(self.head)]
        end = block.rfind(b"\n") + 1
        if end and self.begun and len(self.head) == HEAD:
            yield from self._texts(b"".join([*self.held, block[:end]]))
            self.held, self.held_bytes = [], 0
            block = block[end:]
        if block:
            self.held.append(block)
            self.held_bytes += len(block)
        if self.held_bytes > LONGEST_LINE:
            self._refuse_endless(b"".join(self.held))

    def end(self) -> Iterator[str]:
        """What is left."""
        if not self.begun:
            raise DataError(f"{self.where} is empty; give a file with one sentence a line")
        rest = b"".join(self.held)
        alone = not self.lines and not self.returns_end_lines and b"\n" not in rest
        for text in self._texts(rest) if rest else ():
            if alone and "\r" in text.strip():
                raise DataError(
                    f"{self.where} ends its lines with carriage returns alone, as old Macs did; "
                    r"convert it with: tr '\r' '\n'"
                )
            yield text

    def _refuse_endless(self, start: bytes) -> None:
        size = f"{LONGEST_LINE >> 20} MiB"
        if not self.begun:
            raise DataError(f"{self.where} has no word in its first {size}; give a file with sentences")
        line = self.lines + 1
        for _ in self._texts(start):  # if it is no text, that says more
            pass
        raise DataError(
            f"{self.where} line {line} is longer than {size}; give a text with one sentence a line"
        )

    def _texts(self, data: bytes) -> Iterator[str]:
        """Lines as text; what is wrong in one is raised after the lines before it have been handed out."""
        if not self.lines:
            _refuse_foreign(self.head, self.where)
        try:
            if b"\0" not in data:
                yield self._text(data)
                return
            wrong = data.index(b"\0")
            data[:wrong].decode()
        except UnicodeDecodeError as error:
            wrong = error.start
        lines_before = data[: data.rfind(b"\n", 0, wrong) + 1]
        if lines_before:
            yield self._text(lines_before)
        raise self._wrong(data[len(lines_before) :], wrong - len(lines_before))

    def _text(self, data: bytes) -> str:
        text = data.decode()
        marked = not self.lines and text.startswith("\ufeff")
        self.lines += data.count(b"\n")
        return text[1:] if marked else text

    def _wrong(self, line: bytes, at: int) -> DataError:
        """What is wrong with the byte ``at`` of a line and what follows."""
        place = f"{self.where} line {self.lines + 1}"
        if line[at] == 0:
            return DataError(f"{place} has a NUL byte, so it is no text; give a UTF-8 text file")
        if _is_cut(line[at:]):
            return DataError(
                f"{place} ends in the middle of a character; get the whole file, or remove its last bytes"
            )
        return DataError(
            f"{self.where} is not UTF-8: line {self.lines + 1}, byte {at + 1} (0x{line[at]:02x}); "
            "convert it from the encoding it has, for example with: iconv -f LATIN1 -t UTF-8"
        )


def _is_cut(rest: bytes) -> bool:
    """Whether it is the beginning of a character, and no more."""
    try:
        rest.decode("utf-8")
    except UnicodeDecodeError as error:
        return error.reason == "unexpected end of data" and error.start == 0
    return False


def _refuse_foreign(data: bytes, where: str) -> None:
    encoding = _wide_encoding(data)
    if encoding:
        name = encoding[:6]
        raise DataError(f"{where} is {name}, not UTF-8; convert it with: iconv -f {encoding} -t UTF-8")
    for begin, kind, advice in _FOREIGN:
        if data.startswith(begin):
            raise DataError(f"{where} is {kind}, not text; {advice.replace('FILE', where)}")


def _wide_encoding(start: bytes) -> str:
    """UTF-16 or UTF-32 by their mark, or UTF-16 of mostly Latin letters by its zeros; else ""."""
    if start.startswith((b"\xff\xfe\0\0", b"\0\0\xfe\xff")):
        return "UTF-32"
    if start.startswith((b"\xff\xfe", b"\xfe\xff")):
        return "UTF-16"
    even, odd = start[::2], start[1::2]
    for zeros, letters, name in ((odd, even, "UTF-16LE"), (even, odd, "UTF-16BE")):
        if len(zeros) > 4 and zeros.count(0) > 0.7 * len(zeros) and not letters.count(0):
            return name
    return ""
