"""metrics.jsonl of a run: figures measured during training, one record per line."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from sritool.errors import SritoolError
from sritool.files import append, cannot_write, write_text
from sritool.runs.stage import Stage, stage_of


class MetricsLog:
    """metrics.jsonl, one record per line; records of steps that a resumed run will do again are dropped first."""

    def __init__(
        self, path: Path, steps: int = 0, epochs: int = 0, stage: Stage = Stage.METHOD, tuned: int = 0
    ) -> None:
        """Open the log, and drop the records of steps and epochs that are not done.

        Args:
            path: The file, which need not exist.
            steps: Steps done.
            epochs: Epochs done of the autoencoder, or of what follows it.
            stage: The stage that the run is in.
            tuned: Epochs done at the last search for step sizes.

        Raises:
            SritoolError: The file cannot be written.
        """
        self._path = path

        def is_done(record: Mapping[str, Any]) -> bool:
            if record["kind"] == "tune" and record["epoch"] > tuned:
                return False
            if record["kind"] != "epoch":
                return bool(record["step"] <= steps)
            first, now = stage_of(record) is Stage.AUTOENCODER, stage is Stage.AUTOENCODER
            return first if first != now else bool(record["epoch"] <= epochs)

        kept = [record for record in read_metrics(path) if is_done(record)]
        try:
            write_text(path, "".join(_line(record) for record in kept), follow=False)
        except OSError as error:
            raise self._failed(error) from error

    def add(self, record: Mapping[str, Any]) -> None:
        """Append one record; it is on the disk before the last.pt that it describes.

        Raises:
            SritoolError: The file cannot be written.
        """
        try:
            append(self._path, _line(record).encode("ascii"))
        except OSError as error:
            raise self._failed(error) from error

    def _failed(self, error: OSError) -> SritoolError:
        instead = "the run a folder it can write to; --resume continues from the last save"
        return SritoolError(cannot_write(self._path, error, instead))


def _line(record: Mapping[str, Any]) -> str:
    """Return a record as JSON; a figure that is not finite becomes null, as JSON has no NaN."""
    return json.dumps({key: _finite(value) for key, value in record.items()}, allow_nan=False) + "\n"


def _finite(value: Any) -> Any:
    if isinstance(value, list):
        return [_finite(item) for item in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value


def read_metrics(path: Path) -> list[dict[str, Any]]:
    """Return all complete records of a metrics.jsonl; an empty list if there is no file."""
    return parse_metrics(path.read_bytes())[0] if path.is_file() else []


def parse_metrics(content: bytes) -> tuple[list[dict[str, Any]], int]:
    """Return all complete records, and the number of damaged lines, as a kill or a power cut leaves them."""
    records, damaged = [], 0
    for line in filter(None, content.split(b"\n")):
        try:
            record = json.loads(line)
        except (ValueError, RecursionError):
            record = None
        counts = isinstance(record, dict) and (record.get("step"), record.get("epoch"))
        if counts and "kind" in record and all(isinstance(count, int) for count in counts):
            records.append(record)
        else:
            damaged += 1
    return records, damaged
