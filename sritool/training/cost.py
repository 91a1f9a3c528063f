"""What a run will cost: sizes, memory, and time by a few steps on this machine."""

from __future__ import annotations

import time
from typing import NamedTuple

import numpy as np
import torch

from sritool.config.settings import RunConfig
from sritool.data.batches import collate, training_batches
from sritool.data.store import Corpus
from sritool.methods.base import Clock, Method
from sritool.methods.registry import build_method
from sritool.model.device import resolve_precision
from sritool.training.pretraining import pretraining_epochs
from sritool.training.state import training_split


class RunCost(NamedTuple):
    """Sizes and times of a run that has not begun."""

    method: Method  # with random weights
    sentences: int  # of the training split that it takes
    vocabulary: int
    parameters: int
    memory: int  # bytes, of the model and a batch
    steps: int  # in an epoch
    seconds_a_step: float
    beside: int  # updates before each of the plan while the method is aggressive, at most
    epochs: int  # planned, an autoencoder's before it among them

    @property
    def epoch(self) -> float:
        """Seconds of an epoch, without validation and updates beside the plan."""
        return self.seconds_a_step * self.steps

    @property
    def seconds(self) -> float:
        """Seconds of the plan, likewise."""
        return self.epoch * self.epochs


def cost_of(config: RunConfig, corpus: Corpus, device: torch.device) -> RunCost:
    """Return what a run will cost, the time from three steps on batches of middle length.

    Args:
        config: Its settings.
        corpus: What it will be trained on.
        device: Where.
    """
    method = build_method(config, len(corpus.tokenizer))
    method.initialise()
    method.modules.to(device)
    train = training_split(corpus, config)
    rows = int(config.training.batch_size * max(1.0, float(train.lengths.mean())))
    method.precision = resolve_precision(
        config.training.precision, device, config.generator.hidden, rows, len(corpus.tokenizer)
    )
    batches = training_batches(train.lengths, config.training.batch_size, config.training.seed, 0)
    by_length = sorted(batches, key=lambda part: int(train.lengths[part].max()))
    middle = [by_length[len(by_length) * k // 4] for k in (1, 2, 3)]
    seconds = []
    for number, part in enumerate([middle[0], *middle]):  # the first one warms up
        begin = time.perf_counter()
        method.gradients(collate(train, part).to(device), Clock(0, 0, number + 1, 0.0))
        seconds.append(time.perf_counter() - begin)
    parameters = sum(p.numel() for p in method.modules.parameters())
    logits = int(config.training.batch_size * train.lengths.max()) * len(corpus.tokenizer)
    units = config.generator.hidden * config.generator.layers
    states = int(config.training.batch_size * train.lengths.max()) * units * 16
    copies = 4 + bool(config.optimizer.ema_decay)  # with gradients, Adam's two moments and the average
    begins_elsewhere = config.pretraining.encoder or config.warm_start.checkpoint
    before = pretraining_epochs(config) if method.pretrains and not begins_elsewhere else 0
    return RunCost(
        method=method,
        sentences=len(train),
        vocabulary=len(corpus.tokenizer),
        parameters=parameters,
        memory=4 * (copies * parameters + min(logits, 1 << 23) + states),
        steps=len(batches),
        seconds_a_step=float(np.mean(seconds[1:])),
        beside=method.updates_beside,
        epochs=config.training.epochs + before,
    )


def describe(config: RunConfig, corpus: Corpus, device: torch.device) -> list[tuple[str, object, str]]:
    """Return the rows of `train --dry-run`: a quantity, its value and its unit; arguments as `cost_of`."""
    cost = cost_of(config, corpus, device)
    alone, epoch = cost.beside, cost.epoch
    return [
        ("training sentences", cost.sentences, ""),
        ("vocabulary", cost.vocabulary, "with <unk>, <pad>, <s>, </s>"),
        ("parameters", cost.parameters, ""),
        ("memory for the model and a batch", round(cost.memory / 2**20), "MiB"),
        ("steps in an epoch", cost.steps, ""),
        (
            "time of an epoch, without validation",
            round(epoch, 1),
            "s, without updates of the encoder alone" if alone else "s",
        ),
        *([("time of an aggressive epoch", round(epoch * (1 + alone), 1), "s at most")] if alone else []),
        (
            "time of the plan",
            round(cost.seconds / 60, 1),
            f"min, {cost.epochs} epochs"
            + (" if none were aggressive, as the first and some more are" if alone else "")
            + (", the autoencoder's among them" if cost.epochs > config.training.epochs else ""),
        ),
        *(
            [("time at most", config.training.minutes, "min, by training.minutes")]
            if config.training.minutes
            else []
        ),
        ("device", str(device), f"output layer in {cost.method.precision}"),
    ]
