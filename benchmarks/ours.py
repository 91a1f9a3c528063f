"""sritool's own chain and training step on a random batch, called as the trainer calls them.

What the benchmarks use of sritool's core stands here alone, so that a change there is followed in one place.
"""

from __future__ import annotations

from dataclasses import replace

import torch
from torch import Tensor

from benchmarks.shapes import Shape, random_batch
from sritool.core.config import RunConfig
from sritool.core.dropout import Dropout
from sritool.core.langevin import log_prior, short_run
from sritool.core.presets import layered
from sritool.core.structure import build, merge
from sritool.core.theta_gradient import ThetaGradient
from sritool.corpus.batches import Batch
from sritool.methods.base import Clock, Method
from sritool.methods.registry import build_method

CLOCK = Clock(seed=0, epoch=0, step=1, progress=0.0)


def run_config(
    shape: Shape, method: str = "sri", sampler: str = "authors", steps: int = 20, precision: str = "float32"
) -> RunConfig:
    """Settings of the shape's preset with the shape's own sizes."""
    latent = 0 if method == "lm" else shape.latent
    sizes = {"embedding": shape.embedding, "hidden": shape.hidden, "latent": latent, "dropout": shape.dropout}
    values = layered(shape.preset, sampler if method == "sri" else None, method)
    values = merge(
        values, {"generator": sizes, "training": {"batch_size": shape.batch, "precision": precision}}
    )
    if method == "sri":
        values = merge(values, {"sampler": {"steps": steps}})
    return build(RunConfig, values)


def method_of(config: RunConfig, shape: Shape, device: torch.device) -> Method:
    """A method with random weights, as the trainer sets it up."""
    method = build_method(config, shape.vocabulary)
    method.precision = config.training.precision
    method.initialise()
    method.modules.to(device)
    return method


def optimizer_of(method: Method, device: torch.device) -> torch.optim.Optimizer:
    """As the trainer makes it for `adam`."""
    parameters = [p for p in method.modules.parameters() if p.numel()]
    rate = method.config.optimizer.learning_rate
    return torch.optim.Adam(parameters, lr=rate, fused=device.type in ("cpu", "cuda"))


class OurChain:
    """Chains of one batch, with whatever a new batch or new θ makes necessary counted in."""

    def __init__(self, shape: Shape, precision: str, device: torch.device, sampler: str = "authors") -> None:
        self.shape, self.device = shape, device
        self._trained: dict[tuple[int, bool], Method] = {}
        self.config = run_config(shape, sampler=sampler, precision=precision)
        self.method = method_of(self.config, shape, device)
        self.batch: Batch = random_batch(shape).to(device)

    def run(self, steps: int, path: bool = False) -> object:
        """z after so many steps of the training chain; with `path` θ's gradient at every visited z too.

        On CUDA θ's gradient at the end is in it, since training captures both in one graph.
        """
        if self.device.type == "cuda":
            return self.with_theta(steps, path)
        method, batch, sampler = self.method, self.batch, self.config.sampler
        conditional = method.conditional(batch, method.precision)
        theta = ThetaGradient(method.generator) if path else None
        dropout = None
        if sampler.chain_dropout:
            stream = CLOCK.stream("dropout")
            dropout = Dropout.draw(self.config.generator, batch, stream, range(steps)).masks
        latent = method.latent
        draws = CLOCK.stream("chain").normal(batch.examples, (steps + 1) * latent)
        draws = draws.view(len(batch.examples), steps + 1, latent)

        def log_joint(z: Tensor, step: int) -> tuple[Tensor, Tensor]:
            value, gradient = conditional.evaluate(z, dropout and dropout(step), theta)
            return value + log_prior(z), gradient - z

        known = sampler.step_sizes
        sizes = [known[min(k, len(known) - 1)] for k in range(steps)]
        noise = draws[:, 1:].transpose(0, 1)
        end = short_run(log_joint, draws[:, 0], sizes, noise, sampler.evaluation_temperature).end
        if theta is not None:
            theta.gradients()  # what it has put off to the end belongs to the steps
        return end

    def with_theta(self, steps: int, path: bool) -> Method:
        """The chain and θ's gradient as training computes them, by the method itself."""
        key = (steps, path)
        if key not in self._trained:
            where = "path" if path else "end"
            sampler = replace(self.config.sampler, steps=steps, theta_gradient=where)
            self._trained[key] = method_of(replace(self.config, sampler=sampler), self.shape, self.device)
        self._trained[key].gradients(self.batch, CLOCK)
        return self._trained[key]
