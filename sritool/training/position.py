"""Where a run is in its data and its plan: all that noise, schedules and early stopping depend on."""

from __future__ import annotations

import math

from pydantic.dataclasses import dataclass

from sritool.config.settings import OptimizerConfig
from sritool.config.validation import CHECKED, Count, Figure, Flag, Number
from sritool.methods.base import Clock


@dataclass(config=CHECKED)
class Position:
    """Where a run is; plain values, stored in last.pt."""

    epoch: Count = 0  # epochs done
    batch: Count = 0  # batches of the present epoch done
    step: Count = 0
    seconds: Number = 0.0
    best: Figure = math.inf  # validation figure that the method is chosen by
    epochs_without_better: Count = 0  # up to the last validation, as not every epoch need have one
    recon: Figure = 0.0  # sums over the present epoch
    sentences: Count = 0
    tuned: Count = 0  # epochs done when the step sizes were last chosen
    tuning_seconds: Number = 0.0
    halvings: Count = 0  # of the learning rate
    best_since_halving: Figure = math.inf  # the figure at the last halving among them
    stalled: Count = 0  # epochs up to validations that were not better than that
    pretraining: Flag = False  # epochs and batches are those of the autoencoder

    def clock(self, seed: int, batches: int, epochs: int) -> Clock:
        """Return the time of a run with so many batches in an epoch and so many epochs planned."""
        return Clock(seed, self.epoch, self.step, (self.epoch + self.batch / batches) / epochs)

    def begin_epoch(self) -> None:
        """One more epoch is done."""
        self.epoch += 1
        self.batch = 0
        self.recon, self.sentences = 0.0, 0

    def compare(self, value: float, plan: OptimizerConfig, planned: int, every: int = 1) -> bool:
        """Take in a validation; after some epochs without a better one, the learning rate is halved.

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
