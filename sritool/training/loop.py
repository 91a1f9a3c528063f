"""Training: the loop that every method shares. Set up, run, update, validate, save, in this order.

The state of a run is its parameters, its optimiser and its position in the data; all noise is a function of the
position. A run that is stopped and resumed on a CPU is therefore bit-identical to one that never stopped.

Several processes may train one run. Each computes a part of every update, and all have the same parameters after it.
Only the first one does the rest, such as validating and saving, in `_lead`; the others wait, and then copy its state.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from sritool.config.settings import RunConfig
from sritool.data.batches import Batch, collate, evaluation_batches, training_batches
from sritool.data.store import Corpus
from sritool.errors import Interrupted, NumericalError
from sritool.evaluation.metrics import Estimate
from sritool.methods.base import Clock
from sritool.model.device import length_multiple, products_in
from sritool.model.random import Stream
from sritool.processes import PeerLostError, Processes
from sritool.runs.checkpoint import Checkpoint
from sritool.runs.folder import AUTOENCODER, BEST, LAST
from sritool.runs.live_logs import LiveLogs
from sritool.training import events, validation
from sritool.training.deadline import Deadline, Timetable
from sritool.training.log import RunLog
from sritool.training.optimizer import learning_rate, update
from sritool.training.retuning import adopt, retune
from sritool.training.shared_gradients import Asked, BatchGradients
from sritool.training.shared_state import share, state_of_all

_LOOKED_AT = 128  # validation sentences in a batch that a method looks at after an epoch


@dataclass(frozen=True)
class Limits:
    """When to stop before the plan is done."""

    max_steps: int | None = None
    deadline: Deadline = field(default_factory=Deadline)
    signal: Callable[[], int | None] = lambda: None  # the number of a signal that asks to stop


class Outcome(NamedTuple):
    """How a run ended."""

    folder: Path
    reason: str  # "done", "early stop", "halvings", "max-steps", "max-time"
    steps: int
    seconds: float
    validating: float  # seconds of these that validations took
    pretraining: bool = False  # ended before the method itself began
    updates: int = 0  # that this process made


class _Stop(Exception):  # noqa: N818 - no error: a limit was reached
    def __init__(self, reason: str, signal: int | None = None) -> None:
        super().__init__(reason)
        self.reason = reason
        self.signal = signal


class Trainer:
    """One run of one method on one corpus."""

    # Set up.

    def __init__(
        self,
        corpus: Corpus,
        config: RunConfig,
        folder: Path,
        device: torch.device,
        limits: Limits,
        observer: events.Observer,
        resume: Checkpoint | None = None,
        live: LiveLogs | None = None,
        processes: Processes | None = None,
    ) -> None:
        """Begin a run in its folder, or go on with it.

        Args:
            corpus: The prepared corpus.
            config: The run's settings.
            folder: Where best.pt, last.pt, config.toml and metrics.jsonl go.
            device: Where to compute.
            limits: When to stop before the plan is done.
            observer: Is told of everything.
            resume: last.pt of the run to go on with.
            live: Where its records go beside metrics.jsonl; whoever made it closes it.
            processes: That share the work; None: this one alone. The others copy settings and state from the first,
                and tell the observer nothing.

        Raises:
            DataError: The run to resume is of another corpus.
            CheckpointError: It is damaged.
        """
        self.limits, self.processes = limits, processes or Processes()
        self.processes.signal = limits.signal
        self.state = state_of_all(corpus, config, folder, device, resume, self.processes)
        self.train, self.valid = self.state.train, corpus.split("valid")
        self.gradients = BatchGradients(self.state.method, self.state.config, device, self.processes)
        self.log: RunLog
        if self.processes.is_first:
            self.log = RunLog(self.state, observer, limits.max_steps, live)
            for line in self.state.taken_over:
                observer(events.Note(line))
        self.times = Timetable(self.state, limits.deadline)
        self._updates = 0

    # Run.

    def run(self) -> Outcome:
        """Train until the plan is done, early stopping, or a limit; last.pt is up to date at the end.

        Raises:
            Interrupted: On a signal, after saving.
            NumericalError: On a loss that is not finite, after saving.
        """
        try:
            if self.state.position.pretraining:
                self._run_epochs()
                self._lead(self.state.end_pretraining)
            reason = self._run_epochs()
        except _Stop as stop:
            self._lead(self.state.save_last)
            if stop.signal is not None:
                raise self._interrupted(stop.signal) from None
            reason = stop.reason
        except PeerLostError as error:
            self.state.save_last()  # no update is half made
            step, last = self.state.position.step, self.state.folder / LAST
            saved = f"step {step} is saved in {last}; go on with the same command and --resume"
            raise type(error)(f"{error}; {saved}") from error
        self.state.require_a_finite_validation()
        if self.state.lacks_best():
            self._lead(lambda: self._keep_as_it_stands(may_measure=reason == "max-time"))
        position, records = self.state.position, self.state.metrics
        return Outcome(
            self.state.folder,
            reason,
            position.step,
            self.state.seconds(),
            validating=sum(float(record["validation_seconds"]) for record in records),
            pretraining=position.pretraining,
            updates=self._updates,
        )

    def _run_epochs(self) -> str:
        """The epochs of the autoencoder that comes first, or those of the method; returns why they ended."""
        state, training = self.state, self.state.config.training
        self._lead(self._choose_level)
        while state.position.epoch < state.epochs:
            if early := state.ends_early():
                return early
            if state.tuning_is_due():
                self._lead(self._tune)
            batches = training_batches(
                self.train.lengths, training.batch_size, training.seed, state.position.epoch
            )
            while state.position.batch < len(batches):
                self._check_limits()
                planned = self._step(batches)
                if state.save_is_due(planned):
                    state.save_last()
            self._lead(self._end_epoch)
        return "done"

    def _end_epoch(self) -> None:
        """Validate, and keep the model where it is the one to keep."""
        state = self.state
        state.save_last()  # a validation may take long
        halvings = state.position.halvings
        better = self._validate()
        state.position.begin_epoch()
        if better and not state.position.pretraining:
            state.save(BEST)
        elif better and state.keeps_best_autoencoder():
            state.save(AUTOENCODER)
        if state.position.halvings > halvings and state.config.optimizer.return_to_best:
            state.return_to_best()
        state.save(LAST)

    def _lead(self, work: Callable[[], None]) -> None:
        """Let the first process do what one alone does; then all have its state, or stop together."""

        def stopped() -> tuple[str, int | None] | None:
            try:
                work()
            except _Stop as stop:
                return stop.reason, stop.signal
            return None

        stop = self.processes.first(stopped)
        if stop is not None:
            raise _Stop(*stop)
        share(self.state)

    def _check_limits(self) -> None:
        """Stop if a limit is reached.

        Several processes told each other with the last update, so that all stop at the same step.
        """
        asked = self.gradients.asked
        if self.processes.size == 1:
            asked = Asked(self.limits.signal(), self.times.is_over())
        if asked.signal is not None:
            raise _Stop("signal", asked.signal)
        if self.limits.max_steps is not None and self.state.position.step >= self.limits.max_steps:
            raise _Stop("max-steps")
        if asked.out_of_time:
            raise _Stop("max-time")

    def _check_signal(self) -> None:
        """Stop if there was a signal, while the first process works alone."""
        signal = self.processes.asked()
        if signal is not None:
            raise _Stop("signal", signal)

    # Update.

    def _step(self, batches: list[NDArray[np.int64]]) -> bool:
        """Make one update.

        Returns:
            Whether it was that of the planned batch; False of an extra one, as where an encoder catches up.
        """
        state, position, settings = self.state, self.state.position, self.state.config.optimizer
        clock = self._clock(len(batches))
        beside = state.method.beside(clock, position.batch, len(batches))
        planned = beside is None
        chosen = batches[position.batch if beside is None else beside]
        batch = collate(self.train, chosen, length_multiple(state.device))
        try:
            with products_in(state.config.training.precision):
                late = self.processes.is_first and self.times.is_over()
                sums = self.gradients.compute(batch, clock, late)
            bound = settings.clip or math.inf
            norm = float(nn.utils.clip_grad_norm_(state.method.modules.parameters(), bound))
            if not math.isfinite(norm) or not math.isfinite(sums["recon"]):
                raise NumericalError(
                    f"the gradient is not finite (norm {norm:.4g}, recon {sums['recon']:.4g})"
                )
        except NumericalError as error:
            raise state.overflow(str(error)) from error
        after = clock.progress + 1 / (len(batches) * state.epochs)
        rate = learning_rate(settings, clock.progress, after, position.halvings)
        update(state.method.modules, state.optimizer, rate, settings.weight_decay)
        state.method.after_update()
        self._updates += 1
        if planned:
            position.batch += 1
            position.step += 1
            position.recon += sums["recon"]
            position.sentences += len(batch.examples)
            if state.average is not None:
                state.average.update()
        own = self.processes.share(len(batch.examples))
        self.times.trained(own.stop - own.start)
        if self.processes.is_first:
            self.log.step(sums, batch, norm, len(batches), planned, self.limits.deadline.left())
        return planned

    def _clock(self, batches: int) -> Clock:
        """The time of an update in an epoch of so many batches."""
        return self.state.position.clock(self.state.config.training.seed, batches, self.state.epochs)

    def _tune(self) -> None:
        """Choose the chain's step sizes anew; last.pt has them before anything is drawn with them.

        The record is written before last.pt. If the run is killed between the two, resuming drops the record and
        searches again; in the other order the record would be missing for good.
        """
        position, training = self.state.position, self.state.config.training
        progress = position.epoch / training.epochs
        try:
            tuned = retune(
                self.state.method, self.valid, progress, position.epoch, lambda *_: self._check_signal()
            )
        except NumericalError as error:
            self.log.warn(f"the step sizes stay as they are: {error}")
            position.tuned = position.epoch
            return
        self.state.config = adopt(self.state.method, tuned)
        position.tuned = position.epoch
        position.tuning_seconds += tuned.seconds
        note = self.log.tuned(tuned.record(), tuned.in_a_line(), tuned.seconds)
        self.state.save(LAST)
        self.state.write_config()
        self.log.observer(note)

    # Validate.

    def _choose_level(self) -> None:
        """Choose how much validations measure from here on, and say so where it is less than what is set."""
        method, config = self.state.method, self.state.config
        level = validation.level_of(method, config, self.train, self.valid)
        line = validation.in_a_line(level, method, config, self.valid, self.state.epochs)
        if line is not None:
            self.log.observer(events.Note(line))
        self.log.level = level
        self.times.begin(level)

    def _validate(self) -> bool:
        """Validate, if this epoch has a validation.

        Returns:
            Whether this model is the one to keep.
        """
        level = self.times.level
        if not level.is_due(self.state.position.epoch + 1, self.state.epochs):
            self._after_epoch()
            return self.state.keeps_last()
        if not self.state.lacks_best() and self.times.is_over(self.times.validation()):
            raise _Stop("max-time")
        began = self.state.seconds()
        estimates = self._measure()
        own = self._after_epoch()  # the last that a signal may stop; below, the position changes
        config = self.state.config
        figures = {found.metric: found.value for found in estimates}
        loss = validation.loss_of(self.state.method, figures)
        better = self.state.position.compare(loss, config.optimizer, self.state.epochs, level.every)
        self.log.epoch(estimates, own, better, began, level.sentences)
        self.times.validated(self.state.seconds() - began)
        return better or self.state.keeps_last()

    def _measure(self) -> list[Estimate]:
        """Measure on the validation sentences.

        Of one that is not finite there is a warning only: it cannot be the best, and does not count for patience.
        Training goes on, because one sentence may be the cause; if the model is, the next gradient raises.
        """

        def report(label: str, done: int, total: int) -> None:
            self._check_signal()
            self.log.validating(label, done, total)

        level = self.times.level
        try:
            with self.state.averaged():
                return validation.validate(
                    self.state.method, self.valid, level.sentences, level.likelihood, report
                )
        except NumericalError as error:
            self.log.warn(f"validation failed, and this epoch's model is not the best: {error}")
            return []

    def _after_epoch(self) -> dict[str, float]:
        """What the method learns of itself on the whole validation split."""

        def batches() -> Iterator[Batch]:
            for part in evaluation_batches(self.valid.lengths, _LOOKED_AT):
                self._check_signal()
                yield collate(self.valid, part).to(self.state.device)

        noise = Stream(self.state.config.training.seed, "information", self.state.position.epoch)
        return self.state.method.after_epoch(batches(), noise)

    # Save, beside what `_run_epochs` saves.

    def _keep_as_it_stands(self, may_measure: bool) -> None:
        """Write best.pt for a run that never was validated, with its figures if time allows.

        Neither the position nor last.pt knows of it, so that a resumed run is what it would have been.
        """
        before = list(self.state.metrics)
        try:
            if may_measure and self.times.fits_validation():
                began = self.state.seconds()
                self.log.epoch(self._measure(), {}, True, began, self.times.level.sentences)
        except _Stop as stop:
            if stop.signal is not None:
                raise self._interrupted(stop.signal) from None
        finally:
            self.state.save(BEST)
            self.state.metrics = before

    def _interrupted(self, signal: int) -> Interrupted:
        step, last = self.state.position.step, self.state.folder / LAST
        return Interrupted(
            signal, f"stopped at step {step}, saved in {last}; go on with the same command and --resume"
        )
