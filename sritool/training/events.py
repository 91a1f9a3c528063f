"""Events that training sends to its observer: plain values, for a progress bar, a log or a test."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import NamedTuple

from sritool.evaluation.metrics import Estimate
from sritool.runs.stage import Stage


class Step(NamedTuple):
    """Sent after an update of θ."""

    epoch: int  # 1-based
    epochs: int
    step: int  # since the start of the run
    steps: int  # total of the plan, or up to the limit that ends it
    tokens_per_second: float
    recon: float  # −log p(x|z) under dropout, nats per sentence, over the epoch so far
    gradient_norm: float  # before clipping
    columns: dict[str, float]  # the method's own, such as "moved" and "unstable"
    stage: Stage = Stage.METHOD  # the stage of the epochs
    validations: int = 0  # still to come in these epochs
    seconds_left: float = math.inf  # until the deadline of a command with --max-time
    beyond: float = 0.0  # extra seconds of the steps to come, compared with as many present ones


class Epoch(NamedTuple):
    """Sent after a validation."""

    epoch: int  # 1-based
    epochs: int
    estimates: list[Estimate]
    best: bool
    seconds: float  # of training so far, validation included
    sample: str  # decoded from one code of the prior, always the same
    stage: Stage = Stage.METHOD
    ended: bool = True  # False: training stops within the epoch


class Measuring(NamedTuple):
    """Sent while a validation or the final measurement runs."""

    label: str
    done: int
    total: int


class Note(NamedTuple):
    """Something the user should read; `warning` if it may be a defect of the model."""

    text: str
    warning: bool = False


Event = Step | Epoch | Measuring | Note
Observer = Callable[[Event], None]
