"""The state of a run: parameters, optimiser and position in the data, saved to and restored from last.pt."""

from __future__ import annotations

import math
import time
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from sritool.config.settings import RunConfig
from sritool.config.values import build, to_toml
from sritool.data.store import Corpus
from sritool.errors import CheckpointError, DataError, SritoolError, UsageError
from sritool.files import cannot_write, write_bytes
from sritool.methods.base import Method
from sritool.processes import ALONE, Processes
from sritool.runs.checkpoint import Checkpoint, load_checkpoint, save_checkpoint
from sritool.runs.checkpoint_checks import TrainedOn, TrainingProgress, check_optimizer
from sritool.runs.folder import AUTOENCODER, BEST, BEST_EPOCH, CONFIG, LAST
from sritool.runs.stage import Stage
from sritool.runs.weights import load_weights, method_without_memory
from sritool.training.averaging import WeightAverage
from sritool.training.configure import shown
from sritool.training.freezing import check_freezing, trained_parameters
from sritool.training.language_model import (
    draw_latent_maps,
    language_model_of,
    silence_z,
    z_is_silent,
)
from sritool.training.new_method import new_method, training_split
from sritool.training.optimizer import make_optimizer
from sritool.training.overflow import overflow
from sritool.training.position import Position
from sritool.training.pretraining import (
    begins_as_autoencoder,
    continue_from_encoder,
    pretraining_epochs,
    take_encoder,
)
from sritool.training.warm_start import begin_from_files

SAVE_SECONDS = 300.0  # last.pt is never older, however long a step takes


class RunState:
    """The complete state of a run, in its folder; all noise is a function of the position."""

    def __init__(
        self,
        corpus: Corpus,
        config: RunConfig,
        folder: Path,
        device: torch.device,
        resume: Checkpoint | None = None,
        processes: Processes = ALONE,
    ) -> None:
        """Begin a run, or resume it from its checkpoint.

        If several processes train it, only the first one reads and writes files; see `sharing`.

        Raises:
            DataError: The run to resume was trained on another corpus.
            CheckpointError: Its checkpoint is damaged.
        """
        self.corpus, self.folder, self.device, self.processes = corpus, folder, device, processes
        self.train = training_split(corpus, config)
        if resume is not None:
            if resume.corpus.content_hash != corpus.info.content_hash:
                if (trained := resume.corpus.name) != corpus.info.name:
                    raise DataError(
                        f"{folder} was trained on {trained}, not on {corpus.info.name}; give: "
                        f"sritool train {trained} --resume {folder}, or start a new run without --resume"
                    )
                raise DataError(
                    f"corpus {corpus.info.name} is not the one that {folder} was trained on; "
                    "prepare that one again, or start a new run"
                )
            # Checked with its own settings: the resumed run's sampler may have other statistics.
            method_without_memory(resume, folder / LAST)
        self.method = new_method(config, corpus, self.train, device, processes.size)
        self.method.processes = processes
        self.position = Position(pretraining=begins_as_autoencoder(self.method, config))
        self.taken_over: list[str] = []  # weights from other files, one line each
        self.metrics: list[dict[str, Any]] = []
        if resume is not None:
            load_weights(self.method.modules, self._fitting_weights(resume), folder / LAST)
        else:
            self.taken_over = begin_from_files(self.method, corpus, self.train)
            if self.method.config.language_model_epochs:
                silence_z(self.method)
        check_freezing(self.method)
        self._begin_updates()
        if resume is not None:
            self._restore(resume)
            self._go_back_to_best_epoch()
        self.learner: Method = self.method
        self._choose_learner()
        if processes.is_first:
            self.write_config()
        self.save_seconds = 0.0  # of the last save
        self._began = self._saved = time.monotonic()
        self._seconds_before = self.position.seconds

    def _choose_learner(self) -> None:
        """Choose what the present epoch trains: the method, an autoencoder for it, or its generator without z."""
        position, config = self.position, self.config
        self.method.pretraining = position.pretraining
        self.method.epochs_before_z = position.epochs_before_z(config)
        # A resumed run may still be a language model, though its settings no longer ask for one.
        may_be_early = self.method.latent > 0 and (config.language_model_epochs > 0 or position.step > 0)
        early = may_be_early and not (position.pretraining or position.before_z) and z_is_silent(self.method)
        if early != (self.learner is not self.method):  # keep the object while the stage lasts
            self.learner = language_model_of(self.method) if early else self.method
            self.method.modules.zero_grad()  # a parameter without a gradient is not updated

    def z_is_due(self) -> bool:
        """Return whether the epochs as a language model are over, so that z begins."""
        early = self.stage is Stage.LANGUAGE_MODEL
        return early and self.position.epoch >= self.config.language_model_epochs

    def begin_with_z(self) -> None:
        """Draw the maps of z; reset the best model, the average of the weights and the halvings of the rate."""
        draw_latent_maps(self.method)
        self._begin_average()
        position = self.position
        position.before_z = position.epoch
        position.best, position.epochs_without_better = math.inf, 0
        position.best_since_halving, position.stalled, position.halvings = math.inf, 0, 0
        self._choose_learner()

    @property
    def stage(self) -> Stage:
        """The stage of the present epoch."""
        if self.position.pretraining:
            return Stage.AUTOENCODER
        return Stage.METHOD if self.learner is self.method else Stage.LANGUAGE_MODEL

    @property
    def epochs(self) -> int:
        """Planned epochs: of the autoencoder during pretraining, then of the method."""
        return pretraining_epochs(self.config) if self.position.pretraining else self.config.training.epochs

    def tuning_is_due(self) -> bool:
        """Return whether to search for step sizes now: at the start of an epoch, every `tune_step_every` epochs."""
        every, position = self.config.training.tune_step_every, self.position
        fresh = position.batch == 0 and position.epoch > position.tuned
        of_chain = self.method.has_chain and self.stage is Stage.METHOD
        return of_chain and every > 0 and fresh and position.epoch % every == 0

    def lacks_best(self) -> bool:
        """Return whether no validation has chosen a best.pt yet; False during pretraining."""
        return self.position.best == math.inf and not self.position.pretraining

    def keeps_last(self) -> bool:
        """Return whether best.pt is always the model of the last epoch."""
        return self.config.training.select == "last" and not self.position.pretraining

    def keeps_best_autoencoder(self) -> bool:
        """Return whether the run continues from the best epoch of the autoencoder, and there is one."""
        return self.config.pretraining.keep == "best" and self.position.best < math.inf

    def return_to_best(self) -> None:
        """Load the weights of this stage's best model, if it was saved; reset the optimiser and the average."""
        path = self.folder / (AUTOENCODER if self.position.pretraining else BEST)
        if not path.is_file() or (self.position.pretraining and not self.keeps_best_autoencoder()):
            return
        load_weights(self.method.modules, self._fitting_weights(load_checkpoint(path)), path)
        self._begin_updates()

    def end_pretraining(self) -> None:
        """Go from the autoencoder to the method: keep the encoder and the count of steps, reset all else."""
        if self.keeps_best_autoencoder():
            take_encoder(self.method, self.folder / AUTOENCODER, self.corpus)
        continue_from_encoder(self.method)
        if self.config.language_model_epochs:
            silence_z(self.method)
        self._begin_updates()
        self.position = Position(step=self.position.step, seconds=self.position.seconds)
        self._choose_learner()
        self.save(LAST)

    def take_over(self, given: Checkpoint) -> None:
        """Copy another process' state from its `checkpoint`."""
        load_weights(self.method.modules, given.weights, self.folder / LAST)
        self.method.config = given.config
        self._restore(given)
        self._choose_learner()

    @property
    def config(self) -> RunConfig:
        """The run's settings."""
        return self.method.config

    def averaged(self) -> AbstractContextManager[None]:
        """Return a context in which the method has its averaged weights, if there is an average."""
        return nullcontext() if self.average is None else self.average.in_place()

    def write_config(self) -> None:
        """Write config.toml, for users to read."""
        path = self.folder / CONFIG
        try:
            text = to_toml(shown(self.config)).encode(errors="surrogateescape")  # paths may not be UTF-8
            write_bytes(path, [text], follow=False)
        except OSError as error:
            raise SritoolError(cannot_write(path, error, "the run a folder it can write to")) from error

    def seconds(self) -> float:
        """Return the seconds spent on the run so far, in all commands that trained it."""
        return self._seconds_before + (time.monotonic() - self._began)

    def save_is_due(self, planned: bool) -> bool:
        """Return whether to save: by the count of planned steps, or because last.pt is old."""
        every = self.config.training.save_every
        return (planned and self.position.step % every == 0) or time.monotonic() - self._saved >= SAVE_SECONDS

    def _fitting_weights(self, resume: Checkpoint) -> dict[str, Tensor]:
        """The run's weights; running statistics that only the new settings need are reset, others are dropped."""
        wanted = self.method.modules.state_dict()
        statistics = {name for name, _ in self.method.modules.named_buffers()}
        known = {name: tensor for name, tensor in resume.weights.items() if name in wanted}
        return known | {name: wanted[name] for name in statistics - known.keys()}

    def _begin_updates(self) -> None:
        """Create a new optimiser, and an average that begins with the present weights."""
        self.optimizer = make_optimizer(self.method.modules, self.config.optimizer, self.device)
        self._begin_average()

    def _begin_average(self) -> None:
        settings = self.config.optimizer
        self.average = WeightAverage(self.method.modules, settings.ema_decay) if settings.ema_decay else None

    def _restore(self, resume: Checkpoint) -> None:
        if resume.trainer is None:
            last = self.folder / LAST
            raise CheckpointError(
                f"{last} is a model alone, which cannot be resumed; start a new run --from {last}"
            )
        trained = trained_parameters(self.method.modules, self.config.optimizer.freeze)
        shapes = [parameter.shape for parameter in trained]
        try:
            optimizer, position, own = (resume.trainer[name] for name in ("optimizer", "position", "method"))
            fresh = self.optimizer.state_dict()
            check_optimizer(optimizer, fresh, shapes)
            self.position = build(Position, position)
            self.method.restore(own)
        except (UsageError, KeyError, ValueError) as error:  # raised by the checks
            raise CheckpointError(f"{self.folder / LAST} is damaged ({error}); start a new run") from error
        self.optimizer.load_state_dict({**fresh, "state": optimizer["state"]})
        if self.average is not None and (average := resume.trainer.get("average")):
            self.average.restore(average)
        self.metrics = list(resume.metrics)

    def set_best_epoch_aside(self) -> None:
        """Copy best.pt before it is overwritten; a resumed run continues with the model of the best epoch."""
        if (self.folder / BEST).is_file():
            write_bytes(self.folder / BEST_EPOCH, [(self.folder / BEST).read_bytes()], follow=False)

    def _go_back_to_best_epoch(self) -> None:
        if self.processes.is_first and (self.folder / BEST_EPOCH).is_file():
            (self.folder / BEST_EPOCH).replace(self.folder / BEST)

    def save(self, name: str) -> None:
        """Write best.pt (the model, with averaged weights if there is an average) or last.pt (what resuming needs).

        With several processes, only the first one writes.

        Raises:
            SritoolError: The file cannot be written, as on a full disk; the old file stays.
        """
        began = time.monotonic()
        if name == LAST:
            self._saved = began  # in every process, so that all check their parameters at the same time
        if not self.processes.is_first:
            return
        try:
            with nullcontext() if name == LAST else self.averaged():
                save_checkpoint(self.checkpoint(resumable=name == LAST), self.folder / name)
        except SritoolError as error:
            last, saved = self.folder / LAST, "nothing of this run is saved"
            if last.is_file():
                saved = f"the state saved before is in {last}; go on with the same command and --resume"
            raise SritoolError(f"{error}; {saved}") from error
        self.save_seconds = time.monotonic() - began

    def save_last(self) -> None:
        """Write last.pt, unless a parameter is not finite.

        Raises:
            NumericalError: A parameter is not finite; the old last.pt stays.
        """
        if not self.is_finite():
            raise overflow(self, "a parameter is not finite")
        self.save(LAST)

    def is_finite(self) -> bool:
        """Return whether all parameters are finite."""
        return all(bool(parameter.isfinite().all()) for parameter in self.method.modules.parameters())

    def checkpoint(self, resumable: bool) -> Checkpoint:
        """Return the state as a checkpoint; without optimiser and position if it is not `resumable`."""
        self.position.seconds = self.seconds()
        position, info = self.position, self.corpus.info
        # Without the parameter groups: they hold settings, which the run has itself, and the rate of the last update.
        optimizer = {"state": self.optimizer.state_dict()["state"]}
        trainer = {"optimizer": optimizer, "position": vars(position).copy(), "method": self.method.state()}
        if self.average is not None:
            trainer["average"] = self.average.state()
        path, cut = str(self.corpus.path.resolve()), (info.max_length, info.lowercase, info.split_punctuation)
        return Checkpoint(
            config=self.config,
            tokenizer=self.corpus.tokenizer,
            weights=self.method.modules.state_dict(),
            corpus=TrainedOn(info.name, path, info.content_hash, *cut),
            progress=TrainingProgress(
                position.epoch, position.step, position.seconds, position.pretraining, position.before_z
            ),
            metrics=self.metrics,
            trainer=trainer if resumable else None,
        )
