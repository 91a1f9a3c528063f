"""Files that users ask for, written whole or not at all."""

from __future__ import annotations

import os
import secrets
from collections.abc import Iterable
from pathlib import Path

from sritool.errors import UsageError


def write_whole(path: Path, chunks: Iterable[bytes]) -> None:
    """Write a file, over one of that name; a reader sees the old one or the new one, whenever this is killed.

    A link goes on pointing to what it points to; into a pipe or a device it is written as it is.

    Raises: UsageError if it cannot be written.
    """
    try:
        if path.exists() and not path.is_file():
            with path.open("wb") as file:
                file.writelines(chunks)
            return
        target = path.resolve()
        temporary = target.with_name(f".{target.name[:100]}.{secrets.token_hex(4)}.tmp")
        try:
            with temporary.open("xb") as file:
                file.writelines(chunks)
                file.flush()
                os.fsync(file.fileno())
            temporary.replace(target)
        finally:
            temporary.unlink(missing_ok=True)
    except OSError as error:
        raise UsageError(f"cannot write {path}: {error.strerror}; give another file") from error
