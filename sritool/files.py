"""Files that appear whole or not at all: the one place where the package writes what has to last.

A file is written under the name `.NAME.tmp` in the same folder, flushed to the disk, and renamed: a kill or a power
cut leaves the old file or the new one. The next writer takes over what a kill left. A writer holds a lock on its
temporary file, and a second one at the same time takes another name.
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

_LONGEST_NAME = 200  # bytes of the target's in that of the temporary file: 255 is what file systems take
_OPENED = re.compile(r"/dev/(stdout|stderr)|/(?:dev|proc/self)/fd/(\d{1,9})")
_NOT_SYNCED = {errno.EINVAL, errno.ENOSYS, errno.ENOTSUP, errno.EBADF}  # of a file system that syncs nothing


@contextlib.contextmanager
def whole_file(path: Path, follow: bool = True) -> Iterator[BinaryIO]:
    """Yield a file to write to, which takes the place of `path` when the block ends without an exception.

    It has the permissions of the file that it replaces, or else those that the umask leaves. A pipe, a device, or
    what is open already, like /dev/stdout, is written to as it is. With `follow`, a link goes on pointing to its
    file, which is written; otherwise the link itself is replaced.

    Raises:
        OSError: It cannot be written; then the old file stands.
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
    if replaces and not os.access(target, os.W_OK):  # a rename would not ask
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
        with contextlib.suppress(OSError):  # of what could not be written, and is not wanted any more
            file.close()
    sync_folder(target.parent)


def write_bytes(path: Path, chunks: Iterable[bytes], follow: bool = True) -> None:
    """Write a file whole, over one of that name; arguments and errors as `whole_file`."""
    with whole_file(path, follow) as file:
        file.writelines(chunks)


def write_text(path: Path, text: str, follow: bool = True) -> None:
    """Write a text whole, in UTF-8; arguments and errors as `whole_file`."""
    write_bytes(path, [text.encode("utf-8")], follow)


def write_output(path: Path, chunks: Iterable[bytes]) -> None:
    """Write a file that the user asked for, whole. Of processes that measure together, the first one writes it.

    Raises:
        SritoolError: It cannot be written; the message is one line.
    """
    if not measuring().is_first:
        return
    try:
        write_bytes(path, chunks)
    except OSError as error:
        raise SritoolError(cannot_write(path, error, "another file")) from error


def append(path: Path, content: bytes, sync: bool = True) -> None:
    """Append whole lines to a file in one write, so that several processes do not mix what they append.

    The file need not be there. A line that a kill cut off is ended first. A link is not followed. With `sync`, the
    lines are on the disk when this returns.

    Raises:
        OSError: They cannot be written, or only a part of them.
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
    """Say `cannot write PATH: reason; give INSTEAD`, as "another folder with --data-dir"."""
    full = "free some space or " if error.errno in FULL else ""
    return f"cannot write {path}: {error.strerror or error}; {full}give {instead}"


def sync_folder(folder: Path) -> None:
    """Flush the names in a folder to the disk."""
    try:
        descriptor = os.open(folder, os.O_RDONLY)
    except PermissionError:  # Windows opens no folder; elsewhere one may write in a folder and not list it
        return
    try:
        _sync(descriptor)
    finally:
        os.close(descriptor)


def _open_stream(path: Path, mode: int | None) -> BinaryIO | None:
    """Return what is written to as it is; None for a file.

    Of `-o /dev/stdout >> FILE` the name would lead to FILE, and what is in it would be lost.
    """
    opened = _OPENED.fullmatch(str(path))
    if opened:
        number = {"stdout": 1, "stderr": 2}.get(opened[1]) or int(opened[2])
        return os.fdopen(os.dup(number), "wb")
    if mode is None or stat.S_ISREG(mode) or stat.S_ISLNK(mode):
        return None
    return path.open("wb")


def _open_temporary(target: Path) -> tuple[BinaryIO, Path]:
    """Return an empty file beside the target: what a kill left of one, or a new one."""
    name = os.fsdecode(os.fsencode(target.name)[:_LONGEST_NAME])
    temporary = target.with_name(f".{name}.tmp")
    with contextlib.suppress(OSError):
        file, ours = open_locked(temporary)
        # Somebody may have put a link to another file there.
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
