"""Training curves of runs, read from their metrics.jsonl."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from sritool.config.values import read_toml
from sritool.errors import DataError, UsageError
from sritool.runs.folder import BEST, CONFIG, LAST, METRICS, find_checkpoint
from sritool.runs.metrics_log import parse_metrics
from sritool.runs.stage import Stage, stage_of

VALIDATION = ("nll", "posterior-kl", "recon", "au", "permuted")
TRAINING = "train recon"
OF_Z = ("posterior-kl", "au", "permuted")  # recorded as 0, and meaningless, for a model without z
METRIC_NAMES = (*VALIDATION, TRAINING)


class Point(NamedTuple):
    """One number on record."""

    run: str
    metric: str  # one of METRIC_NAMES
    epoch: float  # epochs done; 0 or less during autoencoder pretraining
    step: int
    value: float
    se: float | None  # standard error over the sentences of a validation


class Curves(NamedTuple):
    """All numbers of all runs, run by run in the order given, and notes."""

    points: list[Point]
    notes: list[str]


def read_curves(runs: Sequence[Path], runs_dir: Path) -> Curves:
    """Read validations and training loss of runs; a model without z has no curves of OF_Z.

    Runs are folders or checkpoints in them; none: the newest run.

    Raises:
        CheckpointError: A run does not exist.
        DataError: No run has a figure on record.
    """
    files: list[Path] = []
    notes = []
    for path in [metrics_file(run, runs_dir) for run in runs] or [metrics_file(None, runs_dir)]:
        if path.resolve() in (file.resolve() for file in files):
            notes.append(f"{path.parent.name} was given more than once; it is drawn once")
        else:
            files.append(path)
    folder_names = [path.resolve().parent.name for path in files]
    points: list[Point] = []
    for path, name in zip(files, folder_names, strict=True):
        run = str(path.parent) if folder_names.count(name) > 1 else name
        records, damaged = read_records(path)
        found = points_of(run, records)
        if _without_z(path.with_name(CONFIG)):
            found = [point for point in found if point.metric not in OF_Z]
        if damaged:
            notes.append(f"{damaged} damaged lines of {path} are left out")
        if not found:
            notes.append(f"{run} has no figure on record yet")
        elif all(point.metric == TRAINING for point in found):
            complete = ", with its first epoch drawn as if complete" if _is_first_epoch(records) else ""
            notes.append(f"{run} has no validation yet: only its training recon is drawn{complete}")
        points += found
    if not points:
        raise DataError(f"{notes[-1]}; wait, or train on with --resume")
    return Curves(points, notes)


def _without_z(config: Path) -> bool:
    """Whether a run's configuration says that its model has no z."""
    try:
        return bool(read_toml(config)["generator"]["latent"] == 0)
    except (UsageError, KeyError, TypeError):
        return False


def metrics_file(run: Path | None, runs_dir: Path) -> Path:
    """Find the metrics.jsonl of a run, even before its first checkpoint.

    Raises: CheckpointError if there is no such run, DataError if it has no metrics.
    """
    if run is not None:
        for path in (run, run / METRICS, runs_dir / run / METRICS):
            if path.name == METRICS and path.is_file():
                return path
    checkpoint = find_checkpoint(run, runs_dir)
    path = checkpoint.with_name(METRICS)
    if checkpoint.name not in (BEST, LAST) or not path.is_file():
        raise DataError(f"there is no {METRICS} beside {checkpoint}; give a run folder of sritool train")
    return path


def read_records(path: Path) -> tuple[list[dict[str, Any]], int]:
    """Return the records of a metrics.jsonl in step order, and the number of damaged lines.

    An unfinished last line is left out. Raises: DataError if the file cannot be read.
    """
    try:
        whole, _, _ = path.read_bytes().rpartition(b"\n")
    except OSError as error:
        raise DataError(f"cannot read {path}: {error.strerror}; give another run") from error
    records, damaged = parse_metrics(whole)
    return sorted(records, key=lambda record: record["step"]), damaged


def points_of(run: str, records: Sequence[Mapping[str, Any]]) -> list[Point]:
    """Return the numbers of one run: its validations, then its training loss."""
    found = []
    before = _epochs_of_autoencoder(records)
    for record in (record for record in records if record["kind"] == "epoch"):
        epoch, step = float(_epoch_of(record, before)), int(record["step"])
        for metric in ("nll",) if stage_of(record) is Stage.LANGUAGE_MODEL else VALIDATION:
            value, error = (_number(record.get(name)) for name in (metric, f"{metric} se"))
            if value is not None:
                found.append(Point(run, metric, epoch, step, value, error))
    ends = _ends(records)
    steps = np.array([0, *(int(record["step"]) for record in ends)])
    epochs = np.array([-before, *(_epoch_of(record, before) for record in ends)])
    # Later epochs are assumed to be as long as the last ones.
    length = max(1.0, np.diff(steps)[-1] / max(1, np.diff(epochs)[-1])) if ends else 1.0
    for record in records:
        value = _number(record.get("recon"))
        if record["kind"] == "step" and value is not None:
            step = int(record["step"])
            epoch = float(np.interp(step, steps, epochs) + max(0, step - steps[-1]) / length)
            found.append(Point(run, TRAINING, epoch, step, value, None))
    return found


def _epochs_of_autoencoder(records: Sequence[Mapping[str, Any]]) -> int:
    """The number of epochs of autoencoder pretraining, begun ones included."""
    early = [record for record in _of_training(records) if stage_of(record) is Stage.AUTOENCODER]
    return max((int(record["epoch"]) for record in early), default=0)


def _epoch_of(record: Mapping[str, Any], before: int) -> int:
    """The number of the record's epoch, 0 or less in the `before` epochs of autoencoder pretraining."""
    return int(record["epoch"]) - before * (stage_of(record) is Stage.AUTOENCODER)


def _of_training(records: Sequence[Mapping[str, Any]]) -> list[Mapping[str, Any]]:
    return [record for record in records if record["kind"] in ("epoch", "step")]


def _ends(records: Sequence[Mapping[str, Any]]) -> list[Mapping[str, Any]]:
    """The validations; without any, the last step on record of each epoch, but of the present one only if alone."""
    validations = [record for record in records if record["kind"] == "epoch"]
    lasts = list({(stage_of(of), of["epoch"]): of for of in _of_training(records)}.values())
    return validations or lasts[:-1] or lasts


def _is_first_epoch(records: Sequence[Mapping[str, Any]]) -> bool:
    return len({(stage_of(of), of["epoch"]) for of in _of_training(records)}) == 1


def _number(value: object) -> float | None:
    return float(value) if isinstance(value, int | float) and math.isfinite(value) else None
