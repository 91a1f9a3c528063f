"""What training tells whoever watches: plain values, for a progress bar, a log or a test."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import NamedTuple

from sritool.evaluation.metrics import Estimate
from sritool.runs.stage import Stage


class Step(NamedTuple):
    """After an update of θ."""

    epoch: int  # 1-based
    epochs: int
    step: int  # since the start of the run
    steps: int  # of the whole plan, or where a limit ends it
    tokens_per_second: float
    recon: float  # −log p(x|z) under dropout, nats a sentence, over the epoch so far
    gradient_norm: float  # before clipping
    columns: dict[str, float]  # the method's own, like "moved" and "unstable"
    stage: Stage = Stage.METHOD  # what the epochs are of
    validations: int = 0  # still to come in these epochs
    seconds_left: float = math.inf  # until the end of a command that has a --max-time
    beyond: float = 0.0  # seconds that the steps to come take beyond as many of the present ones


class Epoch(NamedTuple):
    """After a validation."""

    epoch: int  # 1-based
    epochs: int
    estimates: list[Estimate]
    best: bool
    seconds: float  # of training so far, validation included
    sample: str  # from one code of the prior, the same each time
    stage: Stage = Stage.METHOD
    ended: bool = True  # False: training stops in the midst of it


class Measuring(NamedTuple):
    """While a validation or the final measurement runs."""

    label: str
    done: int
    total: int


class Note(NamedTuple):
    """Something the user should read; `warning` if it may be a defect of the model."""

    text: str
    warning: bool = False


Event = Step | Epoch | Measuring | Note
Observer = Callable[[Event], None]
