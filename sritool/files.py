"""Files that appear whole or not at all: the one place where the package writes them.

What is written goes into a temporary file of the same folder, `.NAME.xxxxxxxx.tmp`; it is synced, renamed over the
target, and then the folder is synced: a kill or a power cut leaves the old file or the new one. A reader has
whichever he opened. The writer holds a lock on its temporary file, so that the next one can tell what a kill left,
which it removes, from what another process is writing.
"""

from __future__ import annotations

import contextlib
import errno
import os
import re
import secrets
import stat
import time
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import BinaryIO

from sritool.errors import SritoolError
from sritool.locks import is_named, take

ABANDONED_AFTER = 86_400.0  # seconds; for leftovers where there are no locks that could tell
_LONGEST_NAME = 200  # bytes of the target's in that of the temporary file: 255 is what file systems take
_OPENED = re.compile(r"/dev/(stdout|stderr)|/(?:dev|proc/self)/fd/(\d{1,9})")
_FULL = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG}
_NOT_SYNCED = {
    errno.EINVAL,
    errno.ENOSYS,
    errno.ENOTSUP,
    errno.EBADF,
}  # what a file system without it answers


@contextlib.contextmanager
def whole_file(path: Path, follow: bool = True) -> Iterator[BinaryIO]:
    """A file to write to, which takes the place of `path` when the block ends without an exception.

    It has the permissions of the file that it replaces, or else those that the umask leaves. Into a pipe, a device
    or what is open already, as /dev/stdout, it is written as it is.

    Args:   follow: a link goes on pointing to what it points to, which is written; else it is replaced itself.
    Raises: OSError if it cannot be written; then the old file stands.
    """
    found = _stat(path, follow)
    stream = _stream(path, found)
    if stream is not None:
        with stream:
            yield stream
        return
    target = Path(os.path.realpath(path)) if follow else path
    mode = None
    if found is not None and stat.S_ISREG(found.st_mode):
        if not os.access(target, os.W_OK):  # a rename would not ask
            raise PermissionError(errno.EACCES, os.strerror(errno.EACCES), str(path))
        mode = stat.S_IMODE(found.st_mode)
    file, temporary = _begin(target)
    try:
        yield file
        file.flush()
        if mode is not None:
            with contextlib.suppress(OSError):  # a file system without permissions
                os.fchmod(file.fileno(), mode)
        _sync(file.fileno())
        temporary.replace(target)
    except BaseException:
        with contextlib.suppress(OSError):
            temporary.unlink(missing_ok=True)
        raise
    finally:
        with contextlib.suppress(OSError):  # of what could not be written, and is not wanted any more
            file.close()
    sync_folder(target.parent)
    clear_leftovers(target)


def write_bytes(path: Path, chunks: Iterable[bytes], follow: bool = True) -> None:
    """Write a file whole, over one of that name. Raises: OSError if it cannot be written."""
    with whole_file(path, follow) as file:
        file.writelines(chunks)


def write_text(path: Path, text: str, follow: bool = True) -> None:
    """Write a text whole, in UTF-8. Raises: OSError if it cannot be written."""
    write_bytes(path, [text.encode("utf-8")], follow)


def append(path: Path, content: bytes, head: bytes = b"", lines: bool = True, sync: bool = True) -> None:
    """Append to a file in one write, so that several processes do not mix what they append.

    A link is not followed: whoever packed a run folder could make us write anywhere.

    Args:   head: what the file begins with, where it is new; lines: what a kill cut of the last line is ended first;
            sync: return only when it is on the disk.
    Raises: OSError if it cannot be written, or only a part of it.
    """
    flags = os.O_RDWR | os.O_APPEND | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC
    descriptor = os.open(path, flags, 0o666)
    try:
        size = os.fstat(descriptor).st_size
        if not size:
            content = head + content
        elif lines and os.pread(descriptor, 1, size - 1) != b"\n":
            content = b"\n" + content
        if os.write(descriptor, content) < len(content):
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(path))
        if sync:
            _sync(descriptor)
    finally:
        os.close(descriptor)


def write_output(path: Path, chunks: Iterable[bytes]) -> None:
    """Write a file that the user asked for, whole. Raises: SritoolError in one line if it cannot be written."""
    try:
        write_bytes(path, chunks)
    except OSError as error:
        raise SritoolError(cannot_write(path, error, "another file")) from error


def cannot_write(path: Path, error: OSError, instead: str) -> str:
    """`cannot write PATH: reason; what to do`, for the errors of those who write.

    Args: instead: what to give in its place, like "another folder with --data-dir".
    """
    full = "free some space or " if error.errno in _FULL else ""
    return f"cannot write {path}: {error.strerror or error}; {full}give {instead}"


def clear_leftovers(target: Path) -> None:
    """Remove temporary files of `target` that killed processes left; what is being written stays."""
    left = re.compile(re.escape(_prefix(target)) + r"[0-9a-f]{8}\.tmp")
    with contextlib.suppress(OSError), os.scandir(target.parent) as entries:
        for name in [entry.name for entry in entries if left.fullmatch(entry.name)]:
            with contextlib.suppress(OSError):
                _clear(target.with_name(name))


def sync_folder(folder: Path) -> None:
    """Have the names in a folder on the disk."""
    try:
        descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    except PermissionError:  # one may be allowed to write in a folder and not to list it
        return
    try:
        _sync(descriptor)
    finally:
        os.close(descriptor)


def _stat(path: Path, follow: bool) -> os.stat_result | None:
    """What is there; None for nothing. Raises: OSError, for links in a circle too."""
    try:
        return path.stat(follow_symlinks=follow)
    except FileNotFoundError:
        return None


def _stream(path: Path, found: os.stat_result | None) -> BinaryIO | None:
    """What is written to as it is, or None for a file.

    Of `-o /dev/stdout >> FILE` the name would lead to FILE, and what is in it would be lost.
    """
    opened = _OPENED.fullmatch(str(path))
    if opened:
        number = {"stdout": 1, "stderr": 2}.get(opened[1]) or int(opened[2])
        return os.fdopen(os.dup(number), "wb")
    if found is None or stat.S_ISREG(found.st_mode) or stat.S_ISLNK(found.st_mode):
        return None
    return path.open("wb")


def _prefix(target: Path) -> str:
    return f".{os.fsdecode(os.fsencode(target.name)[:_LONGEST_NAME])}."


def _begin(target: Path) -> tuple[BinaryIO, Path]:
    """A new temporary file, locked."""
    while True:
        temporary = target.with_name(f"{_prefix(target)}{secrets.token_hex(4)}.tmp")
        file = temporary.open("xb")
        take(file.fileno(), wait=True)
        if is_named(file.fileno(), temporary):
            return file, temporary
        file.close()  # between the two lines somebody took it for a leftover


def _clear(path: Path) -> None:
    descriptor = os.open(path, os.O_RDWR | os.O_NOFOLLOW | os.O_NONBLOCK)
    try:
        taken = take(descriptor)
        old = time.time() - os.fstat(descriptor).st_mtime >= ABANDONED_AFTER
        if taken or (taken is None and old):
            path.unlink(missing_ok=True)
    finally:
        os.close(descriptor)


def _sync(descriptor: int) -> None:
    try:
        os.fsync(descriptor)
    except OSError as error:
        if error.errno not in _NOT_SYNCED:
            raise
