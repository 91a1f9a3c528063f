"""Training: the loop that every method shares, with validation, checkpoints, limits and resume.

The state of a run is its parameters, its optimiser and its position in the data; all noise is a function of the
position. A run that is stopped and resumed is therefore bit-identical to one that never stopped.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch

from sritool.config.settings import RunConfig
from sritool.data.batches import Batch, collate, evaluation_batches, training_batches
from sritool.data.store import Corpus
from sritool.errors import Interrupted, NumericalError
from sritool.evaluation.metrics import Estimate
from sritool.methods.base import Clock
from sritool.model.device import products_in
from sritool.runs.checkpoint import Checkpoint
from sritool.runs.folder import BEST, LAST
from sritool.training import events
from sritool.training import validation_budget as budget
from sritool.training.clipping import clip_gradients
from sritool.training.deadline import Deadline, Timetable
from sritool.training.log import Telling
from sritool.training.overflow import never_finite, overflow, save_last
from sritool.training.state import RunState
from sritool.training.tuning import adopt, retune
from sritool.training.validation import chosen_by, validate

# A GPU replays a graph for each length, so that few lengths are worth some padding.
_LENGTH_MULTIPLE = {"cuda": 4}
_JUDGED = 128  # validation sentences in a batch that a method looks at


@dataclass(frozen=True)
class Limits:
    """When to stop before the plan is done."""

    max_steps: int | None = None
    deadline: Deadline = field(default_factory=Deadline)
    signal: Callable[[], int | None] = lambda: None  # the number of a signal that asks to stop


class Outcome(NamedTuple):
    """How a run ended."""

    folder: Path
    reason: str  # "done", "early stop", "max-steps", "max-time"
    steps: int
    seconds: float
    validating: float  # seconds of these that validations took
    pretraining: bool = False  # ended before the method itself began


class _Stop(Exception):  # noqa: N818 - no error: a limit was reached
    def __init__(self, reason: str, signal: int | None = None) -> None:
        super().__init__(reason)
        self.reason = reason
        self.signal = signal


class Trainer:
    """One run of one method on one corpus."""

    def __init__(
        self,
        corpus: Corpus,
        config: RunConfig,
        folder: Path,
        device: torch.device,
        limits: Limits,
        observer: events.Observer,
        resume: Checkpoint | None = None,
    ) -> None:
        self.limits = limits
        self.state = RunState(corpus, config, folder, device, resume)
        self.train, self.valid = self.state.train, corpus.split("valid")
        self.telling = Telling(self.state, observer, limits.max_steps)
        self.times = Timetable(self.state, limits.deadline)

    def run(self) -> Outcome:
        """Train until the plan is done, early stopping, or a limit; last.pt is up to date at the end.

        Raises: Interrupted on a signal, NumericalError on a loss that is not finite; both after saving.
        """
        try:
            self._choose_level()
            if self.state.position.pretraining:
                self._run_epochs()
                self.state.end_pretraining()
                self._choose_level()
            reason = self._run_epochs()
        except _Stop as stop:
            save_last(self.state)
            if stop.signal is not None:
                raise self._interrupted(stop.signal) from None
            reason = stop.reason
        trouble = never_finite(self.state)
        if trouble is not None:
            raise trouble
        if self.state.lacks_best():
            self._keep_as_it_stands(validated=reason == "max-time")
        position, records = self.state.position, self.state.metrics
        validating = sum(float(record["validation_seconds"]) for record in records)
        seconds = self.state.seconds()
        return Outcome(self.state.folder, reason, position.step, seconds, validating, position.pretraining)

    def _interrupted(self, signal: int) -> Interrupted:
        step, last = self.state.position.step, self.state.folder / LAST
        return Interrupted(
            signal, f"stopped at step {step}, saved in {last}; go on with the same command and --resume"
        )

    def _keep_as_it_stands(self, validated: bool) -> None:
        """best.pt of a run that stops before its first validation; measured where time is left for that.

        Neither the position nor last.pt knows of it, so that a resumed run is what it would have been.
        """
        before = list(self.state.metrics)
        try:
            if validated and self.times.fits_validation():
                began = self.state.seconds()
                self.telling.epoch(self._measure(), {}, True, began, self.times.level.sentences)
        except _Stop as stop:
            if stop.signal is not None:
                raise self._interrupted(stop.signal) from None
        finally:
            self.state.save(BEST)
            self.state.metrics = before

    def _choose_level(self) -> None:
        """What validations look at from here on; said where it is less than what is set."""
        method, config = self.state.method, self.state.config
        level = budget.level_of(method, config, self.train, self.valid)
        line = budget.in_a_line(level, method, config, self.valid, self.state.epochs)
        if line is not None:
            self.telling.observer(events.Note(line))
        self.telling.level = level
        self.times.begin(level)

    def _run_epochs(self) -> str:
        training = self.state.config.training
        while self.state.position.epoch < self.state.epochs:
            if self.state.ends_early():
                return "early stop"
            if self._tuning_is_due():
                self._tune()
            batches = training_batches(
                self.train.lengths, training.batch_size, training.seed, self.state.position.epoch
            )
            while self.state.position.batch < len(batches):
                self._check_limits()
                planned = self._step(batches)
                if self.state.save_is_due(planned):
                    save_last(self.state)
            save_last(self.state)
            better = self._end_epoch()
            self.state.position.epoch += 1
            self.state.position.batch = 0
            self.state.position.recon, self.state.position.sentences = 0.0, 0
            if better and not self.state.position.pretraining:
                self.state.save(BEST)
            self.state.save(LAST)
        return "done"

    def _check_signal(self) -> None:
        signal = self.limits.signal()
        if signal is not None:
            raise _Stop("signal", signal)

    def _check_limits(self) -> None:
        self._check_signal()
        if self.limits.max_steps is not None and self.state.position.step >= self.limits.max_steps:
            raise _Stop("max-steps")
        if self.times.is_over():
            raise _Stop("max-time")

    def _clock(self, batches: int) -> Clock:
        position = self.state.position
        progress = (position.epoch + position.batch / batches) / self.state.epochs
        return Clock(self.state.config.training.seed, position.epoch, position.step, progress)

    def _step(self, batches: list[np.ndarray[Any, np.dtype[np.int64]]]) -> bool:
        """One update; True if it was that of the planned batch, and not one that a method puts before it."""
        position, settings = self.state.position, self.state.config.optimizer
        clock = self._clock(len(batches))
        beside = self.state.method.beside(clock, len(batches))
        chosen = batches[position.batch if beside is None else beside]
        batch = collate(self.train, chosen, _LENGTH_MULTIPLE.get(self.state.device.type, 1))
        before = self.state.method.state()
        try:
            with products_in(self.state.config.training.precision):
                sums = self.state.method.gradients(batch.to(self.state.device), clock)
            norm = clip_gradients(self.state.method.modules.parameters(), settings.clip)
            if not np.isfinite(norm) or not np.isfinite(sums["recon"]):
                raise NumericalError(
                    f"the gradient is not finite (norm {norm:.4g}, recon {sums['recon']:.4g})"
                )
        except NumericalError as error:
            self.state.method.restore(before)  # this update was not made
            raise overflow(self.state, str(error)) from error
        for group in self.state.optimizer.param_groups:
            group["lr"] = settings.learning_rate * settings.decay.at(clock.progress) * 0.5**position.halvings
        self.state.optimizer.step()
        self.state.method.after_update()
        if beside is None:
            position.batch += 1
            position.step += 1
            self.times.trained(len(batch.examples))
            position.recon += sums["recon"]
            position.sentences += len(batch.examples)
        planned = beside is None
        self.telling.step(sums, len(batch.examples), batch.predictions, norm, len(batches), planned)
        return planned

    def _end_epoch(self) -> bool:
        """Validate where that is due; True if what the method is chosen by is the best so far."""
        level = self.times.level
        if not level.is_due(self.state.position.epoch + 1, self.state.epochs):
            self._judge()
            return False
        if not self.state.lacks_best() and self.times.is_over(self.times.validation()):
            raise _Stop("max-time")
        began = self.state.seconds()
        estimates = self._measure()
        judged = self._judge()  # can be stopped; what follows changes the position and cannot
        better = self._compare({estimate.metric: estimate for estimate in estimates})
        self.telling.epoch(estimates, judged, better, began, level.sentences)
        self.times.validated(self.state.seconds() - began)
        return better

    def _measure(self) -> list[Estimate]:
        """Measure on the validation sentences.

        A validation that is not finite is said, is not the best and does not count for patience; training goes on:
        one sentence may be the reason, and if it is the model, its next gradient is not finite either.
        """

        def report(label: str, done: int, total: int) -> None:
            self._check_signal()
            self.telling.validating(label, done, total)

        level = self.times.level
        try:
            return validate(self.state.method, self.valid, level.sentences, level.likelihood, report)
        except NumericalError as error:
            self.telling.warn(f"validation failed, and this epoch's model is not the best: {error}")
            return []

    def _compare(self, estimates: dict[str, Estimate]) -> bool:
        """Whether this validation is the best; after some that are not, the learning rate is halved."""
        position, halve_after = self.state.position, self.state.config.optimizer.halve_after
        chosen = estimates.get(chosen_by(self.state.method))
        value = math.nan if chosen is None else chosen.value
        if not math.isfinite(value):  # which is neither better nor worse
            return False
        better = value < position.best
        position.best = min(value, position.best)
        position.epochs_without_better = 0 if better else position.epochs_without_better + 1
        if not better and halve_after and position.epochs_without_better % halve_after == 0:
            position.halvings += 1
        return better

    def _judge(self) -> dict[str, float]:
        """What the method says of itself on the whole validation split."""

        def batches() -> Iterator[Batch]:
            for part in evaluation_batches(self.valid.lengths, _JUDGED):
                self._check_signal()
                yield collate(self.valid, part).to(self.state.device)

        return self.state.method.judge(batches(), self._clock(1))

    def _tuning_is_due(self) -> bool:
        """At the start of an epoch, not yet done there, after every so many."""
        every, position = self.state.config.training.tune_step_every, self.state.position
        fresh = position.batch == 0 and position.epoch > position.tuned
        return self.state.config.method == "sri" and every > 0 and fresh and position.epoch % every == 0

    def _tune(self) -> None:
        """Choose the chain's step sizes anew; last.pt has them before anything is drawn with them.

        The record is written before: a kill between the two has it cut off and the search done again, and the
        other way round it would be lost.
        """
        position, training = self.state.position, self.state.config.training
        progress = position.epoch / training.epochs
        try:
            tuned = retune(
                self.state.method, self.valid, progress, position.epoch, lambda *_: self._check_signal()
            )
        except NumericalError as error:
            self.telling.warn(f"the step sizes stay as they are: {error}")
            position.tuned = position.epoch
            return
        self.state.config = adopt(self.state.method, tuned)
        position.tuned = position.epoch
        position.tuning_seconds += tuned.seconds
        note = self.telling.tuned(tuned.record(), tuned.in_a_line(), tuned.seconds)
        self.state.save(LAST)
        self.state.write_config()
        self.telling.observer(note)
