"""The training loop that every method shares. Set up, run, update, in this order.

The state of a run is its parameters, its optimiser and its position in the data; all noise is a function of the
position. A run that is stopped and resumed on a CPU is therefore bit-identical to one that never stopped.

Several processes may train one run. Each computes a part of every update, and all have the same parameters after it.
Only the first one does the work between the epochs, in `_lead`. The others wait, and then copy its state.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from sritool.config.settings import RunConfig
from sritool.data.batches import Batch, collate, training_batches
from sritool.data.store import Corpus
from sritool.errors import NumericalError
from sritool.methods.base import Clock
from sritool.model.device import length_multiple, products_in
from sritool.processes import PeerLostError, Processes
from sritool.runs.checkpoint import Checkpoint
from sritool.runs.folder import LAST
from sritool.runs.live_logs import LiveLogs
from sritool.runs.stage import Stage
from sritool.training import events
from sritool.training.between_epochs import BetweenEpochs, Stop, interrupted
from sritool.training.deadline import Deadline, Timetable
from sritool.training.log import RunLog
from sritool.training.optimizer import learning_rate, update
from sritool.training.overflow import overflow, require_a_finite_validation
from sritool.training.position import ends_early
from sritool.training.sharing import Asked, BatchGradients, check_parts, share, state_of_all


@dataclass(frozen=True)
class Limits:
    """When to stop before the plan is done."""

    max_steps: int | None = None
    deadline: Deadline = field(default_factory=Deadline)
    signal: Callable[[], int | None] = lambda: None  # the number of a signal that asks to stop, or None


class Outcome(NamedTuple):
    """How a run ended."""

    folder: Path
    reason: str  # "done", "early stop", "halvings", "max-steps", "max-time"
    steps: int
    seconds: float
    validating: float  # seconds of these spent on validations
    stage: Stage = Stage.METHOD  # the stage in which it ended
    updates: int = 0  # made by this process


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
        """Begin a run in its folder, or resume it.

        Args:
            corpus: The prepared corpus.
            config: The run's settings.
            folder: Where best.pt, last.pt, config.toml and metrics.jsonl go.
            device: The device to compute on.
            limits: When to stop before the plan is done.
            observer: Receives all events.
            resume: last.pt of the run to resume.
            live: Further logs beside metrics.jsonl; the caller closes them.
            processes: The processes of the job. Only the first one reports; the others copy its settings and state.

        Raises:
            DataError: The run to resume was trained on another corpus.
            CheckpointError: Its checkpoint is damaged.
        """
        self.limits, self.processes = limits, processes or Processes()
        self.processes.signal = limits.signal
        self.state = state_of_all(corpus, config, folder, device, resume, self.processes)
        check_parts(self.state.config)
        self.gradients = self._gradients_of_learner()
        self.times = Timetable(self.state, limits.deadline)
        self.between = BetweenEpochs(self.state, self.times, corpus.split("valid"))
        if self.processes.is_first:
            self.between.log = RunLog(self.state, self.times, observer, limits.max_steps, live)
            for line in self.state.taken_over:
                observer(events.Note(line))
        self._updates = 0

    # Run.

    def run(self) -> Outcome:
        """Train until the plan is done, early stopping, or a limit; last.pt is up to date at the end.

        Raises:
            Interrupted: A signal stopped the run, which was saved.
            NumericalError: A loss, a gradient or every validation is not finite; the last good state was saved.
            PeerLostError: Another process of the job has ended; the state was saved.
            SritoolError: A file cannot be written.
        """
        state = self.state
        try:
            if state.stage is Stage.AUTOENCODER:
                self._run_epochs()
                self._lead(state.end_pretraining)
            reason = self._run_epochs()
        except Stop as stop:
            self._lead(state.save_last)
            if stop.signal is not None:
                raise interrupted(state, stop.signal) from None
            reason = stop.reason
        except PeerLostError as error:
            state.save_last()  # no update is half done
            saved = f"step {state.position.step} is saved in {state.folder / LAST}"
            raise type(error)(f"{error}; {saved}; go on with the same command and --resume") from error
        require_a_finite_validation(state)
        if state.lacks_best() or (reason == "max-time" and not state.position.pretraining):
            self._lead(lambda: self.between.keep_as_it_stands(may_measure=reason == "max-time"))
        return Outcome(
            state.folder,
            reason,
            state.position.step,
            state.seconds(),
            validating=sum(float(record["validation_seconds"]) for record in state.metrics),
            stage=state.stage,
            updates=self._updates,
        )

    def _run_epochs(self) -> str:
        """Run the epochs of the autoencoder or those of the method; return why they ended."""
        state, training = self.state, self.state.config.training
        self._lead(self.between.choose_level)
        while state.position.epoch < state.epochs:
            if state.z_is_due():
                self._lead(state.begin_with_z)
                self._lead(self.between.choose_level)
            if self.gradients.method is not state.learner:
                self.gradients = self._gradients_of_learner()
                self.times.begin_stage()
            if early := ends_early(state.method, state.config, state.epochs, state.position):
                return early
            if state.tuning_is_due():
                self._lead(self.between.tune)
            epoch = state.position.epoch
            batches = training_batches(state.train.lengths, training.batch_size, training.seed, epoch)
            while state.position.batch < len(batches):
                self._check_limits()
                planned = self._step(batches)
                if state.save_is_due(planned):
                    state.save_last()
            self._lead(self.between.end_epoch)
        return "done"

    def _lead(self, work: Callable[[], None]) -> None:
        """Let the first process alone do `work`; then all processes copy its state, or stop together."""

        def stopped() -> tuple[str, int | None] | None:
            try:
                work()
            except Stop as stop:
                return stop.reason, stop.signal
            return None

        stop = self.processes.first(stopped)
        if stop is not None:
            raise Stop(*stop)
        share(self.state)

    def _check_limits(self) -> None:
        """Stop if a limit is reached; several processes exchange this beforehand, and stop at the same step."""
        asked = self.gradients.asked
        if self.processes.size == 1:
            asked = Asked(self.limits.signal(), self.times.is_over())
        if asked.signal is not None:
            raise Stop("signal", asked.signal)
        if self.limits.max_steps is not None and self.state.position.step >= self.limits.max_steps:
            raise Stop("max-steps")
        if asked.out_of_time:
            raise Stop("max-time")

    # Update.

    def _step(self, batches: list[NDArray[np.int64]]) -> bool:
        """Make one update; return whether it was a planned one, and not one for an encoder to catch up."""
        state, position, settings = self.state, self.state.position, self.state.config.optimizer
        clock = position.clock(state.config.training.seed, len(batches), state.epochs)
        method_clock = clock._replace(progress=position.own_progress(clock.progress, state.config))
        beside = state.learner.beside(method_clock, position.batch, len(batches))
        planned = beside is None
        chosen = batches[position.batch if beside is None else beside]
        batch = collate(state.train, chosen, length_multiple(state.device))
        sums, norm = self._gradients(batch, method_clock)
        after = clock.progress + 1 / (len(batches) * state.epochs)
        rate = learning_rate(settings, clock.progress, after, position.halvings)
        update(state.method.modules, state.optimizer, rate, settings.weight_decay)
        state.learner.after_update()
        self._updates += 1
        if planned:
            position.end_step(sums["recon"], batch.size)
            if state.average is not None:
                state.average.update()
        own = self.processes.share(batch.size)
        self.times.trained(own.stop - own.start)
        if self.processes.is_first:
            self.between.log.step(sums, batch, norm, len(batches), planned)
        return planned

    def _gradients_of_learner(self) -> BatchGradients:
        state = self.state
        return BatchGradients(state.learner, state.config, state.device, self.processes)

    def _gradients(self, batch: Batch, clock: Clock) -> tuple[dict[str, float], float]:
        """Write the batch's clipped gradients; return the method's sums and the norm before clipping.

        Raises:
            NumericalError: The gradients or the loss are not finite; the state before the update is saved.
        """
        state, bound = self.state, self.state.config.optimizer.clip or math.inf
        try:
            with products_in(state.config.training.precision):
                # The others learn it with the gradients, when this update can no longer be given up.
                late = self.processes.is_first and self.times.is_over(updates=2)
                sums = self.gradients.compute(batch, clock, late)
            norm = float(nn.utils.clip_grad_norm_(state.method.modules.parameters(), bound))
            if not math.isfinite(norm) or not math.isfinite(sums["recon"]):
                raise NumericalError(
                    f"the gradient is not finite (norm {norm:.4g}, recon {sums['recon']:.4g})"
                )
        except NumericalError as error:
            raise overflow(state, str(error)) from error
        return sums, norm
