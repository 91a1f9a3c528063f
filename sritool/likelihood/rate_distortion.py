"""The rate-distortion curve of a model for each sentence, from one annealing run.

Among all q(z|x) with a rate KL(q ‖ p(z)) of at most R, the least distortion E_q −log p(x|z) is that of
q_β(z|x) ∝ p(z) p(x|z)^β, for the β at which its rate is R. Annealing passes through all of them: β = 0 is the prior,
β = 1 the model's posterior. With the chains z_c at β, their weights w_c, and w̃_c = w_c / Σ w:

    D̂(β) = −Σ_c w̃_c log p(x|z_c)        R̂(β) = −β D̂(β) − log mean_c w_c

Choosing one of the chains by w̃ defines a q. E D̂ is its distortion. E R̂ is at least its rate: it is the KL of
everything drawn on the way, relative to the other chains and the same path run backwards from a draw from the prior.
So the point (E R̂, E D̂) never lies below the model's curve, and approaches it with more rungs and chains.

Source: Huang, Makhzani, Cao and Grosse 2020, "Evaluating lossy compression rates of deep generative models".
"""

from __future__ import annotations

import math
from typing import NamedTuple

import torch
from torch import Tensor

from sritool.inference.target import Target
from sritool.likelihood.ais import annealing, ladder
from sritool.likelihood.proposal import effective_sample_size

POINTS = 20
"""Points of a curve, not counting the prior's."""


class Curve(NamedTuple):
    """Points of each sentence's curve; the first is that of the prior, whose rate is 0."""

    rate: Tensor  # R̂(β), nats  [points + 1, batch]
    distortion: Tensor  # D̂(β), nats  [points + 1, batch]
    effective_sample_size: Tensor  # of the chains' weights  [points + 1, batch]


class Power(NamedTuple):
    """p(x|z)^power in place of p(x|z), so that a run to 1 passes through β up to `power`."""

    target: Target
    power: float

    def log_likelihood(self, z: Tensor) -> Tensor:
        """See `Target`."""
        return self.power * self.target.log_likelihood(z)

    def evaluate(self, z: Tensor) -> tuple[Tensor, Tensor]:
        """See `Target`."""
        value, gradient = self.target.evaluate(z)
        return self.power * value, self.power * gradient

    def hessian(self, z: Tensor) -> Tensor:
        """See `Target`."""
        return self.power * self.target.hessian(z)


def curve_betas(largest: float = 1.0) -> Tensor:
    """β of a curve's points, from 0 to `largest`, denser near 0 where the rate rises fastest: [points + 1], float64.

    If `largest` is above 1, the point nearest to 1 is moved to 1.
    """
    betas = largest * torch.linspace(0, 1, POINTS + 1, dtype=torch.float64).square()
    if largest > 1:
        betas[1 + (betas[1:-1] - 1).abs().argmin()] = 1.0
    return betas


def rate_distortion(
    target: Target,
    examples: Tensor,
    latent: int,
    dtype: torch.dtype,
    rungs: int,
    chains: int,
    seed: int = 0,
    largest: float = 1.0,
) -> Curve:
    """Anneal from the prior to β = `largest`, and read off rate and distortion at `curve_betas` on the way.

    `rungs` does not count the curve's points; the other arguments are as for `ladder` and `anneal`.
    """
    target = Power(target, largest)
    betas = curve_betas(largest).to(examples.device)
    wanted = betas / largest
    steps = ladder(target, examples, latent, dtype, rungs, seed, through=wanted[1:-1])
    found = torch.full((3, len(betas), len(examples)), math.nan, dtype=torch.float64, device=examples.device)
    for at, passed in zip(steps.betas, annealing(target, steps, examples, chains, seed), strict=True):
        here = at == wanted.unsqueeze(1)  # [points + 1, batch]; each sentence reaches a β at its own rung
        if not bool(here.any()):
            continue
        weights = torch.softmax(passed.log_weights, 0)
        distortion = -(weights * passed.state.log_conditional.double()).sum(0) / largest
        log_mean = torch.logsumexp(passed.log_weights, 0) - math.log(chains)
        rate = -at * largest * distortion - log_mean
        values = torch.stack((rate, distortion, effective_sample_size(passed.log_weights)))
        found = torch.where(here, values.unsqueeze(1), found)
    return Curve(*found)
