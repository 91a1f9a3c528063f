"""sritool's own chain and training step on a random batch, called as the trainer calls them.

The benchmarks that time chains and training steps build them here, so that a change in sritool's core needs a change
in one place.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from benchmarks.shapes import Shape, random_batch, random_split
from sritool.config.presets import layered
from sritool.config.settings import RunConfig
from sritool.config.values import build, merge
from sritool.data.batches import Batch, collate
from sritool.inference.langevin import evaluated, short_run, with_prior
from sritool.methods.base import Clock, Method
from sritool.methods.registry import build_method
from sritool.methods.sri import ShortRunInference
from sritool.model.theta_gradient import ThetaGradient
from sritool.processes import Processes
from sritool.training.sharing import BatchGradients

CLOCK = Clock(seed=0, epoch=0, step=1, progress=0.0)
BATCHES = 8  # different batches that a run cycles through


def run_config(
    shape: Shape,
    method: str = "sri",
    sampler: str = "authors",
    steps: int | None = None,
    precision: str = "float32",
    all_words: bool = False,
) -> RunConfig:
    """Return the settings of the shape's preset and of the named sampler, with the shape's own sizes.

    Args:
        shape: Sizes of the model and the batch.
        method: Name of the method.
        sampler: Name of the sampler; only `sri` reads it.
        steps: Langevin steps of a chain; None for the sampler's own number.
        precision: Precision of the output layer.
        all_words: Use all words where the sampler would draw some.
    """
    latent = 0 if method == "lm" else shape.latent
    sizes: dict[str, Any] = {
        "embedding": shape.embedding,
        "hidden": shape.hidden,
        "latent": latent,
        "dropout": shape.dropout,
    }
    as_published = {"dropout_mask": "token", "tied_embeddings": False, "weight_drop": 0.0}
    own = {"generator": sizes | as_published, "training": {"batch_size": shape.batch, "precision": precision}}
    if method == "sri":
        own["sampler"] = ({"steps": steps} if steps else {}) | ({"words": 0} if all_words else {})
    return build(RunConfig, merge(layered(shape.preset, sampler if method == "sri" else None, method), own))


def batches(shape: Shape, device: torch.device) -> Callable[[], Batch]:
    """Return a function that collates the next batch at each call."""
    split = random_split(shape, BATCHES * shape.batch)
    turns = itertools.cycle(range(0, BATCHES * shape.batch, shape.batch))

    def following() -> Batch:
        first = next(turns)
        return collate(split, range(first, first + shape.batch)).to(device)

    return following


def method_of(config: RunConfig, shape: Shape, device: torch.device) -> Method:
    """Make a method with random weights, as the trainer does."""
    method = build_method(config, shape.vocabulary)
    method.precision = config.training.precision
    method.initialise()
    method.modules.to(device)
    return method


def optimizer_of(method: Method, device: torch.device) -> torch.optim.Optimizer:
    """Make the optimiser as the trainer does for `adam`."""
    parameters = [p for p in method.modules.parameters() if p.numel()]
    rate = method.config.optimizer.learning_rate
    return torch.optim.Adam(parameters, lr=rate, fused=device.type in ("cpu", "cuda"))


class OurStep:
    """sritool's whole training step: collation, gradient for θ with the chain, clipping and Adam.

    Several processes that make a step together share its batch.
    """

    def __init__(
        self, config: RunConfig, shape: Shape, device: torch.device, processes: Processes | None = None
    ) -> None:
        processes = processes or Processes()
        self.method = method_of(config, shape, device)
        self.method.processes = processes
        self._config = config
        self._gradients = BatchGradients(self.method, config, device, processes)
        self._optimizer = optimizer_of(self.method, device)
        self._following = batches(shape, device)
        self._steps = itertools.count(1)

    def __call__(self) -> None:
        """Make one update, at a step number at which the trainer takes no additional measurements."""
        every = self._config.training.measure_every
        step = next(number for number in self._steps if not every or number % every)
        self._gradients.compute(self._following(), CLOCK._replace(step=step), False)
        bound = self._config.optimizer.clip or math.inf
        torch.nn.utils.clip_grad_norm_(self.method.modules.parameters(), bound)
        self._optimizer.step()
        self.method.after_update()


def our_chain(config: RunConfig, shape: Shape, device: torch.device) -> Callable[[], object]:
    """Build the training chain of one batch, including all work that a new batch or new θ requires.

    Includes the gradient for θ at every visited z if the sampler takes it there. On CUDA it includes the gradient at
    the end, since training captures both in one graph.
    """
    method, batch = method_of(config, shape, device), random_batch(shape).to(device)
    assert isinstance(method, ShortRunInference)
    sampler = config.sampler

    def run() -> Tensor:
        conditional = method.conditional(batch, method.precision)
        theta = ThetaGradient(method.generator) if sampler.theta_gradient == "path" else None
        dropout = method._dropout(batch, CLOCK, whole=None)
        subsets = method._draw_words(batch, CLOCK, fixed_size=False, whole=None)
        start, noise = method._draw(batch, CLOCK.stream("chain"), 1)

        def log_conditional(z: Tensor, step: int) -> tuple[Tensor, Tensor]:
            subset = subsets[step] if subsets else None
            return conditional.evaluate(z, method._masks(dropout, step), theta, subset)

        dynamics = evaluated(sampler, method.root)
        return short_run(with_prior(log_conditional), start[0], noise[:, 0], dynamics).end

    if device.type == "cuda":
        return lambda: method.gradients(batch, CLOCK)
    return run
