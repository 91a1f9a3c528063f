"""Finished batches of an evaluation on disk, so that one that was killed goes on where it stopped.

A file beside the checkpoint, `.evaluate-KEY.jsonl`, with a line a batch, appended and flushed as soon as it is done.
KEY stands for all that the figures depend on: the checkpoint's bytes, the sentences, the settings and the device's
kind. The evaluation removes the file when it has ended; a line that was cut by the kill is measured again.
"""

from __future__ import annotations

import base64
import contextlib
import hashlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sritool.errors import CheckpointError
from sritool.files import append

Array = NDArray[np.float64]
Arrays = Mapping[str, Array]

VERSION = 1  # of the file, and of what the figures mean: goes up whenever old lines must not be read


class FinishedBatches:
    """What is done, by (stage, number of the batch).

    Attributes: damaged, whether a file was there that could not be read and is not used; found, batches in it.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.damaged = False
        self._known: dict[tuple[str, int], dict[str, Array]] = {}
        self._writable = True
        self._read()
        self.found = len(self._known)

    def get(self, stage: str, number: int) -> dict[str, Array] | None:
        """The arrays of a batch, None if it is to be measured."""
        return self._known.get((stage, number))

    def add(self, stage: str, number: int, arrays: Arrays) -> None:
        """Write a batch down. A folder that cannot be written to is no reason to stop: nothing is kept then."""
        if not self._writable:
            return
        line = json.dumps({"stage": stage, "number": number, "arrays": _packed(arrays)})
        try:
            head = json.dumps({"version": VERSION}) + "\n"
            append(self.path, f"{checksum(line)} {line}\n".encode("ascii"), head.encode("ascii"), sync=False)
        except OSError:
            self._writable = False

    def remove(self) -> None:
        """The evaluation has ended."""
        with contextlib.suppress(OSError):
            self.path.unlink(missing_ok=True)

    def _read(self) -> None:
        try:
            text = self.path.read_bytes()
        except OSError:
            return
        whole = text[: text.rfind(b"\n") + 1]  # a kill may cut the last line
        try:
            header, *lines = whole.decode("ascii").splitlines()
            if json.loads(header) != {"version": VERSION}:
                raise ValueError("of another version")
            for line in lines:
                sum_of_line, _, content = line.partition(" ")
                if sum_of_line != checksum(content):
                    raise ValueError("damaged")
                record = json.loads(content)
                self._known[record["stage"], record["number"]] = _unpacked(record["arrays"])
        except (ValueError, KeyError, TypeError, RecursionError):
            self.damaged, self._known = bool(whole), {}
            self.remove()
            return
        if len(whole) < len(text):
            with contextlib.suppress(OSError), self.path.open("rb+") as file:
                file.truncate(len(whole))


def beside(checkpoint: Path, *parts: object) -> Path:
    """Where the finished batches of an evaluation of this checkpoint are kept.

    Args: parts: all that they depend on, the checkpoint's `content_hash` among it, as `fingerprint` takes it.
    """
    return checkpoint.with_name(f".evaluate-{fingerprint(*parts)[:24]}.jsonl")


def content_hash(path: Path) -> str:
    """SHA-256 of a file's bytes, in hexadecimal. Raises: CheckpointError if it cannot be read."""
    try:
        with path.open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()
    except OSError as error:
        raise CheckpointError(f"cannot read {path}: {error.strerror}; check its permissions") from error


def fingerprint(*parts: object) -> str:
    """SHA-256 of arrays, and of values whose `repr` tells them apart."""
    digest = hashlib.sha256()
    for item in parts:
        digest.update(item.tobytes() if isinstance(item, np.ndarray) else repr(item).encode())
        digest.update(b"\0")
    return digest.hexdigest()


def checksum(text: str) -> str:
    """What tells a line of ASCII from a damaged one."""
    return hashlib.sha256(text.encode("ascii")).hexdigest()[:16]


def _packed(arrays: Arrays) -> dict[str, Any]:
    return {
        name: [list(array.shape), base64.b64encode(np.ascontiguousarray(array, "<f8").tobytes()).decode()]
        for name, array in arrays.items()
    }


def _unpacked(packed: Mapping[str, Any]) -> dict[str, Array]:
    return {
        name: np.frombuffer(base64.b64decode(content), "<f8").astype(np.float64).reshape(shape)
        for name, (shape, content) in packed.items()
    }
