"""Where a run's records go beside metrics.jsonl: a CSV file, TensorBoard, Weights & Biases.

They have the names of metrics.jsonl. A figure of a step and one of a validation may share a name: the kind of record
tells them apart, as `step/recon` and `epoch/recon`. What a resumed run will do again is cut off: a CSV file and an
event file are written anew from the records that metrics.jsonl keeps.
"""

from __future__ import annotations

import contextlib
import csv
import io
import json
import math
import secrets
import time
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Protocol

from sritool.errors import SritoolError, UsageError, quoted, suggestion
from sritool.files import append, cannot_write, write_text

Record = Mapping[str, Any]
CSV, EVENTS, WANDB = "metrics.csv", "tensorboard", "wandb"
_NO_FIGURES = ("kind", "step", "epoch", "pretraining")


class LiveLog(Protocol):
    """One place that records go to."""

    def begin(self, records: Sequence[Record]) -> None:
        """Hold these records and no others."""

    def add(self, record: Record) -> None:
        """Take in one more."""

    def close(self) -> None:
        """Write what is still in memory."""


class CsvLog:
    """metrics.csv: a row a record; a column that comes later is empty in the rows before."""

    def __init__(self, folder: Path) -> None:
        self._path = folder / CSV
        self._columns: list[str] = []

    def begin(self, records: Sequence[Record]) -> None:
        """Write the file anew."""
        self._columns = list(dict.fromkeys(name for record in records for name in record))
        self._write(records)

    def add(self, record: Record) -> None:
        """Append a row, or write the file anew where there is a new column."""
        new = [name for name in record if name not in self._columns]
        if new:
            with self._path.open(encoding="utf-8", newline="") as file:
                before = [*csv.DictReader(file)]
            self._columns += new
            self._write([*before, record])
            return
        append(self._path, self._rows([record]).encode())

    def close(self) -> None:
        """All is written."""

    def _write(self, records: Sequence[Record]) -> None:
        write_text(
            self._path,
            self._rows([dict(zip(self._columns, self._columns, strict=True)), *records]),
            follow=False,
        )

    def _rows(self, records: Sequence[Record]) -> str:
        text = io.StringIO()
        writer = csv.writer(text, lineterminator="\n")
        writer.writerows([_cell(record.get(name, "")) for name in self._columns] for record in records)
        return text.getvalue()


def _cell(value: Any) -> Any:
    if isinstance(value, float) and not math.isfinite(value):
        return ""
    return json.dumps(value) if isinstance(value, list | bool) or value is None else value


class TensorBoardLog:
    """An event file in the run's folder; a name's spaces are written as underscores."""

    def __init__(self, folder: Path) -> None:
        from torch.utils.tensorboard import SummaryWriter

        self._folder, self._writer_of = folder / EVENTS, SummaryWriter
        self._writer: Any = None

    def begin(self, records: Sequence[Record]) -> None:
        """Put one event file in the place of those that are there; records keep their distance in time."""
        for path in self._folder.glob("events.out.tfevents.*"):
            path.unlink()
        self._writer = self._writer_of(str(self._folder))
        end = time.time() - max((float(record.get("seconds", 0.0)) for record in records), default=0.0)
        for record in records:
            self._add(record, end + float(record.get("seconds", 0.0)))
        self._writer.flush()

    def add(self, record: Record) -> None:
        """Write a record's figures."""
        self._add(record, time.time())
        self._writer.flush()

    def close(self) -> None:
        """Write what is still in memory."""
        if self._writer is not None:
            self._writer.close()

    def _add(self, record: Record, when: float) -> None:
        for name, value in figures_of(record):
            self._writer.add_scalar(name.replace(" ", "_"), value, record["step"], walltime=when)


class WandbLog:
    """A run of Weights & Biases under one id; what was sent cannot be taken back, and is not sent again."""

    def __init__(self, folder: Path) -> None:
        import wandb

        self._wandb, self._folder = wandb, folder
        self._state = folder / WANDB / "sritool.json"
        self._run: Any = None
        self._sent = -1

    def begin(self, records: Sequence[Record]) -> None:
        """Go on with the run's id, and send what it lacks."""
        known: Any = {}
        with contextlib.suppress(OSError, ValueError):
            known = json.loads(self._state.read_text(encoding="utf-8"))
        known = known if isinstance(known, dict) else {}
        name = str(known.get("id") or secrets.token_hex(4))
        self._sent = known["step"] if isinstance(known.get("step"), int) else -1
        try:
            self._run = self._wandb.init(
                project="sritool", name=self._folder.name, id=name, resume="allow", dir=str(self._folder)
            )
        except self._wandb.Error as error:
            reason = " ".join(str(error).split())[:150].rstrip(".")
            raise UsageError(
                f"--log wandb: {reason}; log in with `wandb login`, or set WANDB_MODE=offline"
            ) from error
        self._state.parent.mkdir(exist_ok=True)
        self._keep(name, self._sent)
        for record in records:
            self._send(record)

    def add(self, record: Record) -> None:
        """Send a record, once all of an earlier step are."""
        self._send(record)

    def close(self) -> None:
        """End the connection."""
        if self._run is not None:
            self._run.finish()

    def _send(self, record: Record) -> None:
        step = record["step"]
        if step < self._sent or (step == self._sent and record["kind"] == "step"):
            return
        self._run.log(dict(figures_of(record)), step=step)
        self._keep(self._run.id, step)

    def _keep(self, name: str, step: int) -> None:
        self._sent = step
        write_text(self._state, json.dumps({"id": name, "step": step}))


_KINDS: dict[str, tuple[type[Any], str]] = {
    "tensorboard": (TensorBoardLog, "tensorboard"),
    "wandb": (WandbLog, "wandb"),
    "csv": (CsvLog, ""),
}
LIVE_LOGS = tuple(_KINDS)
"""Names of all kinds."""


def figures_of(record: Record) -> Iterator[tuple[str, float]]:
    """Yield the numbers of a record by their names, after the record's kind."""
    for name, value in record.items():
        if name not in _NO_FIGURES and isinstance(value, int | float) and math.isfinite(value):
            yield f"{record['kind']}/{name}", float(value)


def check_live_logs(names: Sequence[str]) -> tuple[str, ...]:
    """Return the names, each once.

    Raises:
        UsageError: There is no such kind, or its package is not installed.
    """
    for name in names:
        if name not in _KINDS:
            raise UsageError(f"--log {quoted(name)}: there is no such log{suggestion(name, _KINDS)}")
        package = _KINDS[name][1]
        if package:
            try:
                __import__(package)
            except ImportError as error:
                raise UsageError(
                    f"--log {name} needs the package {package}, which is not here; install it: pip install {package}"
                ) from error
    return tuple(dict.fromkeys(names))


class LiveLogs:
    """All logs that a run was asked for; an error that the system has with one is told in one line."""

    def __init__(self, names: Sequence[str], folder: Path) -> None:
        """Prepare them; nothing is written yet.

        Args:
            names: As `check_live_logs` returned them.
            folder: The run's folder.
        """
        self._logs: list[LiveLog] = [_KINDS[name][0](folder) for name in names]
        self._folder = folder

    def begin(self, records: Sequence[Record]) -> None:
        """Hold these records and no others."""
        with self._explained():
            for log in self._logs:
                log.begin(records)

    def add(self, record: Record) -> None:
        """Take in one more."""
        with self._explained():
            for log in self._logs:
                log.add(record)

    def close(self) -> None:
        """Write what is still in memory."""
        with self._explained():
            for log in self._logs:
                log.close()

    @contextlib.contextmanager
    def _explained(self) -> Iterator[None]:
        try:
            yield
        except OSError as error:
            raise SritoolError(cannot_write(self._folder, error, "no --log")) from error
