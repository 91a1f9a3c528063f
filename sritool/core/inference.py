"""What is done to an encoder's q(z|x) before it is measured."""

from __future__ import annotations

from dataclasses import replace
from typing import NamedTuple

import torch
from torch import Tensor

from sritool.core.conditional import Conditional
from sritool.core.config import RefinementConfig
from sritool.core.gaussian import DiagonalGaussian
from sritool.core.langevin import log_prior, settled, short_run
from sritool.core.random import Stream
from sritool.core.refinement import refine
from sritool.core.second_order import SecondOrder

KINDS = ("svi", "langevin")
LANGEVIN_STEP = 0.01  # of a chain unless a rate is given


class Refinement(NamedTuple):
    """Steps from an encoder's q(z|x) towards the posterior.

    `svi` climbs a sentence's own ELBO in mean and log-variance; `langevin` runs a chain from the mean for each draw,
    whose end has no density.
    """

    steps: int
    kind: str = "svi"
    rate: float | None = (
        None  # of svi, or the chain's step size; None: as the method is trained, or `LANGEVIN_STEP`
    )

    @property
    def has_chains(self) -> bool:
        """Whether draws are the ends of chains."""
        return self.kind == "langevin" and self.steps > 0

    @property
    def name(self) -> str:
        """What such a q is called in a table."""
        return f"encoder + {self.steps} {self.kind} steps" if self.steps else "encoder"


def step_noise(
    stream: Stream, examples: Tensor, steps: int, latent: int, dtype: torch.dtype, chain: int = 0
) -> Tensor:
    """ε of every step [steps, batch, latent]; those of a sentence depend on it alone."""
    flat = stream.normal(examples, steps * latent, chain, dtype)
    return flat.view(len(examples), steps, latent).transpose(0, 1)


def climb(
    conditional: Conditional,
    start: DiagonalGaussian,
    refinement: Refinement,
    settings: RefinementConfig,
    seed: int,
    is_point: bool = False,
) -> DiagonalGaussian:
    """q after `svi`, with KL weight 1; of a point the mean alone climbs log p(x|z), without noise.

    Args: settings: for momentum and clipping, and the rate where the refinement names none.
    """
    batch, latent = start.mean.shape
    if is_point:
        noise = start.mean.new_zeros(refinement.steps, batch, latent)
    else:
        stream, examples = Stream(seed, "evaluation refinement"), conditional.batch.examples
        noise = step_noise(stream, examples, refinement.steps, latent, start.mean.dtype)
    used = settings if refinement.rate is None else replace(settings, rate=refinement.rate)
    return refine(SecondOrder(conditional), start, noise, used, 0.0 if is_point else 1.0).q


def langevin_ends(
    conditional: Conditional, start: Tensor, refinement: Refinement, seed: int, chains: int
) -> Tensor:
    """Ends of independent chains at temperature 1 from start [batch, latent]: [chains, batch, latent].

    Raises: NumericalError if they explode.
    """
    stream, examples = Stream(seed, "evaluation refinement"), conditional.batch.examples
    size, steps = refinement.rate or LANGEVIN_STEP, refinement.steps
    drawn = [
        step_noise(stream, examples, steps, start.shape[-1], start.dtype, chain) for chain in range(chains)
    ]

    def log_joint(z: Tensor, step: int) -> tuple[Tensor, Tensor]:
        value, gradient = conditional.evaluate(z)
        return value + log_prior(z), gradient - z

    begin = start.expand(chains, *start.shape)
    return settled(short_run(log_joint, begin, [size] * steps, torch.stack(drawn, 1))).end
