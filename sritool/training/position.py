"""The position of a run in its data and its plan, on which noise and schedules depend, and early stopping."""

from __future__ import annotations

import math
from pathlib import Path

from pydantic.dataclasses import dataclass

from sritool.config.settings import OptimizerConfig, RunConfig
from sritool.config.validation import CHECKED, Count, Figure, Flag, Number
from sritool.config.values import build
from sritool.errors import CheckpointError
from sritool.methods.base import Clock, Method
from sritool.runs.checkpoint import Checkpoint
from sritool.runs.weights import method_without_memory


@dataclass(config=CHECKED)
class Position:
    """The position of a run: plain values, stored in last.pt."""

    epoch: Count = 0  # epochs done
    batch: Count = 0  # batches of the present epoch done
    step: Count = 0
    seconds: Number = 0.0
    best: Figure = math.inf  # best validation figure so far
    epochs_without_better: Count = 0  # counted at the last validation; not every epoch has one
    recon: Number = 0.0  # sum over the present epoch
    sentences: Count = 0
    tuned: Count = 0  # epochs done when the step sizes were last chosen
    tuning_seconds: Number = 0.0
    halvings: Count = 0  # of the learning rate
    best_since_halving: Figure = math.inf  # including the figure at the last halving
    stalled: Count = 0  # epochs without a figure better than that
    pretraining: Flag = False  # epochs and batches are those of the autoencoder
    before_z: Count = 0  # epochs done as a language model when z began

    def clock(self, seed: int, batches: int, epochs: int) -> Clock:
        """Return the clock of a run with so many batches per epoch and so many planned epochs."""
        return Clock(seed, self.epoch, self.step, (self.epoch + self.batch / batches) / epochs)

    def epochs_before_z(self, config: RunConfig) -> int:
        """Return the epochs as a language model: those done, or those planned if z has not begun."""
        return self.before_z or config.language_model_epochs

    def own_progress(self, progress: float, config: RunConfig) -> float:
        """Return the share done of the epochs with z, over which a method's schedules run.

        `progress` is the share done of all epochs.
        """
        before = self.epochs_before_z(config) / config.training.epochs
        return max(0.0, (progress - before) / (1.0 - before))

    def end_step(self, recon: float, sentences: int) -> None:
        """Record a planned step on so many sentences; `recon` is the sum over them."""
        self.batch += 1
        self.step += 1
        self.recon += recon
        self.sentences += sentences

    def begin_epoch(self) -> None:
        """Record the end of an epoch."""
        self.epoch += 1
        self.batch = 0
        self.recon, self.sentences = 0.0, 0

    def compare(self, value: float, plan: OptimizerConfig, planned: int, every: int = 1) -> bool:
        """Record a validation; after some epochs without a better one, halve the learning rate as `plan` says.

        Args:
            value: The figure that decides on the best model; if it is not finite, nothing changes.
            plan: Settings for halving the rate.
            planned: Planned epochs.
            every: Epochs from one validation to the next.

        Returns:
            Whether it is the best so far.
        """
        if not math.isfinite(value):
            return False
        better = value < self.best
        self.best = min(value, self.best)
        self.epochs_without_better = 0 if better else self.epochs_without_better + every
        if plan.halve_after:
            self._halve_if_stalled(value, plan, planned, every)
        return better

    def _halve_if_stalled(self, value: float, plan: OptimizerConfig, planned: int, every: int) -> None:
        """Halve as He et al. 2019 do: later figures are compared with the one at the last halving."""
        if value < self.best_since_halving:
            self.best_since_halving, self.stalled = value, 0
        else:
            self.stalled += every
        due = self.stalled >= plan.halve_after and self.epoch + 1 >= plan.halve_from * planned
        if due or (plan.keep_halving and self.halvings):
            self.halvings += 1
            self.best_since_halving, self.stalled = value, 0


def is_over(saved: Checkpoint, path: Path) -> bool:
    """Return whether the training of a run has ended, by its plan or early; `path` is that of its last.pt.

    Raises: CheckpointError if the checkpoint is damaged, or is no last.pt.
    """
    if saved.trainer is None:
        raise CheckpointError(f"{path} cannot be resumed, so it does not say whether its run has ended")
    position, planned = build(Position, saved.trainer["position"]), saved.config.training.epochs
    if position.pretraining:
        return False
    if position.epoch >= planned:
        return True
    method = method_without_memory(saved, path)
    return ends_early(method, saved.config, planned, position) is not None


def ends_early(method: Method, config: RunConfig, planned: int, position: Position) -> str | None:
    """Return why a run, or its stage of `planned` epochs, ends early: "halvings", "early stop", or None.

    It ends when the learning rate has been halved as often as it may be, or when there was no better validation for
    `patience` epochs and all schedules have ended.

    The method's own schedules, such as the weight of the KL, get `patience` epochs after their end to show their
    effect. A learning rate that falls until the end of the plan would switch early stopping off. So it delays the
    stop until `patience` epochs after it begins to fall, and no longer.
    """
    plan, patience = config.optimizer, config.training.patience
    if not position.pretraining and position.epoch < position.epochs_before_z(config):
        return None  # z is still to come
    if 0 < plan.halvings <= position.halvings:
        return "halvings"
    decay = plan.decay
    settled = decay.settled_at * planned
    if decay.start > decay.end:
        settled = min(settled, decay.last_begin * planned + patience)
    settled = max(settled, plan.warmup * planned)
    before = 0.0 if method.pretraining else position.epochs_before_z(config) / planned
    own = 0.0 if method.pretraining else before + (1.0 - before) * method.settled_at()
    if own > 0:
        settled = max(settled, min(planned, own * planned + patience))
    is_over = 0 < patience <= position.epochs_without_better and position.epoch >= settled
    return "early stop" if is_over else None
