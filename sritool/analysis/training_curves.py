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
OF_Z = ("posterior-kl", "au", "permuted")  # 0 on record, and no figures at all, where there is no z
METRIC_NAMES = (*VALIDATION, TRAINING)


class Point(NamedTuple):
    """One number on record."""

    run: str
    metric: str  # one of METRIC_NAMES
    epoch: float  # epochs done; 0 and below while a method trains the autoencoder that it begins with
    step: int
    value: float
    se: float | None  # of a validation, over its sentences


class Curves(NamedTuple):
    """All numbers of all runs, run by run in the order given, and what must be said of them."""

    points: list[Point]
    notes: list[str]


def read_curves(runs: Sequence[Path], runs_dir: Path) -> Curves:
    """Read the validations of runs, and the training loss between them; without z there are no curves of OF_Z.

    Runs are folders or checkpoints in them; none: the newest run.

    Raises:
        CheckpointError: There is no such run.
        DataError: None of them has been validated yet.
    """
    files: list[Path] = []
    notes = []
    for path in [metrics_file(run, runs_dir) for run in runs] or [metrics_file(None, runs_dir)]:
        if path.resolve() in (file.resolve() for file in files):
            notes.append(f"{path.parent.name} was given more than once and stands once")
        else:
            files.append(path)
    shared = [path.resolve().parent.name for path in files]
    points: list[Point] = []
    for path, name in zip(files, shared, strict=True):
        run = str(path.parent) if shared.count(name) > 1 else name
        records, damaged = read_records(path)
        found = points_of(run, records)
        if _without_z(path.with_name(CONFIG)):
            found = [point for point in found if point.metric not in OF_Z]
        if damaged:
            notes.append(f"{damaged} damaged lines of {path} are left out")
        if not found:
            notes.append(f"{run} has no validation yet: the first is at the end of its first epoch")
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
    """Find the metrics.jsonl of a run, which may be too young for a checkpoint.

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
    """Return the records of a metrics.jsonl in the order of their steps, and the number of damaged lines.

    A line that is being written is left out. Raises: DataError if the file cannot be read.
    """
    try:
        whole, _, _ = path.read_bytes().rpartition(b"\n")
    except OSError as error:
        raise DataError(f"cannot read {path}: {error.strerror}; give another run") from error
    records, damaged = parse_metrics(whole)
    return sorted(records, key=lambda record: record["step"]), damaged


def points_of(run: str, records: Sequence[Mapping[str, Any]]) -> list[Point]:
    """Return the numbers of one run; none without a validation, as only that tells how many steps an epoch has."""
    ends = [record for record in records if record["kind"] == "epoch"]
    if not ends:
        return []
    early = [stage_of(record) is Stage.AUTOENCODER for record in ends]
    numbers = [int(record["epoch"]) for record in ends]
    before = max(number * is_early for number, is_early in zip(numbers, early, strict=True))
    epochs = [number - before * is_early for number, is_early in zip(numbers, early, strict=True)]
    steps = [0, *(int(record["step"]) for record in ends)]
    places = [-before, *epochs]
    # The epoch that is under way is taken to be as long as the one before it.
    steps.append(2 * steps[-1] - steps[-2])
    places.append(places[-1] + 1)
    found = []
    for record, epoch in zip(ends, epochs, strict=True):
        for metric in ("nll",) if stage_of(record) is Stage.LANGUAGE_MODEL else VALIDATION:
            value, error = (_number(record.get(name)) for name in (metric, f"{metric} se"))
            if value is not None:
                found.append(Point(run, metric, float(epoch), int(record["step"]), value, error))
    for record in records:
        value = _number(record.get("recon"))
        if record["kind"] == "step" and value is not None:
            step = int(record["step"])
            found.append(Point(run, TRAINING, float(np.interp(step, steps, places)), step, value, None))
    return found


def _number(value: object) -> float | None:
    return float(value) if isinstance(value, int | float) and math.isfinite(value) else None
