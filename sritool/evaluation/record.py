"""Measurements on disk beside a checkpoint, in one format, so that nothing is measured twice.

    evaluations.jsonl     finished evaluations, see `evaluations_on_record`
    .evaluate-KEY.jsonl   batches of an evaluation that is still running or was killed, see `FinishedBatches`
    latents/KEY.jsonl     codes of sentences, see `posterior_codes`

A record is a file of JSON lines that end with a checksum. Lines are only appended, each in one write, so two
processes may write at once. A line that was cut by a kill or changed is skipped and counted. Unlike SQLite's WAL
mode, this needs neither locks nor shared memory, which network file systems of clusters may lack.

KEY stands for everything that the content depends on, so content found under it can be used as it is.
"""

from __future__ import annotations

import base64
import contextlib
import hashlib
import json
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray

from sritool.data.arrays import Joined, pieces_of
from sritool.errors import CheckpointError, advice_on
from sritool.files import append, digest_of
from sritool.processes import measuring
from sritool.runs.bundled import records_folder

Arrays = Mapping[str, NDArray[Any]]
Entry = TypeVar("Entry")

VERSION = 3  # of the format, and of what the figures mean; part of every key

_CHECKSUM = b', "checksum": "'
_NOT_READABLE = (ValueError, KeyError, TypeError, AttributeError, OverflowError, RecursionError)


class Record:
    """A file of lines with checksums. If several processes measure together, the first one reads and writes.

    Attributes:
        path: The file, which need not exist.
        damaged: Number of lines that cannot be used.
        writable: False once a line could not be written; nothing is written from then on.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.damaged = 0
        self.writable = True
        self._leads = measuring().is_first

    def read(self, decode: Callable[[dict[str, Any]], Entry]) -> Iterator[Entry]:
        """Yield `decode` of each intact line; a line that it cannot read counts as damaged."""
        try:
            content = self.path.read_bytes() if self._leads else b""
        except OSError:
            content = b""
        for line in filter(None, measuring().broadcast_bytes(content).split(b"\n")):
            body, mark, ending = line.rpartition(_CHECKSUM)
            try:
                if not mark or ending != _checksum(body) + b'"}':
                    raise ValueError("damaged")
                entry = decode(json.loads(body + b"}"))
            except _NOT_READABLE:
                self.damaged += 1
            else:
                yield entry

    def append(self, entry: Mapping[str, Any], sync: bool = False) -> None:
        """Append at least one plain value as a line in one write; with `sync`, the line is then on the disk.

        A folder that cannot be written to does not raise an error.
        """
        body = json.dumps(entry).encode("ascii")[:-1]
        if self.writable and self._leads:
            try:
                append(self.path, body + _CHECKSUM + _checksum(body) + b'"}\n', sync=sync)
            except OSError:
                self.writable = False

    def remove(self) -> None:
        """Delete the file, if it is there."""
        if not self._leads:
            return
        with contextlib.suppress(OSError):
            self.path.unlink(missing_ok=True)


class FinishedBatches(Record):
    """Finished batches of a measurement, so that a killed one continues where it stopped.

    A batch is written as soon as it is done. The measurement removes the file at its end.

    Attributes:
        found: Number of batches on record at the start.
    """

    def __init__(self, beside: Path, *parts: object) -> None:
        """Read the batches that an earlier measurement finished.

        Args:
            beside: The checkpoint, or any file in the record's folder.
            parts: Everything that the batches depend on, including the checkpoint's `checkpoint_hash`.
        """
        super().__init__(records_folder(beside) / f".evaluate-{fingerprint(VERSION, *parts)[:24]}.jsonl")
        self._known = dict(self.read(_batch))
        self.found = len(self._known)

    def get(self, stage: str, number: int) -> dict[str, NDArray[Any]] | None:
        """Return the arrays of a batch of a stage; None if it must be measured."""
        return self._known.get((stage, number))

    def add(self, stage: str, number: int, arrays: Arrays) -> None:
        """Record a batch."""
        self.append({"stage": stage, "number": number, "arrays": packed(arrays)})

    def notes(self) -> Iterator[str]:
        """Notes on damaged lines and on batches found."""
        if self.damaged:
            yield f"damaged lines of {self.path.name}: {self.damaged}; what they held was measured again"
        if self.found:
            yield f"went on after {self.found} batches that were done before"


def _batch(entry: Mapping[str, Any]) -> tuple[tuple[str, int], dict[str, NDArray[Any]]]:
    return (str(entry["stage"]), int(entry["number"])), unpacked(entry["arrays"])


def packed(arrays: Arrays) -> dict[str, Any]:
    """Convert arrays of numbers to JSON values."""
    return {
        name: {
            "dtype": array.dtype.str,
            "shape": array.shape,
            "base64": base64.b64encode(np.ascontiguousarray(array).tobytes()).decode(),
        }
        for name, array in arrays.items()
    }


def unpacked(entry: Mapping[str, Any]) -> dict[str, NDArray[Any]]:
    """Inverse of `packed`. Raises: ValueError, KeyError or TypeError for anything else."""
    found = {}
    for name, array in entry.items():
        dtype = np.dtype(array["dtype"])
        if dtype.kind not in "fu":
            raise ValueError(f"{name} has no numbers")
        found[name] = np.frombuffer(base64.b64decode(array["base64"]), dtype).reshape(array["shape"])
    return found


def checkpoint_hash(path: Path) -> str:
    """Return the SHA-256 of a file in hexadecimal. Raises: CheckpointError if it cannot be read."""
    try:
        return digest_of(path)
    except OSError as error:
        raise CheckpointError(f"cannot read {path}: {error.strerror}; {advice_on(error)}") from error


def fingerprint(*parts: object) -> str:
    """Return the SHA-256 of arrays, and of values that `repr` distinguishes."""
    digest = hashlib.sha256()
    for item in parts:
        if isinstance(item, (np.ndarray, Joined)):
            for piece in pieces_of(item):
                digest.update(piece.tobytes())
        else:
            digest.update(repr(item).encode())
        digest.update(b"\0")
    return digest.hexdigest()


def _checksum(body: bytes) -> bytes:
    return hashlib.sha256(body).hexdigest()[:16].encode("ascii")
