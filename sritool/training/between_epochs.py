"""Work between the epochs of a run: choosing step sizes, validating the model, and saving the best one.

With several processes, only the first one does it.
"""

from __future__ import annotations

from collections.abc import Iterator

from sritool.config.samplers import with_schedule
from sritool.data.batches import Batch, collate, evaluation_batches
from sritool.data.split import Split
from sritool.errors import Interrupted, NumericalError
from sritool.evaluation.metrics import Estimate
from sritool.model.random import Stream
from sritool.runs.folder import AUTOENCODER, BEST, LAST
from sritool.runs.stage import Stage
from sritool.training import events, validation
from sritool.training.deadline import Timetable
from sritool.training.log import RunLog
from sritool.training.retuning import retune
from sritool.training.state import RunState

_BATCH = 128  # validation sentences in a batch of `Method.after_epoch`


class Stop(Exception):  # noqa: N818 - no error: a limit was reached
    """Raised to end training before its plan is done."""

    def __init__(self, reason: str, signal: int | None = None) -> None:
        super().__init__(reason)
        self.reason = reason
        self.signal = signal


def interrupted(state: RunState, signal: int) -> Interrupted:
    """Return the error for a run that a signal has stopped and that has been saved."""
    step, last = state.position.step, state.folder / LAST
    return Interrupted(
        signal, f"stopped at step {step}, saved in {last}; go on with the same command and --resume"
    )


class BetweenEpochs:
    """The work of the first process, reported to `log`; every part of it raises `Stop` on a signal."""

    log: RunLog

    def __init__(self, state: RunState, times: Timetable, valid: Split) -> None:
        self.state, self.times, self.valid = state, times, valid

    def _check_signal(self, *_: object) -> None:
        signal = self.state.processes.asked()
        if signal is not None:
            raise Stop("signal", signal)

    def tune(self) -> None:
        """Choose new step sizes for the chain, and save them in last.pt before anything is drawn with them.

        The record is written before last.pt. If the run is killed between the two, resuming drops the record and
        searches again; in the other order the record would be missing for good.
        """
        state, position = self.state, self.state.position
        progress = position.own_progress(position.epoch / state.config.training.epochs, state.config)
        try:
            tuned = retune(state.method, self.valid, progress, position.epoch, self._check_signal)
        except NumericalError as error:
            self.log.warn(f"the step sizes stay as they are: {error}")
            position.tuned = position.epoch
            return
        if not tuned.chosen.present:
            state.method.config = with_schedule(state.config, tuned.chosen.schedule)
        position.tuned = position.epoch
        position.tuning_seconds += tuned.seconds
        note = self.log.tuned(tuned)
        state.save(LAST)
        state.write_config()
        self.log.observer(note)

    def choose_level(self) -> None:
        """Choose how much validations measure from here on, and report it if it is less than the settings ask for.

        A language model is validated on no more sentences than the later epochs with z, so that the figures of a run
        can be compared.
        """
        method, config = self.state.learner, self.state.config
        level = validation.level_of(method, config, self.state.train, self.valid)
        if self.state.stage is Stage.LANGUAGE_MODEL:
            later = validation.level_of(self.state.method, config, self.state.train, self.valid)
            level = level._replace(sentences=min(level.sentences, later.sentences))
        line = validation.summary_line(level, method, config, self.valid, self.state.epochs)
        if line is not None:
            self.log.observer(events.Note(line))
        self.times.begin(level)

    def end_epoch(self) -> None:
        """Validate, and save the model if it is the one to keep."""
        state = self.state
        state.save_last()  # a validation may take a long time
        halvings = state.position.halvings
        better = self._validate()
        state.position.begin_epoch()
        if better and state.stage is not Stage.AUTOENCODER:
            state.save(BEST)
        elif better and state.keeps_best_autoencoder():
            state.save(AUTOENCODER)
        if state.position.halvings > halvings and state.config.optimizer.return_to_best:
            state.return_to_best()
        state.save(LAST)

    def _validate(self) -> bool:
        """Validate if a validation is due; return whether this model is the one to keep."""
        state, level = self.state, self.times.level
        if not level.is_due(state.position.epoch + 1, state.epochs):
            self._after_epoch()
            return state.keeps_last()
        # The time that must remain includes a validation.
        if not state.lacks_best() and self.times.is_over(updates=0):
            raise Stop("max-time")
        began = state.seconds()
        estimates = self._measure()
        own = self._after_epoch()  # the last part that a signal may stop; below, the position changes
        loss = validation.loss_of(state.learner, {found.metric: found.value for found in estimates})
        better = state.position.compare(loss, state.config.optimizer, state.epochs, level.every)
        self.log.epoch(estimates, own, better, began)
        self.times.validated(state.seconds() - began)
        return better or state.keeps_last()

    def _measure(self) -> list[Estimate]:
        """Measure on the validation sentences.

        A validation that is not finite only gives a warning: it cannot be the best, and does not count for patience.
        Training continues, as a single sentence may be the cause; if the model is, the next gradient raises.
        """

        def report(label: str, done: int, total: int) -> None:
            self._check_signal()
            self.log.observer(events.Measuring(f"validation: {label}", done, total))

        method, level = self.state.learner, self.times.level
        try:
            with self.state.averaged():
                return validation.validate(method, self.valid, level.sentences, level.likelihood, report)
        except NumericalError as error:
            self.log.warn(f"validation failed, so this epoch's model cannot be the best: {error}")
            return []

    def _after_epoch(self) -> dict[str, float]:
        """Return the figures that the method computes itself on the whole validation split."""

        def batches() -> Iterator[Batch]:
            for part in evaluation_batches(self.valid.lengths, _BATCH):
                self._check_signal()
                yield collate(self.valid, part).to(self.state.device)

        noise = Stream(self.state.config.training.seed, "information", self.state.position.epoch)
        return self.state.learner.after_epoch(batches(), noise)

    def keep_as_it_stands(self, may_measure: bool) -> None:
        """Validate the model of a run that ends within an epoch, if time allows; write best.pt if it is better.

        A run that was never validated gets a best.pt in any case. The position and last.pt do not change, and the
        best epoch's model is set aside, so that a resumed run is the same as without this.
        """
        state, before = self.state, list(self.state.metrics)
        first = better = state.lacks_best()
        is_new = not before or before[-1]["step"] < state.position.step
        try:
            wanted = first or (is_new and not state.keeps_last())
            if may_measure and wanted and self.times.fits_validation():
                began, estimates = state.seconds(), self._measure()
                figures = {found.metric: found.value for found in estimates}
                better = first or validation.loss_of(state.learner, figures) < state.position.best
                self.log.epoch(estimates, {}, better, began, ended=False)
        except Stop as stop:
            if stop.signal is not None:
                raise interrupted(state, stop.signal) from None
        finally:
            if better:
                if not first:
                    state.set_best_epoch_aside()
                state.save(BEST)
            state.metrics = before
