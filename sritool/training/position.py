"""Where a run is in its data and its plan: all that noise, schedules and early stopping depend on."""

from __future__ import annotations

import math

from pydantic.dataclasses import dataclass

from sritool.config.settings import RunConfig
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
    epochs_without_better: Count = 0  # validations, as not every epoch need have one
    recon: Figure = 0.0  # sums over the present epoch
    sentences: Count = 0
    tuned: Count = 0  # epochs done when the step sizes were last chosen
    tuning_seconds: Number = 0.0
    halvings: Count = 0  # of the learning rate
    pretraining: Flag = False  # epochs and batches are those of the autoencoder

    def clock(self, seed: int, batches: int, epochs: int) -> Clock:
        """Return the time of a run with so many batches in an epoch and so many epochs planned."""
        return Clock(seed, self.epoch, self.step, (self.epoch + self.batch / batches) / epochs)

    def begin_epoch(self) -> None:
        """One more epoch is done."""
        self.epoch += 1
        self.batch = 0
        self.recon, self.sentences = 0.0, 0

    def compare(self, value: float, halve_after: int) -> bool:
        """Take in a validation; after some that are not better, the learning rate is halved.

        Args:
            value: The figure that the method is chosen by; one that is not finite is neither better nor worse.
            halve_after: Validations without a better one before the rate is halved; 0: never.

        Returns:
            Whether it is the best so far.
        """
        if not math.isfinite(value):
            return False
        better = value < self.best
        self.best = min(value, self.best)
        self.epochs_without_better = 0 if better else self.epochs_without_better + 1
        if not better and halve_after and self.epochs_without_better % halve_after == 0:
            self.halvings += 1
        return better


def ends_early(method: Method, config: RunConfig, done: int, planned: int, without_better: int) -> bool:
    """Return whether a run ends before its plan: patience is used up, and no schedule can still make it better.

    The method's own schedules change what is trained for, so that patience waits for their end. The learning rate
    need only have fallen for as many epochs as patience has validations: a rate that falls to the end of the plan
    would hold patience back for ever, and what does not get better while it falls has had its chance.

    Args:
        method: Its schedules count.
        config: Its patience and the decay of its learning rate count.
        done: Epochs.
        planned: Epochs.
        without_better: Validations since the best one.
    """
    decay, patience = config.optimizer.decay, config.training.patience
    settled = decay.finish * planned if decay.start != decay.end else 0.0
    if decay.start > decay.end:
        settled = min(settled, decay.begin * planned + patience)
    if not method.pretraining:
        settled = max(settled, method.settled_at() * planned)
    return 0 < patience <= without_better and done >= settled
