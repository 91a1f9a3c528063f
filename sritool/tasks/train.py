"""Training: the loop that every method shares, with validation, checkpoints, limits and resume.

The state of a run is its parameters, its optimiser and its position in the data; all noise is a function of the
position. A run that is stopped and resumed is therefore bit-identical to one that never stopped.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch

from sritool.core.checkpoint import Checkpoint, load_weights, save_checkpoint
from sritool.core.config import RunConfig, plain, to_toml
from sritool.core.device import products_in, resolve_precision
from sritool.core.schedules import Ramp
from sritool.corpus.batches import collate, training_batches
from sritool.corpus.store import Corpus
from sritool.errors import CheckpointError, DataError, Interrupted, NumericalError
from sritool.methods.base import Clock
from sritool.methods.registry import build_method
from sritool.tasks import events
from sritool.tasks.runs import BEST, CONFIG, LAST, METRICS, MetricsLog
from sritool.tasks.tune_step import adopt, retune
from sritool.tasks.validate import collapse, sample_of, validate

# A GPU replays a graph for each length, so that few lengths are worth some padding.
_LENGTH_MULTIPLE = {"cuda": 4}
SAVE_SECONDS = 300.0  # last.pt is never older, however long a step takes


@dataclass(frozen=True)
class Limits:
    """When to stop before the plan is done. Seconds count from the start of this process' training."""

    max_steps: int | None = None
    max_seconds: float | None = None
    signal: Callable[[], int | None] = lambda: None  # the number of a signal that asks to stop


class Outcome(NamedTuple):
    """How a run ended."""

    folder: Path
    reason: str  # "done", "early stop", "max-steps", "max-time"
    steps: int
    seconds: float


@dataclass
class Position:
    """Where a run is; plain values, stored in last.pt."""

    epoch: int = 0  # epochs done
    batch: int = 0  # batches of the present epoch done
    step: int = 0
    seconds: float = 0.0
    best_nll: float = float("inf")
    epochs_without_better: int = 0
    recon: float = 0.0  # sums over the present epoch
    sentences: int = 0
    tuned: int = 0  # epochs done when the step sizes were last chosen
    tuning_seconds: float = 0.0


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
        self.corpus, self.folder, self.device, self.limits = corpus, folder, device, limits
        self.observer = observer
        self.train = corpus.split("train")
        self.valid = corpus.split("valid")
        self.config = self._with_precision(config, resume)
        self.method = build_method(self.config, len(corpus.tokenizer))
        self.method.precision = self.config.training.precision
        self.method.initialise()
        self.method.modules.to(device)
        self.position = Position()
        self.metrics: list[dict[str, Any]] = []
        if resume is not None:
            self._check_corpus(resume)
            load_weights(self.method.modules, resume.weights, folder / LAST)
        self.optimizer = self._optimizer()
        if resume is not None:
            self._restore(resume)
        (folder / CONFIG).write_text(to_toml(plain(self.config)), encoding="utf-8")
        self.log = MetricsLog(folder / METRICS, self.position.step, self.position.epoch)
        self._began = time.monotonic()
        self._seconds_before = self.position.seconds
        self._tokens, self._tokens_since = 0, self._began
        self._columns: dict[str, float] = {}
        self._saved = self._began
        self._warned = False  # of a collapse, which is said when it begins and not each epoch

    def _with_precision(self, config: RunConfig, resume: Checkpoint | None) -> RunConfig:
        """The configuration with "auto" settled; a resumed run keeps what was settled."""
        vocabulary = len(self.corpus.tokenizer)
        rows = int(config.training.batch_size * max(1.0, float(self.train.lengths.mean())))
        precision = resolve_precision(
            config.training.precision, self.device, config.generator.hidden, rows, vocabulary
        )
        return replace(config, training=replace(config.training, precision=precision))

    def _optimizer(self) -> torch.optim.Optimizer:
        settings = self.config.optimizer
        parameters = [p for p in self.method.modules.parameters() if p.numel()]
        if settings.name == "sgd":
            return torch.optim.SGD(parameters, lr=settings.learning_rate)
        fused = self.device.type in ("cpu", "cuda")
        return torch.optim.Adam(parameters, lr=settings.learning_rate, fused=fused)

    def _check_corpus(self, resume: Checkpoint) -> None:
        if resume.corpus["content_hash"] != self.corpus.info.content_hash:
            raise DataError(
                f"corpus {self.corpus.info.name} is not the one that {self.folder} was trained on; "
                "prepare that one again, or start a new run"
            )

    def _restore(self, resume: Checkpoint) -> None:
        if resume.trainer is None:
            raise CheckpointError(f"{self.folder / BEST} cannot be resumed; resume from {LAST}")
        try:
            self.optimizer.load_state_dict(resume.trainer["optimizer"])
            self.position = Position(**resume.trainer["position"])
            self.metrics = list(resume.metrics)
        except (KeyError, TypeError, ValueError) as error:
            raise CheckpointError(f"{self.folder / LAST} is damaged ({error}); start a new run") from error

    def run(self) -> Outcome:
        """Train until the plan is done, early stopping, or a limit; last.pt is up to date at the end.

        Raises: Interrupted on a signal, NumericalError on a loss that is not finite; both after saving.
        """
        try:
            reason = self._run_epochs()
        except _Stop as stop:
            self.save(LAST)
            if stop.signal is not None:
                raise Interrupted(
                    stop.signal,
                    f"stopped at step {self.position.step}, saved in {self.folder / LAST}; "
                    "go on with the same command and --resume",
                ) from None
            reason = stop.reason
        if self.position.best_nll == float("inf"):  # never validated: the model as it stands is all there is
            self.save(BEST)
        return Outcome(self.folder, reason, self.position.step, self._seconds())

    def _run_epochs(self) -> str:
        training = self.config.training
        while self.position.epoch < training.epochs:
            if self._may_stop_early() and 0 < training.patience <= self.position.epochs_without_better:
                return "early stop"
            if self._tuning_is_due():
                self._tune()
            batches = training_batches(
                self.train.lengths, training.batch_size, training.seed, self.position.epoch
            )
            while self.position.batch < len(batches):
                self._check_limits()
                self._step(batches)
                if self.position.step % training.save_every == 0 or self._save_is_old():
                    self.save(LAST)
            self.save(LAST)
            better = self._validate()
            self.position.epoch += 1
            self.position.batch = 0
            self.position.recon, self.position.sentences = 0.0, 0
            if better:
                self.save(BEST)
            self.save(LAST)
        return "done"

    def _save_is_old(self) -> bool:
        return time.monotonic() - self._saved >= SAVE_SECONDS

    def _check_limits(self) -> None:
        signal = self.limits.signal()
        if signal is not None:
            raise _Stop("signal", signal)
        if self.limits.max_steps is not None and self.position.step >= self.limits.max_steps:
            raise _Stop("max-steps")
        passed = time.monotonic() - self._began
        if self.limits.max_seconds is not None and passed >= self.limits.max_seconds:
            raise _Stop("max-time")

    def _step(self, batches: list[np.ndarray[Any, np.dtype[np.int64]]]) -> None:
        position, settings = self.position, self.config.optimizer
        batch = collate(self.train, batches[position.batch], _LENGTH_MULTIPLE.get(self.device.type, 1))
        tokens = batch.predictions
        progress = (position.epoch + position.batch / len(batches)) / self.config.training.epochs
        clock = Clock(self.config.training.seed, position.epoch, position.step, progress)
        with products_in(self.config.training.precision):
            sums = self.method.gradients(batch.to(self.device), clock)
        norm = float(
            torch.nn.utils.clip_grad_norm_(
                self.method.modules.parameters(), settings.clip or float("inf"), error_if_nonfinite=False
            )
        )
        if not np.isfinite(norm) or not np.isfinite(sums["recon"]):
            self._not_finite(norm)
        for group in self.optimizer.param_groups:
            group["lr"] = settings.learning_rate * settings.decay.at(progress)
        self.optimizer.step()
        position.batch += 1
        position.step += 1
        position.recon += sums["recon"]
        position.sentences += len(batch.examples)
        self._tell_step(sums, len(batch.examples), tokens, norm, len(batches))

    def _not_finite(self, norm: float) -> None:
        last = self.folder / LAST
        if all(bool(parameter.isfinite().all()) for parameter in self.method.modules.parameters()):
            self.save(LAST)  # else what was saved before the parameters themselves overflowed stands
        state = f"the last good state is in {last}" if last.is_file() else "it has no good state to save"
        raise NumericalError(
            f"the gradient is not finite at step {self.position.step} (norm {norm}); {state}; "
            "try a smaller --set optimizer.learning_rate, or a smaller step size"
        )

    def _tell_step(
        self, sums: dict[str, float], sentences: int, tokens: int, norm: float, batches: int
    ) -> None:
        position, training = self.position, self.config.training
        for name, value in sums.items():
            if name != "recon":
                self._columns[name.removeprefix("mean ")] = (
                    value if name.startswith("mean ") else value / sentences
                )
        self._tokens += tokens
        now = time.monotonic()
        speed = self._tokens / max(now - self._tokens_since, 1e-9)
        recon = position.recon / position.sentences
        self.observer(
            events.Step(
                position.epoch + 1,
                training.epochs,
                position.step,
                training.epochs * batches,
                speed,
                recon,
                norm,
                dict(self._columns),
            )
        )
        if position.step % 50 == 0 or position.step == 1:
            own = {key: round(value, 5) for key, value in self._columns.items()}
            record = {"kind": "step", "step": position.step, "epoch": position.epoch + 1}
            record |= {"recon": recon, "gradient_norm": norm, **own, "tokens_per_second": round(speed, 1)}
            self.log.add({**record, "seconds": round(self._seconds(), 2)})
            self._tokens, self._tokens_since = 0, now

    def _validate(self) -> bool:
        """Measure on the validation sentences; True if the NLL is the best so far."""
        position = self.position

        def report(label: str, done: int, total: int) -> None:
            signal = self.limits.signal()
            if signal is not None:
                raise _Stop("signal", signal)
            self.observer(events.Measuring(f"validation: {label}", done, total))

        estimates = validate(self.method, self.valid, self.config.validation, report)
        by_name = {estimate.metric: estimate for estimate in estimates}
        nll = by_name["nll"].value
        better = nll < position.best_nll
        position.best_nll = min(nll, position.best_nll)
        position.epochs_without_better = 0 if better else position.epochs_without_better + 1
        record: dict[str, Any] = {"kind": "epoch", "epoch": position.epoch + 1, "step": position.step}
        record["train_recon"] = position.recon / max(1, position.sentences)
        record["seconds"] = round(self._seconds(), 2)
        for name, estimate in by_name.items():
            record[name], record[f"{name} se"] = estimate.value, estimate.standard_error
        self.metrics.append(record)
        self.log.add(record)
        epochs, sample = self.config.training.epochs, sample_of(self.method, self.corpus.tokenizer)
        self.observer(events.Epoch(position.epoch + 1, epochs, estimates, better, self._seconds(), sample))
        warning = collapse(by_name, position.epoch + 1)
        if warning is not None and not self._warned:
            self.observer(events.Note(warning, warning=True))
        self._warned = warning is not None
        return better

    def _tuning_is_due(self) -> bool:
        """At the start of an epoch, not yet done there, after every so many."""
        every, position = self.config.training.tune_step_every, self.position
        fresh = position.batch == 0 and position.epoch > position.tuned
        return self.config.method == "sri" and every > 0 and fresh and position.epoch % every == 0

    def _tune(self) -> None:
        """Choose the chain's step sizes anew; last.pt has them before anything is drawn with them."""

        def stop_on_a_signal(*_: object) -> None:
            signal = self.limits.signal()
            if signal is not None:
                raise _Stop("signal", signal)

        position, training = self.position, self.config.training
        tuned = retune(
            self.method, self.valid, position.epoch / training.epochs, position.epoch, stop_on_a_signal
        )
        self.config = adopt(self.method, tuned)
        (self.folder / CONFIG).write_text(to_toml(plain(self.config)), encoding="utf-8")
        position.tuned = position.epoch
        position.tuning_seconds += tuned.seconds
        self.save(LAST)
        share = position.tuning_seconds / self._seconds()
        record = {"kind": "tune", "step": position.step, "epoch": position.epoch, **tuned.record()}
        self.log.add({**record, "share_of_training": share, "seconds": round(self._seconds(), 2)})
        spent = f"it took {tuned.seconds:.1f} s, and all such searches {100 * share:.1f} % of training"
        self.observer(events.Note(f"{tuned.in_a_line()}; {spent}"))

    def _may_stop_early(self) -> bool:
        """Not before every schedule has ended."""
        ramps = [self.config.sampler.temperature] if self.config.method == "sri" else []
        ramps.append(self.config.optimizer.decay)
        moving = [ramp.finish for ramp in ramps if isinstance(ramp, Ramp) and ramp.start != ramp.end]
        return self.position.epoch / self.config.training.epochs >= max(moving, default=0.0)

    def _seconds(self) -> float:
        return self._seconds_before + time.monotonic() - self._began

    def save(self, name: str) -> None:
        """Write best.pt (the model) or last.pt (also what resuming needs)."""
        self.position.seconds = self._seconds()
        self._saved = time.monotonic()
        info = self.corpus.info
        trainer = None
        if name == LAST:
            trainer = {"optimizer": self.optimizer.state_dict(), "position": vars(self.position).copy()}
        progress = {
            "epoch": self.position.epoch,
            "step": self.position.step,
            "seconds": self.position.seconds,
        }
        save_checkpoint(
            Checkpoint(
                config=self.config,
                tokenizer=self.corpus.tokenizer,
                weights=self.method.modules.state_dict(),
                corpus={
                    "name": info.name,
                    "path": str(self.corpus.path.resolve()),
                    "content_hash": info.content_hash,
                    "max_length": info.max_length,
                    "lowercase": info.lowercase,
                    "split_punctuation": info.split_punctuation,
                },
                progress=progress,
                metrics=self.metrics,
                trainer=trainer,
            ),
            self.folder / name,
        )
