"""What the training of a run took."""

from __future__ import annotations

import contextlib
import statistics
from pathlib import Path
from typing import NamedTuple

from sritool.config.values import build
from sritool.errors import CheckpointError
from sritool.evaluation.sentences import prepared_corpus
from sritool.runs.checkpoint import load_checkpoint
from sritool.runs.folder import BEST, LAST, METRICS
from sritool.runs.metrics_log import read_metrics
from sritool.runs.model import TrainedModel
from sritool.runs.stage import of_latest_stage
from sritool.training.position import Position, ends_early


class Training(NamedTuple):
    """What a run took."""

    parameters: int  # of all its modules
    tokens_per_second: float | None  # of the corpus, median over the records of its steps
    seconds: float
    epochs: int  # done
    planned: int
    sentences: int  # that it was trained on
    of: int  # in the training split
    left: str  # what is missing to its end, "" if nothing
    encoder: str = ""  # the checkpoint that its encoder comes from, if it was not trained here


def training_of(model: TrainedModel, data_dir: Path) -> Training:
    """Tell what the run that a checkpoint belongs to took so far, by the last.pt and metrics.jsonl beside it."""
    config, folder, last = model.checkpoint.config, model.path.parent, model.checkpoint
    in_its_folder = model.path.name in (BEST, LAST)
    if in_its_folder:
        with contextlib.suppress(CheckpointError):  # it may be copied without, or damaged
            last = load_checkpoint(folder / LAST)
    records = read_metrics(folder / METRICS) if in_its_folder else []
    steps = of_latest_stage([record for record in records if record.get("kind") == "step"])
    # The first step warms up; it alone is better than nothing.
    speeds = [float(record["tokens_per_second"]) for record in steps if record["step"] > 1 or len(steps) == 1]
    done, planned = int(last.progress["epoch"]), config.training.epochs
    left = ""
    if last.trainer is None:
        left = f"no {LAST} beside it: time and epochs are those at the checkpoint"
    elif done < planned and not ends_early(
        model.method, config, planned, build(Position, last.trainer["position"])
    ):
        left = f"its training has not ended: {done} of {planned} epochs"
    of = prepared_corpus(model, data_dir).info.splits["train"].sentences
    return Training(
        parameters=sum(parameter.numel() for parameter in model.method.modules.parameters()),
        tokens_per_second=statistics.median(speeds) if speeds else None,
        seconds=float(last.progress["seconds"]),
        epochs=done,
        planned=planned,
        sentences=min(config.training.sentences or of, of),
        of=of,
        left=left,
        encoder=config.pretraining.encoder if model.method.pretrains else "",
    )
