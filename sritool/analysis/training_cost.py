"""Training cost of a run: time, epochs and speed."""

from __future__ import annotations

import contextlib
import statistics
from pathlib import Path
from typing import NamedTuple

from sritool.errors import CheckpointError
from sritool.evaluation.sentences import prepared_corpus
from sritool.runs.checkpoint import load_checkpoint
from sritool.runs.folder import BEST, LAST, METRICS
from sritool.runs.metrics_log import read_metrics
from sritool.runs.model import TrainedModel
from sritool.runs.stage import of_latest_stage
from sritool.training.position import is_over

NO_LAST = f"no {LAST} beside it: time and epochs are those at the checkpoint"


class Training(NamedTuple):
    """Training cost of a run."""

    parameters: int  # of all modules
    tokens_per_second: float | None  # tokens of the corpus; median over the recorded steps
    seconds: float
    epochs: int  # done
    planned: int  # epochs
    sentences: int  # trained on
    of: int  # sentences in the training split
    left: str  # note if training is unfinished or last.pt is missing, else ""
    ended: bool = True  # False: the rest of its plan is still to come
    encoder: str = ""  # checkpoint of a pretrained encoder; "" if it was trained in this run


def training_of(model: TrainedModel, data_dir: Path) -> Training:
    """Return the cost so far of a checkpoint's run, from the last.pt and metrics.jsonl beside it."""
    folder, last = model.path.parent, model.checkpoint
    in_its_folder = model.path.name in (BEST, LAST)
    if in_its_folder:
        with contextlib.suppress(CheckpointError):  # it may be missing or damaged
            last = load_checkpoint(folder / LAST)
    records = read_metrics(folder / METRICS) if in_its_folder else []
    steps = of_latest_stage([record for record in records if record.get("kind") == "step"])
    # The first step includes warming up; it counts only if there is no other.
    speeds = [float(record["tokens_per_second"]) for record in steps if record["step"] > 1 or len(steps) == 1]
    config = last.config  # best.pt may be from before a resumed run got more epochs
    done, planned = last.progress.epoch, config.training.epochs
    ended = last.trainer is None or is_over(last, folder / LAST)
    left = NO_LAST if last.trainer is None else ""
    if not ended:
        left = f"its training has not ended: {done} of {planned} epochs"
    of = prepared_corpus(model, data_dir).info.splits["train"].sentences
    return Training(
        parameters=sum(parameter.numel() for parameter in model.method.modules.parameters()),
        tokens_per_second=statistics.median(speeds) if speeds else None,
        seconds=last.progress.seconds,
        epochs=done,
        planned=planned,
        sentences=min(config.training.sentences or of, of),
        of=of,
        left=left,
        ended=ended,
        encoder=config.pretraining.encoder if model.method.pretrains else "",
    )
