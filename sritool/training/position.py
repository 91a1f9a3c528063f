"""Where a run is in its data and its plan: all that noise and schedules depend on, and when it ends early."""

from __future__ import annotations

import math

from pydantic.dataclasses import dataclass

from sritool.config.settings import OptimizerConfig, RunConfig
from sritool.config.validation import CHECKED, Count, Figure, Flag, Number
from sritool.methods.base import Clock, Method


@dataclass(config=CHECKED)
class Position:
    """Where a run is; plain values, stored in last.pt."""

    epoch: Count = 0  # epochs done
    batch: Count = 0  # batches of the present epoch done
    step: Count = 0
    seconds: Number = 0.0
    best: Figure = math.inf  # validation figure that the method is chosen by
    epochs_without_better: Count = 0  # up to the last validation, as not every epoch need have one
    recon: Number = 0.0  # sums over the present epoch
    sentences: Count = 0
    tuned: Count = 0  # epochs done when the step sizes were last chosen
    tuning_seconds: Number = 0.0
    halvings: Count = 0  # of the learning rate
    best_since_halving: Figure = math.inf  # the figure at the last halving among them
    stalled: Count = 0  # epochs up to validations that were not better than that
    pretraining: Flag = False  # epochs and batches are those of the autoencoder
    before_z: Count = 0  # epochs done when z began, after those of a language model

    def clock(self, seed: int, batches: int, epochs: int) -> Clock:
        """Return the time of a run with so many batches in an epoch and so many epochs planned."""
        return Clock(seed, self.epoch, self.step, (self.epoch + self.batch / batches) / epochs)

    def epochs_before_z(self, config: RunConfig) -> int:
        """Epochs of a language model: those that there were, or while z has not begun those of the plan."""
        return self.before_z or config.language_model_epochs

    def own_progress(self, progress: float, config: RunConfig) -> float:
        """Share done of the epochs with z, over which a method's schedules run, by the share done of all epochs."""
        before = self.epochs_before_z(config) / config.training.epochs
        return max(0.0, (progress - before) / (1.0 - before)) if before < 1.0 else 0.0

    def end_step(self, recon: float, sentences: int) -> None:
        """One more step of the plan is done, on so many sentences, with this sum of their recon."""
        self.batch += 1
        self.step += 1
        self.recon += recon
        self.sentences += sentences

    def begin_epoch(self) -> None:
        """One more epoch is done."""
        self.epoch += 1
        self.batch = 0
        self.recon, self.sentences = 0.0, 0

    def compare(self, value: float, plan: OptimizerConfig, planned: int, every: int = 1) -> bool:
        """Take in a validation; after some epochs without a better one, the learning rate is halved as `plan` says.

        Args:
            value: The figure that the method is chosen by; one that is not finite is neither better nor worse.
            plan: When the rate is halved.
            planned: Epochs.
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
        """As He et al. 2019 do: what comes after a halving is compared with the figure at the halving."""
        if value < self.best_since_halving:
            self.best_since_halving, self.stalled = value, 0
        else:
            self.stalled += every
        due = self.stalled >= plan.halve_after and self.epoch + 1 >= plan.halve_from * planned
        if due or (plan.keep_halving and self.halvings):
            self.halvings += 1
            self.best_since_halving, self.stalled = value, 0


def ends_early(method: Method, config: RunConfig, planned: int, position: Position) -> str | None:
    """Return why a run, or its stage of so many epochs, ends before its plan: "halvings", "early stop", or None.

    It ends when the learning rate was halved as often as it may be, or when there was no better validation for
    `patience` epochs and all schedules have ended.

    What the method's own schedules change, such as the weight of the KL, gets `patience` epochs to show its
    effect after their end. A learning rate that falls until the end of the plan would switch early stopping off.
    So it delays the stop for `patience` epochs after it begins to fall, and no longer.
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
