"""Refinement of an encoder's q(z|x): steps towards the posterior before q is measured or trained through."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import NamedTuple

import torch
from torch import Tensor

from sritool.config.settings import RefinementConfig
from sritool.inference.langevin import Dynamics, log_joint_of, settled, short_run
from sritool.inference.step_size import geometric
from sritool.inference.svi import refine
from sritool.model.conditional import Conditional
from sritool.model.gaussian import DiagonalGaussian
from sritool.model.random import Stream

KINDS = ("svi", "langevin", "preconditioned")
LANGEVIN_STEP = 0.01  # of a plain chain unless a rate is given
# First and last of a preconditioned chain; equal factors lead from one to the other.
PRECONDITIONED_STEPS = (0.9, 0.12)


class Refinement(NamedTuple):
    """Steps from an encoder's q(z|x) towards the posterior.

    `svi` climbs a sentence's own ELBO in mean and log-variance. `langevin` runs a chain from the mean for each draw;
    its end has no density. `preconditioned` scales the steps of such a chain by the variances of q(z|x).
    """

    steps: int
    kind: str = "svi"
    # Learning rate of svi, or a chain's step size; None: the rate of training, or the constants above.
    rate: float | None = None

    @property
    def has_chains(self) -> bool:
        """Whether draws are the ends of chains."""
        return self.kind != "svi" and self.steps > 0

    @property
    def step_sizes(self) -> Sequence[float]:
        """Step sizes s_k of the chain."""
        if self.rate is None and self.kind == "preconditioned":
            return geometric(*PRECONDITIONED_STEPS, self.steps)
        return [self.rate or LANGEVIN_STEP] * self.steps

    @property
    def name(self) -> str:
        """Name of such a q in a table."""
        return f"encoder + {self.steps} {self.kind} steps" if self.steps else "encoder"


def climb(
    conditional: Conditional,
    start: DiagonalGaussian,
    refinement: Refinement,
    settings: RefinementConfig,
    seed: int,
    is_point: bool = False,
) -> DiagonalGaussian:
    """Return the encoder's q after `svi` with KL weight 1; of a point, only the mean climbs, without noise.

    `settings` give momentum and clipping, and the rate if the refinement has none.
    """
    batch, latent = start.mean.shape
    if is_point:
        noise = start.mean.new_zeros(refinement.steps, batch, latent)
    else:
        stream, examples = Stream(seed, "evaluation refinement"), conditional.batch.examples
        noise = stream.codes(examples, refinement.steps, latent, start.mean.dtype)
    used = settings if refinement.rate is None else replace(settings, rate=refinement.rate)
    return refine(conditional.evaluate, start, noise, used, 0.0 if is_point else 1.0).q


def langevin_ends(
    conditional: Conditional,
    start: DiagonalGaussian,
    refinement: Refinement,
    seed: int,
    chains: int,
    temperature: float = 1.0,
) -> Tensor:
    """Return the ends [chains, batch, latent] of independent chains from the mean of q.

    A preconditioned chain runs as a plain one in u = z / σ.

    Raises:
        NumericalError: The chains explode.
    """
    stream, examples = Stream(seed, "evaluation refinement"), conditional.batch.examples
    mean, steps = start.mean, refinement.steps
    latent, dtype = mean.shape[-1], mean.dtype
    drawn = [stream.codes(examples, steps, latent, dtype, chain) for chain in range(chains)]
    is_scaled = refinement.kind == "preconditioned"
    scale = (0.5 * start.log_variance).exp() if is_scaled else torch.ones_like(mean)
    log_joint = log_joint_of(conditional)

    def scaled(u: Tensor, step: int) -> tuple[Tensor, Tensor]:
        value, gradient = log_joint(scale * u, step)
        return value, scale * gradient

    begin = (mean / scale).expand(chains, *mean.shape)
    chain = short_run(scaled, begin, torch.stack(drawn, 1), Dynamics(refinement.step_sizes, temperature))
    return scale * settled(chain).end
