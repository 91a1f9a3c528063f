"""The cost of a run: sizes, memory, and time estimated from a few steps on this machine."""

from __future__ import annotations

import time
from collections.abc import Sequence
from functools import partial
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray

from sritool.config.settings import RunConfig
from sritool.data.batches import collate, training_batches
from sritool.data.split import Split
from sritool.data.store import Corpus
from sritool.methods.base import Clock, Method
from sritool.model.device import length_multiple, products_in
from sritool.processes import ALONE, part_of
from sritool.runs.checkpoint_checks import TrainingProgress
from sritool.training.freezing import check_freezing
from sritool.training.language_model import language_model_of
from sritool.training.new_method import new_method, training_split
from sritool.training.pretraining import begins_as_autoencoder, pretraining_epochs
from sritool.training.sharing import BatchGradients


class RunCost(NamedTuple):
    """Sizes of a run, and the time it will take."""

    method: Method  # with random weights
    sentences: int  # of the training split that it uses
    vocabulary: int
    parameters: int
    memory: int  # bytes, for the model and a batch
    steps: int  # in an epoch
    seconds_a_step: float
    reduced: int  # bytes summed over processes in a step
    beside: int  # most extra updates before each planned one, while the method is aggressive
    seconds_beside: float  # of one extra update
    epochs: int  # to come, including an autoencoder's before the method's own
    early: int  # epochs among these as a language model
    seconds_early: float  # of a step in such an epoch

    @property
    def epoch(self) -> float:
        """Seconds of an epoch, without validation and extra updates."""
        return self.seconds_a_step * self.steps

    @property
    def early_epoch(self) -> float:
        """The same of an epoch as a language model."""
        return self.seconds_early * self.steps

    @property
    def aggressive_epoch(self) -> float:
        """Seconds of an epoch with the most extra updates."""
        return self.epoch + self.seconds_beside * self.beside * self.steps

    @property
    def seconds(self) -> float:
        """Seconds of the epochs to come, without validation and extra updates."""
        return self.epoch * (self.epochs - self.early) + self.early_epoch * self.early


def cost_of(
    config: RunConfig,
    corpus: Corpus,
    device: torch.device,
    processes: int = 1,
    progress: TrainingProgress | None = None,
) -> RunCost:
    """Return the cost of a run, with times measured on three batches of middle length.

    Args:
        config: The run's settings.
        corpus: The prepared corpus.
        device: The device to measure on.
        processes: Processes that share each batch, on devices like this one; the time of their sums is left out.
        progress: That of the checkpoint to resume; None for a new run.

    Raises:
        UsageError: Freezing leaves nothing to train.
    """
    train = training_split(corpus, config)
    method = new_method(config, corpus, train, device, processes)
    config = method.config
    check_freezing(method)
    batches = training_batches(train.lengths, config.training.batch_size, config.training.seed, 0)
    parts = processes * config.training.accumulate
    timed = partial(_timed, config, train, batches, device, parts)
    beside, seconds_beside = method.updates_beside, 0.0
    if beside:
        seconds_beside, _ = timed(method)  # the method begins with these
        method.end_beside()
    seconds, reduced = timed(method)
    progress = progress or TrainingProgress(0, 0, 0.0, begins_as_autoencoder(method, config))
    epochs, early = _epochs_to_come(config, progress)
    seconds_early = timed(language_model_of(method))[0] if early else 0.0
    parameters = sum(p.numel() for p in method.modules.parameters())
    positions = -(-config.training.batch_size // parts) * int(train.lengths.max())
    logits = positions * len(corpus.tokenizer)
    states = positions * config.generator.hidden * config.generator.layers * 16
    # Weights, gradients, Adam's two moments, the average, and the buffer in which parts are added up.
    copies = 4 + bool(config.optimizer.ema_decay) + (parts > 1)
    return RunCost(
        method=method,
        sentences=len(train),
        vocabulary=len(corpus.tokenizer),
        parameters=parameters,
        memory=4 * (copies * parameters + min(logits, 1 << 23) + states),
        steps=len(batches),
        seconds_a_step=seconds,
        reduced=reduced,
        beside=beside,
        seconds_beside=seconds_beside,
        epochs=epochs,
        early=early,
        seconds_early=seconds_early,
    )


def _timed(
    config: RunConfig,
    train: Split,
    batches: Sequence[NDArray[np.int64]],
    device: torch.device,
    parts: int,
    method: Method,
) -> tuple[float, int]:
    """Return the seconds of an update (mean over three batches) and the bytes that processes sum in it."""
    by_length = sorted(batches, key=lambda part: int(train.lengths[part].max()))
    middle = [by_length[len(by_length) * k // 4] for k in (1, 2, 3)]
    warming_up = middle if device.type == "cuda" else middle[:1]  # a graph is captured for each length
    seconds, gradients = [], BatchGradients(method, config, device, ALONE)
    for number, chosen in enumerate([*warming_up, *middle]):
        whole = collate(train, chosen, length_multiple(device)).to(device)
        part = whole.part(part_of(whole.size, parts - 1, parts)) if parts > 1 else whole
        begin = time.perf_counter()
        with products_in(method.precision):
            _, summed = gradients.of_part(part, Clock(0, 0, number + 1, 0.0), whole)
        seconds.append(config.training.accumulate * (time.perf_counter() - begin))
    reduced = sum(tensor.numel() * tensor.element_size() for tensor in summed)
    return float(np.mean(seconds[len(warming_up) :])), reduced


def _epochs_to_come(config: RunConfig, progress: TrainingProgress) -> tuple[int, int]:
    """Return the epochs to come: all, including an autoencoder's, and those as a language model."""
    own, done, early = config.training.epochs, progress.epoch, config.language_model_epochs
    if progress.pretraining:
        return max(0, pretraining_epochs(config) - done) + own, early
    return max(0, own - done), 0 if progress.before_z else max(0, early - done)


def describe(
    config: RunConfig,
    corpus: Corpus,
    device: torch.device,
    processes: int = 1,
    progress: TrainingProgress | None = None,
) -> list[tuple[str, object, str]]:
    """Return the rows of `train --dry-run`: quantity, value and unit; arguments as in `cost_of`."""
    cost = cost_of(config, corpus, device, processes, progress)
    training, several = config.training, processes > 1
    parts, minutes = training.accumulate, training.minutes
    share = -(-training.batch_size // processes)
    of_epoch = "s, without updates of the encoder alone" if cost.beside else "s"
    of_epoch += ", without the time of sums over processes" if several else ""
    of_plan = f"min, {cost.epochs} epochs"
    of_plan += " if none were aggressive, as the first and some more are" if cost.beside else ""
    of_plan += ", the autoencoder's among them" if cost.epochs > training.epochs else ""
    of_plan += f", {cost.early} of them as a language model" if cost.early else ""
    plan = "time of the plan" if progress is None else "time of the rest of the plan"
    rows: list[tuple[str, object, str]] = [
        ("training sentences", cost.sentences, ""),
        ("vocabulary", cost.vocabulary, "with <unk>, <pad>, <s>, </s>"),
        ("parameters", cost.parameters, ""),
        ("memory for the model and a batch", round(cost.memory / 2**20), "MiB"),
        ("processes", processes if several else None, f"with {share} sentences of a batch each"),
        ("parts of a batch", parts if parts > 1 else None, "in each process, one after another"),
        ("summed in a step", round(cost.reduced / 2**20, 1) if several else None, "MiB, over all processes"),
        ("steps in an epoch", cost.steps, ""),
        ("time of an epoch, without validation", round(cost.epoch, 1), of_epoch),
        (
            "time of an aggressive epoch",
            round(cost.aggressive_epoch, 1) if cost.beside else None,
            "s at most",
        ),
        (plan, round(cost.seconds / 60, 1), of_plan),
        ("time at most", minutes or None, "min, by training.minutes"),
        ("device", str(device), f"output layer in {cost.method.precision}"),
    ]
    return [row for row in rows if row[1] is not None]
