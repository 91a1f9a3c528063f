"""The log of a run: events for an observer, and records in metrics.jsonl."""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import Any

from sritool.data.batches import Batch
from sritool.evaluation.metrics import Estimate
from sritool.evaluation.step_sizes import Tuned
from sritool.runs.folder import METRICS
from sritool.runs.live_logs import LiveLogs
from sritool.runs.metrics_log import MetricsLog, read_metrics
from sritool.runs.stage import Stage
from sritool.training import events
from sritool.training.deadline import Timetable
from sritool.training.state import RunState
from sritool.training.validation import collapse, sample_of

_LOGGED_EVERY = 50  # steps


class RunLog:
    """Sends each update, validation and search of a run to an observer, and writes metrics.jsonl."""

    def __init__(
        self,
        state: RunState,
        times: Timetable,
        observer: events.Observer,
        max_steps: int | None,
        live: LiveLogs | None = None,
    ) -> None:
        """Begin at the run's position; `max_steps` is the step where it stops early, None for the whole plan."""
        self.state, self.observer, self._max_steps, self._times = state, observer, max_steps, times
        position = state.position
        path, done = state.folder / METRICS, (position.step, position.epoch, state.stage)
        self._log, self._live = MetricsLog(path, *done, position.tuned), live
        if live is not None:
            live.begin(read_metrics(path))
        self._tokens, self._tokens_since = 0, time.monotonic()
        self._columns: dict[str, float] = {}
        self._warned = False  # of a collapse: once, when it begins

    def step(self, sums: dict[str, float], batch: Batch, norm: float, batches: int, planned: bool) -> None:
        """Log an update.

        Args:
            sums: As `Method.gradients` returns them.
            batch: The batch of the update.
            norm: Norm of the gradient before clipping.
            batches: Batches in an epoch.
            planned: Whether it is a planned update, not an extra one before it.
        """
        position, epochs = self.state.position, self.state.epochs
        for name, value in sums.items():
            if name.startswith("mean "):
                self._columns[name.removeprefix("mean ")] = value
            elif name != "recon":
                self._columns[name] = value / batch.size
        self._tokens += batch.predictions if planned else 0
        now = time.monotonic()
        speed = self._tokens / max(now - self._tokens_since, 1e-9)
        recon = position.recon / position.sentences if position.sentences else sums["recon"] / batch.size
        step = events.Step(
            position.epoch + 1,
            epochs,
            position.step,
            self._last_step(batches),
            speed,
            recon,
            norm,
            dict(self._columns),
            self.state.stage,
            self._times.level.to_come(position.epoch, epochs),
            self._times.deadline.left(),
            self._times.beyond(self._with_z(self._last_step(batches), batches)),
        )
        self.observer(step)
        if planned and (position.step % _LOGGED_EVERY == 0 or position.step == 1):
            own = {key: round(value, 5) for key, value in self._columns.items()}
            record: dict[str, Any] = {"kind": "step", "step": position.step, "epoch": position.epoch + 1}
            record |= self.state.stage.record()
            record |= {"recon": recon, "gradient_norm": norm, **own, "tokens_per_second": round(speed, 1)}
            self._add({**record, "seconds": round(self.state.seconds(), 2)})
            self._tokens, self._tokens_since = 0, now

    def _with_z(self, last: int, batches: int) -> int:
        """Steps still to come after those of a language model; `last` is the last step."""
        state, position = self.state, self.state.position
        early = (position.epochs_before_z(state.config) - position.epoch) * batches - position.batch
        return max(0, last - position.step - max(0, early))

    def _add(self, record: dict[str, Any]) -> None:
        self._log.add(record)
        if self._live is not None:
            self._live.add(record)

    def _last_step(self, batches: int) -> int:
        """The last step of the plan, or the one where a limit ends it."""
        position = self.state.position
        last = position.step + (self.state.epochs - position.epoch) * batches - position.batch
        if position.pretraining:
            last += self.state.config.training.epochs * batches
        return min(last, self._max_steps or last)

    def warn(self, text: str) -> None:
        """Report a possible defect of the model that does not end the run."""
        self.observer(events.Note(text, warning=True))

    def epoch(
        self,
        estimates: Sequence[Estimate],
        own: dict[str, float],
        better: bool,
        began: float,
        ended: bool = True,
    ) -> None:
        """Log a validation.

        Args:
            estimates: Its figures.
            own: The method's own figures.
            better: Whether it is the best so far.
            began: Seconds of the run when the validation began.
            ended: Whether the epoch has ended.
        """
        state, position = self.state, self.state.position
        record: dict[str, Any] = {"kind": "epoch", "epoch": position.epoch + 1, "step": position.step}
        record |= state.stage.record()
        if position.sentences:  # 0 if a run was stopped between two epochs
            record["train_recon"] = position.recon / position.sentences
        record["seconds"] = round(state.seconds(), 2)
        record["validation_seconds"] = round(state.seconds() - began, 2)
        record["sentences"] = self._times.level.sentences
        record["draws"] = next((found.draws for found in estimates if found.metric == "nll"), 0)
        for estimate in estimates:
            record[estimate.metric] = estimate.value
            record[f"{estimate.metric} se"] = estimate.standard_error
        record |= own
        self._tokens_since += state.seconds() - began  # validation does not count as training
        state.metrics.append(record)
        self._add(record)
        with state.averaged():
            sample = sample_of(state.learner, state.corpus.tokenizer)
        values = (position.epoch + 1, state.epochs, list(estimates), better, state.seconds(), sample)
        self.observer(events.Epoch(*values, state.stage, ended))
        if state.stage is Stage.AUTOENCODER:  # an autoencoder has no posterior to collapse
            return
        warning = collapse(estimates, position.epoch + 1 - position.epochs_before_z(state.config))
        if warning is not None and not self._warned:
            self.warn(warning)
        self._warned = warning is not None

    def tuned(self, tuned: Tuned) -> events.Note:
        """Log a search for step sizes; return the note to send once the choice is saved."""
        position = self.state.position
        share = position.tuning_seconds / self.state.seconds()
        whole = {"kind": "tune", "step": position.step, "epoch": position.epoch, **tuned.record()}
        self._add({**whole, "share_of_training": share, "seconds": round(self.state.seconds(), 2)})
        spent = f"it took {tuned.seconds:.1f} s, and all such searches {100 * share:.1f} % of training"
        return events.Note(f"{tuned.summary_line()}; {spent}")
