"""The method that a run trains, and its training sentences."""

from __future__ import annotations

from dataclasses import replace

import torch

from sritool.config.settings import RunConfig
from sritool.data.split import Split
from sritool.data.store import Corpus
from sritool.methods.base import Method
from sritool.methods.registry import build_method
from sritool.model.device import resolve_precision


def new_method(
    config: RunConfig, corpus: Corpus, train: Split, device: torch.device, processes: int
) -> Method:
    """Build a run's method with random parameters, and choose its precision where that is "auto".

    A resumed run keeps the precision chosen before. It is in the method's own configuration.

    Args:
        config: The run's settings.
        corpus: The prepared corpus.
        train: Its training sentences.
        device: The device to compute on.
        processes: Processes that share a batch.
    """
    training, types = config.training, len(corpus.tokenizer)
    sentences = -(-training.batch_size // (processes * training.accumulate))
    rows = int(sentences * max(1.0, float(train.lengths.mean())))
    precision = resolve_precision(training.precision, device, config.generator.hidden, rows, types)
    method = build_method(replace(config, training=replace(training, precision=precision)), types)
    method.precision = precision
    method.initialise()
    method.modules.to(device)
    return method


def training_split(corpus: Corpus, config: RunConfig) -> Split:
    """Return the sentences that a run is trained on: the training split, or as many of it as the settings say."""
    train = corpus.split("train")
    return train.choice(config.training.sentences or len(train))
