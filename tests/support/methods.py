"""Small methods with random parameters, in float64, and a batch of random sentences."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from types import MappingProxyType
from typing import Any

import numpy as np
import pytest
import torch

from sritool.config.settings import RunConfig
from sritool.config.values import build
from sritool.data.batches import Batch, collate
from sritool.data.split import Split
from sritool.data.tokenizer import EOS, UNK, offsets_of
from sritool.methods.base import Clock, Method
from sritool.methods.encoder_method import EncoderMethod
from sritool.methods.registry import build_method

VOCABULARY = 9
STEP_SIZES = [0.2, 0.1, 0.05]


@pytest.fixture(scope="session")
def split() -> Split:
    """Twelve sentences of 1 to 6 predictions."""
    random = np.random.default_rng(0)
    lengths = [6, 4, 1, 5, 3, 2, 6, 6, 4, 1, 2, 5]
    flat = [[*random.integers(UNK, VOCABULARY, length - 1).tolist(), EOS] for length in lengths]
    offsets = offsets_of(lengths)
    ids = np.array([token for sentence in flat for token in sentence], dtype=np.int32)
    return Split(ids=ids, offsets=offsets, labels=None)


@pytest.fixture(scope="session")
def batch_of(split: Split) -> Callable[[Sequence[int]], Batch]:
    return lambda examples: collate(split, examples)


@pytest.fixture(scope="session")
def make_method() -> Callable[..., Method]:
    """Build a method by name; `dropout` and `generator` configure its generator, other keywords its sampler."""

    def make(
        name: str = "sri",
        dropout: float = 0.0,
        scale: float = 1.0,
        generator: Mapping[str, Any] = MappingProxyType({}),
        **sampler: Any,
    ) -> Method:
        settings: dict[str, Any] = {"steps": 4, "step_sizes": STEP_SIZES, "temperature": 0.5, **sampler}
        latent = 0 if name == "lm" else 3
        values = {
            "method": name,
            "generator": {"embedding": 4, "hidden": 5, "latent": latent, "dropout": dropout, **generator},
            "sampler": settings,
            "lagging": {"updates": 2},
            "training": {"measure_every": 0},
        }
        method = build_method(build(RunConfig, values), VOCABULARY)
        method.generator.initialise(scale, seed=1)
        if isinstance(method, EncoderMethod):
            method.encoder.initialise(scale, seed=1)
        method.modules.double()
        return method

    return make


@pytest.fixture(scope="session")
def clock() -> Clock:
    return Clock(seed=3, epoch=2, step=40, progress=0.25)


@pytest.fixture(scope="session")
def gradients() -> Callable[[Method, Batch, Clock], dict[str, torch.Tensor]]:
    """The gradients that a method computes for a batch, by parameter name."""

    def take(method: Method, batch: Batch, clock: Clock) -> dict[str, torch.Tensor]:
        method.modules.zero_grad()
        method.gradients(batch, clock)
        found = {}
        for name, parameter in method.generator.named_parameters():
            assert parameter.grad is not None, name
            found[name] = parameter.grad.clone()
        return found

    return take
