"""A file's bytes in blocks of whole lines, unpacked if the file is compressed, and checked to be UTF-8 text.

Only ``\\n`` ends a line; a ``\\r`` is white space. Nothing is normalised: composed and decomposed accents stay as
they are. Errors name the line.
"""

from __future__ import annotations

import bz2
import contextlib
import gzip
import lzma
import os
import shlex
import stat
import sys
import zlib
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any

from sritool.errors import DataError, UsageError, advice_on

BLOCK = 1 << 21  # bytes read at a time; most words recur within a block, and are looked up once per block
HEAD = 400  # bytes used to recognise the kind of file
LONGEST_LINE = 1 << 25  # bytes; 32 MiB without a line end are not a sentence
_MARK = b"\xef\xbb\xbf"  # UTF-8's byte order mark
_STDIN = "standard input"
NO_WORD = b" \t\n\r\x0b\x0c" + _MARK  # bytes that are not part of a word
_TAR, _TAR_AT = b"ustar", 257  # POSIX
_FOREIGN = (  # first bytes of other kinds of files, their names, and what to do with a file; with standard input
    (b"\x1f\x8b", "compressed (gzip)", "unpack it: gunzip -c FILE > NEW.txt", "gunzip -c"),
    (b"BZh91AY&SY", "compressed (bzip2)", "unpack it: bunzip2 -c FILE > NEW.txt", "bunzip2 -c"),
    (b"\xfd7zXZ\0", "compressed (xz)", "unpack it: unxz -c FILE > NEW.txt", "unxz -c"),
    (b"\x28\xb5\x2f\xfd", "compressed (zstd)", "unpack it: zstd -dc FILE > NEW.txt", "zstd -dc"),
    (b"PK\x03\x04", "a zip archive", "unpack it: unzip FILE", "funzip"),
    (b"%PDF-", "a PDF", "take its text out: pdftotext FILE", "pdftotext - -"),
    (b"PAR1", "a Parquet file", "save it under a name that ends in .parquet", ""),
    (b"\x89PNG", "a PNG picture", "give a text file", ""),
    (b"\xff\xd8\xff", "a JPEG picture", "give a text file", ""),
    (b"\xd0\xcf\x11\xe0", "an old Office document", "save it as plain text", ""),
)


def _open_zstd(file: Any) -> Any:
    import pyarrow as pa

    return pa.CompressedInputStream(file, "zstd")


_UNPACKERS: tuple[tuple[bytes, Callable[[Any], Any]], ...] = (  # by the first bytes of a file
    (b"\x1f\x8b", lambda file: gzip.GzipFile(fileobj=file)),
    (b"BZh", bz2.BZ2File),
    (b"\xfd7zXZ\0", lzma.LZMAFile),
    (b"\x28\xb5\x2f\xfd", _open_zstd),
)


def name_of(path: Path) -> str:
    """Return the name of a file, or of ``-``, in errors."""
    return _STDIN if str(path) == "-" else str(path)


def check_file(path: Path) -> None:
    """Raise a UsageError for a folder and a DataError for a missing file, before anything is read."""
    if str(path) != "-":
        with explain_read_errors(path):
            if stat.S_ISDIR(path.stat().st_mode):
                raise IsADirectoryError


def read_blocks(path: Path) -> Iterator[bytes]:
    """Yield a file's bytes, or standard input's for ``-``. A file compressed by gzip, bzip2, xz or zstd is unpacked.

    Raises:
        UsageError: The path is a folder.
        DataError: The file is missing, cannot be read or unpacked, or changes while it is read.
    """
    if str(path) == "-":
        with explain_read_errors(Path(_STDIN)):
            stdin: Any = sys.stdin.buffer
            while block := stdin.read1(BLOCK):  # reaches the end only once, so one Ctrl-D is enough
                yield block
        return
    with explain_read_errors(path), path.open("rb") as file:
        before = os.fstat(file.fileno())
        start = file.peek(8)
        unpack = next((unpack for magic, unpack in _UNPACKERS if start.startswith(magic)), None)
        with unpack(file) if unpack else contextlib.nullcontext(file) as content:
            while block := content.read(BLOCK):
                yield block
        after = path.stat() if stat.S_ISREG(before.st_mode) else before
    if _identity(before) != _identity(after):
        raise DataError(f"{path} changed while it was read; run again when nothing writes to it")


def _identity(file: os.stat_result) -> tuple[int, int, int]:
    return file.st_ino, file.st_size, file.st_mtime_ns


@contextlib.contextmanager
def explain_read_errors(path: Path) -> Iterator[None]:
    """Turn errors in reading a file into one-line messages."""
    try:
        yield
    except IsADirectoryError as error:
        raise UsageError(f"{path} is a folder, not a file; name a file in it") from error
    except FileNotFoundError as error:
        raise DataError(f"no such file: {path}; check the path") from error
    except (OSError, EOFError, zlib.error, lzma.LZMAError) as error:
        if isinstance(error, OSError) and error.errno is not None:
            raise DataError(f"cannot read {path} ({error.strerror}); {advice_on(error)}") from error
        raise DataError(
            f"{path} is damaged and cannot be unpacked ({error}); get the whole file again"
        ) from error


def text_blocks(blocks: Iterable[bytes], where: str, returns_end_lines: bool = False) -> Iterator[bytes]:
    """Yield UTF-8 text in pieces of whole lines; the text does not depend on the sizes of the blocks.

    Only the last piece may lack its final line end. A byte order mark at the start is removed. Blank lines at the
    start come with the first words. Text whose lines end only in carriage returns is allowed if `returns_end_lines`.

    Raises:
        DataError: The text is empty, binary, not UTF-8 or has an endless line; the message names the line. The lines
            before it have been yielded.
    """
    held: list[bytes] = []  # bytes without a line end yet, or before the first word
    held_bytes = lines = 0
    head = b""
    begun = False  # a word has been met
    for block in blocks:
        begun = begun or bool(block.strip(NO_WORD))
        head += block[: HEAD - len(head)]
        end = block.rfind(b"\n") + 1
        if end and begun and len(head) == HEAD:
            data = b"".join([*held, block[:end]])
            yield from _checked(data, head, where, lines)
            lines += data.count(b"\n")
            block, held, held_bytes = block[end:], [], 0
        if block:
            held.append(block)
            held_bytes += len(block)
        if held_bytes > LONGEST_LINE:
            _refuse_endless(b"".join(held), head, where, lines, begun)
    if not begun:
        raise DataError(f"{where} is empty; give a file with text")
    rest = b"".join(held)
    for data in _checked(rest, head, where, lines) if rest else ():
        if not lines and not returns_end_lines and b"\n" not in rest and b"\r" in data.strip():
            raise DataError(
                f"{where} ends its lines with carriage returns alone, as old Macs did; "
                r"convert it with: tr '\r' '\n'"
            )
        yield data


def lines_of(pieces: Iterable[bytes]) -> Iterator[str]:
    """Yield the lines of the pieces that `text_blocks` yields."""
    for piece in pieces:
        lines = piece.decode().split("\n")
        yield from lines if lines[-1] else lines[:-1]


def _refuse_endless(start: bytes, head: bytes, where: str, lines: int, begun: bool) -> None:
    size = f"{LONGEST_LINE >> 20} MiB"
    if not begun:
        raise DataError(f"{where} has no word in its first {size}; give a file with text")
    for _ in _checked(start, head, where, lines):  # if it is not text, that error is more helpful
        pass
    raise DataError(f"{where} line {lines + 1} is longer than {size}; break it into shorter lines")


def _checked(data: bytes, head: bytes, where: str, lines: int) -> Iterator[bytes]:
    """Yield lines that are text; an error in a line is raised after the lines before it."""
    if not lines:
        _refuse_foreign(head, where)
    try:
        data.decode()
        wrong = data.find(b"\0")
    except UnicodeDecodeError as error:
        nul = data.find(b"\0", 0, error.start)
        wrong = error.start if nul < 0 else nul
    good = data if wrong < 0 else data[: data.rfind(b"\n", 0, wrong) + 1]
    if good:
        yield good[len(_MARK) :] if not lines and good.startswith(_MARK) else good
    if wrong >= 0:
        raise _error_in(data[len(good) :], wrong - len(good), where, lines + good.count(b"\n") + 1)


def _error_in(line: bytes, at: int, where: str, number: int) -> DataError:
    """Return an error about the byte `at` of a line and the following ones."""
    if line[at] == 0:
        return DataError(f"{where} line {number} has a NUL byte, so it is not text; give a UTF-8 text file")
    try:
        line[at:].decode()
    except UnicodeDecodeError as error:
        if error.reason == "unexpected end of data" and error.start == 0:
            return DataError(
                f"{where} line {number} ends in the middle of a character; get the whole file, "
                "or remove its last bytes"
            )
    return DataError(
        f"{where} is not UTF-8: line {number}, byte {at + 1} (0x{line[at]:02x}); "
        "convert it from its encoding, for example with: iconv -f CP1252 -t UTF-8"
    )


def _refuse_foreign(head: bytes, where: str) -> None:
    encoding = _wide_encoding(head)
    if encoding:
        raise DataError(
            f"{where} is {encoding[:6]}, not UTF-8; convert it with: iconv -f {encoding} -t UTF-8"
        )
    if head.startswith(_TAR, _TAR_AT):
        unpack = (
            "unpack it in the pipe: … | tar xO | sritool …"
            if where == _STDIN
            else f"unpack it: tar xf {shlex.quote(where)}"
        )
        raise DataError(f"{where} is a tar archive, not text; {unpack}")
    for magic, kind, advice, command in _FOREIGN:
        if head.startswith(magic):
            if where == _STDIN and command:
                advice = f"{advice.partition(':')[0]} in the pipe: … | {command} | sritool …"
            raise DataError(f"{where} is {kind}, not text; {advice.replace('FILE', shlex.quote(where))}")


def _wide_encoding(head: bytes) -> str:
    """Recognise UTF-16 and UTF-32 by their marks, and UTF-16 of mostly Latin letters by its zeros; else return ""."""
    if head.startswith((b"\xff\xfe\0\0", b"\0\0\xfe\xff")):
        return "UTF-32"
    if head.startswith((b"\xff\xfe", b"\xfe\xff")):
        return "UTF-16"
    even, odd = head[::2], head[1::2]
    for zeros, letters, name in ((odd, even, "UTF-16LE"), (even, odd, "UTF-16BE")):
        if len(zeros) > 4 and zeros.count(0) > 0.7 * len(zeros) and not letters.count(0):
            return name
    return ""
