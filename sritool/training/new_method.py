"""What a run trains, and on which sentences."""

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
    """Draw a run's method, with its precision settled where that is "auto"; a resumed run keeps what was settled.

    The method's own configuration has the precision; `processes` share a batch.
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
    """The sentences that a run is trained on: all of the training split, or as many as its settings say."""
    train = corpus.split("train")
    return train.choice(config.training.sentences or len(train))
