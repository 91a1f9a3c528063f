"""Further logs of a run beside metrics.jsonl: a CSV file, TensorBoard, Weights & Biases.

Figures have the names of metrics.jsonl. A figure of a step and one of a validation may share a name; the kind of
record tells them apart, as in `step/recon` and `epoch/recon`. When a run is resumed, the CSV file and the event file
are rewritten from the records that metrics.jsonl keeps, without those of steps that will be done again.
"""

from __future__ import annotations

import contextlib
import csv
import importlib
import io
import json
import math
import secrets
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from sritool.errors import SritoolError, UsageError, quoted, suggestion
from sritool.files import append, cannot_write, write_text

Record = Mapping[str, Any]
CSV, EVENTS, WANDB = "metrics.csv", "tensorboard", "wandb"
_NO_FIGURES = ("kind", "step", "epoch", "stage")


class LiveLog:
    """One destination of records; nothing is written before `begin`."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder  # the run folder

    def begin(self, records: Sequence[Record]) -> None:
        """Start the log with exactly these records."""

    def add(self, record: Record) -> None:
        """Add a record."""

    def close(self) -> None:
        """Write records that are still in memory."""


class CsvLog(LiveLog):
    """metrics.csv: one row per record; a column that is added later is empty in earlier rows."""

    def begin(self, records: Sequence[Record]) -> None:
        self._columns = list(dict.fromkeys(name for record in records for name in record))
        self._write(records)

    def add(self, record: Record) -> None:
        """Append a row; rewrite the file if the record has a new column."""
        path, new = self._folder / CSV, [name for name in record if name not in self._columns]
        if not new:
            append(path, self._rows([record]).encode())
            return
        with path.open(encoding="utf-8", newline="") as file:
            before = [*csv.DictReader(file)]
        self._columns += new
        self._write([*before, record])

    def _write(self, records: Sequence[Record]) -> None:
        heading = {name: name for name in self._columns}
        write_text(self._folder / CSV, self._rows([heading, *records]), follow=False)

    def _rows(self, records: Sequence[Record]) -> str:
        text = io.StringIO()
        writer = csv.writer(text, lineterminator="\n")
        writer.writerows([_cell(record.get(name, "")) for name in self._columns] for record in records)
        return text.getvalue()


def _cell(value: Any) -> Any:
    if value is None or (isinstance(value, float) and not math.isfinite(value)):
        return ""  # metrics.jsonl stores a value that is not finite as null
    return json.dumps(value) if isinstance(value, list | bool) else value


class TensorBoardLog(LiveLog):
    """An event file in the run folder; spaces in names are written as underscores."""

    _writer: Any = None

    def begin(self, records: Sequence[Record]) -> None:
        """Replace all event files by one; the time between records stays the same."""
        from torch.utils.tensorboard import SummaryWriter

        folder = self._folder / EVENTS
        for path in folder.glob("events.out.tfevents.*"):
            path.unlink()
        self._writer = SummaryWriter(str(folder))
        seconds = [float(record.get("seconds", 0.0)) for record in records]
        began = time.time() - max(seconds, default=0.0)
        for record, spent in zip(records, seconds, strict=True):
            self._add(record, began + spent)
        self._writer.flush()

    def add(self, record: Record) -> None:
        self._add(record, time.time())
        self._writer.flush()

    def close(self) -> None:
        if self._writer is not None:
            self._writer.close()

    def _add(self, record: Record, when: float) -> None:
        for name, value in figures_of(record):
            self._writer.add_scalar(name.replace(" ", "_"), value, record["step"], walltime=when)


class WandbLog(LiveLog):
    """A Weights & Biases run under one id; records already sent cannot be withdrawn."""

    _run: Any = None

    def begin(self, records: Sequence[Record]) -> None:
        """Continue under the run's id, and send the records that it lacks."""
        import wandb

        self._state, known = self._folder / WANDB / "sritool.json", None
        with contextlib.suppress(OSError, ValueError):
            known = json.loads(self._state.read_text(encoding="utf-8"))
        known = known if isinstance(known, dict) else {}
        name, step = str(known.get("id") or secrets.token_hex(4)), known.get("step")
        try:
            self._run = wandb.init(
                project="sritool", name=self._folder.name, id=name, resume="allow", dir=str(self._folder)
            )
        except wandb.Error as error:
            reason = " ".join(str(error).split())[:150].rstrip(".")
            raise UsageError(
                f"--log wandb: {reason}; log in with `wandb login`, or set WANDB_MODE=offline"
            ) from error
        self._state.parent.mkdir(exist_ok=True)
        self._keep(name, step if isinstance(step, int) else -1)
        for record in records:
            self.add(record)

    def add(self, record: Record) -> None:
        """Send a record, unless it or a later one was sent already."""
        step = record["step"]
        if step < self._sent or (step == self._sent and record["kind"] == "step"):
            return
        self._run.log(dict(figures_of(record)), step=step)
        self._keep(self._run.id, step)

    def close(self) -> None:
        if self._run is not None:
            self._run.finish()

    def _keep(self, name: str, step: int) -> None:
        self._sent = step
        write_text(self._state, json.dumps({"id": name, "step": step}), follow=False)


_KINDS: dict[str, type[LiveLog]] = {"tensorboard": TensorBoardLog, "wandb": WandbLog, "csv": CsvLog}


def figures_of(record: Record) -> Iterator[tuple[str, float]]:
    """Yield the figures of a record as (kind/name, value)."""
    for name, value in record.items():
        if name not in _NO_FIGURES and isinstance(value, int | float) and math.isfinite(value):
            yield f"{record['kind']}/{name}", float(value)


def check_live_logs(names: Sequence[str]) -> tuple[str, ...]:
    """Return the names of logs without duplicates.

    Raises:
        UsageError: There is no such log, or the package of the same name is not installed.
    """
    for name in names:
        if name not in _KINDS:
            raise UsageError(f"--log {quoted(name)}: there is no such log{suggestion(name, _KINDS)}")
        try:
            importlib.import_module(name)  # csv is part of Python
        except ImportError as error:
            raise UsageError(
                f"--log {name} needs the package {name}, which is not installed; run: pip install {name}"
            ) from error
    return tuple(dict.fromkeys(names))


class LiveLogs(LiveLog):
    """All logs that a run was asked for, by the names that `check_live_logs` returned.

    An OSError in one of them becomes a SritoolError with a message of one line.
    """

    def __init__(self, names: Sequence[str], folder: Path) -> None:
        super().__init__(folder)
        self._logs = [_KINDS[name](folder) for name in names]

    def begin(self, records: Sequence[Record]) -> None:
        self._each(lambda log: log.begin(records))

    def add(self, record: Record) -> None:
        self._each(lambda log: log.add(record))

    def close(self) -> None:
        self._each(lambda log: log.close())

    def _each(self, work: Callable[[LiveLog], None]) -> None:
        try:
            for log in self._logs:
                work(log)
        except OSError as error:
            raise SritoolError(cannot_write(self._folder, error, "no --log")) from error
