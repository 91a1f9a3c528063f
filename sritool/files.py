"""Atomic file writing: all lasting files of the package are written here.

A file is written as `.NAME.tmp` in the same folder, flushed to disk, and renamed, so that a kill or a power cut
leaves either the old file or the new one. The next writer reuses a temporary file that a kill left behind. A writer
locks its temporary file; a second writer at the same time chooses another name.
"""

from __future__ import annotations

import contextlib
import errno
import hashlib
import os
import re
import secrets
import stat
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import BinaryIO

from sritool.errors import FULL, SritoolError
from sritool.locks import NO_LINK, WINDOWS, open_locked, remove_open
from sritool.processes import measuring

_LONGEST_NAME = 200  # bytes of the target's name to use in the temporary one; file systems allow 255
_OPENED = re.compile(r"/dev/(stdout|stderr)|/(?:dev|proc/self)/fd/(\d{1,9})")
_NOT_SYNCED = {errno.EINVAL, errno.ENOSYS, errno.ENOTSUP, errno.EBADF}  # from file systems that cannot sync


@contextlib.contextmanager
def whole_file(path: Path, follow: bool = True) -> Iterator[BinaryIO]:
    """Yield a file to write to, which replaces `path` when the block ends without an exception.

    It keeps the permissions of the file that it replaces; a new file has those that the umask leaves. A pipe, a
    device or an open descriptor such as /dev/stdout is written to directly. With `follow`, a link is kept and its
    target is written; otherwise the link itself is replaced.

    Raises:
        OSError: The file cannot be written; the old one is unchanged.
    """
    try:
        mode = path.stat(follow_symlinks=follow).st_mode
    except FileNotFoundError:
        mode = None
    stream = _open_stream(path, mode)
    if stream is not None:
        with stream:
            yield stream
        return
    target = Path(os.path.realpath(path)) if follow else path
    replaces = mode is not None and stat.S_ISREG(mode)
    if replaces and not os.access(target, os.W_OK):  # a rename would ignore the file's permissions
        raise PermissionError(errno.EACCES, os.strerror(errno.EACCES), str(path))
    file, temporary = _open_temporary(target)
    try:
        yield file
        file.flush()
        if mode is not None and replaces:
            with contextlib.suppress(OSError):  # a file system without permissions
                temporary.chmod(stat.S_IMODE(mode))
        _sync(file.fileno())
        if WINDOWS:
            file.close()
        temporary.replace(target)
    except BaseException:
        with contextlib.suppress(OSError):
            remove_open(temporary, file)
        raise
    finally:
        with contextlib.suppress(OSError):  # unwritten data of a failed write is not needed
            file.close()
    sync_folder(target.parent)


def write_bytes(path: Path, chunks: Iterable[bytes], follow: bool = True) -> None:
    """Write or replace a file atomically; arguments and errors as in `whole_file`."""
    with whole_file(path, follow) as file:
        file.writelines(chunks)


def write_text(path: Path, text: str, follow: bool = True) -> None:
    """Write a UTF-8 text file atomically; arguments and errors as in `whole_file`."""
    write_bytes(path, [text.encode("utf-8")], follow)


def write_output(path: Path, chunks: Iterable[bytes]) -> None:
    """Write a file that the user asked for, atomically. Of processes that measure together, only the first writes.

    Raises:
        SritoolError: The file cannot be written; the message is one line.
    """
    if not measuring().is_first:
        return
    try:
        write_bytes(path, chunks)
    except OSError as error:
        raise SritoolError(cannot_write(path, error, "another file")) from error


def append(path: Path, content: bytes, sync: bool = True) -> None:
    """Append whole lines to a file in one write, so that several processes do not interleave theirs.

    The file is created if missing. If a kill cut off the last line, that line is ended first. A link is not followed.
    With `sync`, the lines are on disk on return.

    Raises:
        OSError: The lines cannot be written, or only in part.
    """
    descriptor = os.open(path, os.O_RDWR | os.O_APPEND | os.O_CREAT | NO_LINK, 0o666)
    try:
        if os.lseek(descriptor, 0, os.SEEK_END):
            os.lseek(descriptor, -1, os.SEEK_END)
            if os.read(descriptor, 1) != b"\n":
                content = b"\n" + content
        if os.write(descriptor, content) < len(content):
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(path))
        if sync:
            _sync(descriptor)
    finally:
        os.close(descriptor)


def digest_of(path: Path) -> str:
    """Return the SHA-256 of a file, in hexadecimal."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def cannot_write(path: Path, error: OSError, instead: str) -> str:
    """Return `cannot write PATH: reason; give INSTEAD`; `instead` is, say, "another folder with --data-dir"."""
    full = "free some space or " if error.errno in FULL else ""
    return f"cannot write {path}: {error.strerror or error}; {full}give {instead}"


def sync_folder(folder: Path) -> None:
    """Flush a folder's entries to disk."""
    try:
        descriptor = os.open(folder, os.O_RDONLY)
    except (
        PermissionError
    ):  # Windows cannot open folders; elsewhere a folder may be writable but not readable
        return
    try:
        _sync(descriptor)
    finally:
        os.close(descriptor)


def _open_stream(path: Path, mode: int | None) -> BinaryIO | None:
    """Return a stream for a path that is written to directly; None for a file.

    With `-o /dev/stdout >> FILE`, /dev/stdout resolves to FILE, whose contents a rename would destroy.
    """
    opened = _OPENED.fullmatch(str(path))
    if opened:
        number = {"stdout": 1, "stderr": 2}.get(opened[1]) or int(opened[2])
        return os.fdopen(os.dup(number), "wb")
    if mode is None or stat.S_ISREG(mode) or stat.S_ISLNK(mode):
        return None
    return path.open("wb")


def _open_temporary(target: Path) -> tuple[BinaryIO, Path]:
    """Return an empty file beside the target: one that a kill left behind, or a new one."""
    name = os.fsdecode(os.fsencode(target.name)[:_LONGEST_NAME])
    temporary = target.with_name(f".{name}.tmp")
    with contextlib.suppress(OSError):
        file, ours = open_locked(temporary)
        # A hard link here could lead to somebody's other file.
        if ours and os.fstat(file.fileno()).st_nlink == 1:
            file.truncate(0)
            return file, temporary
        file.close()
    temporary = target.with_name(f".{name}.{secrets.token_hex(4)}.tmp")
    return temporary.open("xb"), temporary


def _sync(descriptor: int) -> None:
    try:
        os.fsync(descriptor)
    except OSError as error:
        if error.errno not in _NOT_SYNCED:
            raise
