"""The rate-distortion curve of a model for each sentence, from one annealing run.

Of all q(z|x) with a rate KL(q ‖ p(z)) of at most R, q_β(z|x) ∝ p(z) p(x|z)^β has the least distortion, which is
E_q −log p(x|z), for the β at which its rate is R. Annealing passes through them all: first β = 0, the prior; β = 1 is
the model's posterior. With the chains z_c that have come to β, their weights w_c, and w̃_c = w_c / Σ w:

    D̂(β) = −Σ_c w̃_c log p(x|z_c)        R̂(β) = −β D̂(β) − log mean_c w_c

Choosing one of the chains by w̃ is a q of its own. E D̂ is its distortion. E R̂ is at least its rate: it is the KL of
all that was drawn on the way, to the other chains and the same path run backwards from a draw of the prior. So the
point (E R̂, E D̂) never lies below the model's curve, and comes down to it with more rungs and chains.

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
"""Points of a curve beside the prior's."""


class Curve(NamedTuple):
    """Points of each sentence's curve; the first is that of the prior, whose rate is 0."""

    rate: Tensor  # R̂(β), nats  [points + 1, batch]
    distortion: Tensor  # D̂(β), nats  [points + 1, batch]
    effective_sample_size: Tensor  # of the chains' weights  [points + 1, batch]


class Power(NamedTuple):
    """p(x|z)^power in place of p(x|z), so that a run to 1 goes through β up to `power`."""

    target: Target
    power: float

    def log_likelihood(self, z: Tensor) -> Tensor:
        """As `Target` has it."""
        return self.power * self.target.log_likelihood(z)

    def evaluate(self, z: Tensor) -> tuple[Tensor, Tensor]:
        """As `Target` has it."""
        value, gradient = self.target.evaluate(z)
        return self.power * value, self.power * gradient

    def hessian(self, z: Tensor) -> Tensor:
        """As `Target` has it."""
        return self.power * self.target.hessian(z)


def curve_betas(largest: float = 1.0) -> Tensor:
    """β of a curve's points, from 0 to `largest`, closer near 0 where the rate rises fastest: [points + 1], float64.

    1 is among them, as the last or in place of the nearest.
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
    """Anneal from the prior to β = `largest`, and read rate and distortion off at `curve_betas` on the way.

    The rungs are beside the points of the curve; arguments are else as for `ladder` and `anneal`.
    """
    target = Power(target, largest)
    betas = curve_betas(largest).to(examples.device)
    wanted = betas / largest
    steps = ladder(target, examples, latent, dtype, rungs, seed, through=wanted[1:-1])
    found = torch.full((3, len(betas), len(examples)), math.nan, dtype=torch.float64, device=examples.device)
    for at, passed in zip(steps.betas, annealing(target, steps, examples, chains, seed), strict=True):
        here = at == wanted.unsqueeze(1)  # [points + 1, batch]; sentences come to a β at rungs of their own
        if not bool(here.any()):
            continue
        weights = torch.softmax(passed.log_weights, 0)
        distortion = -(weights * passed.state.log_conditional.double()).sum(0) / largest
        log_mean = torch.logsumexp(passed.log_weights, 0) - math.log(chains)
        rate = -at * largest * distortion - log_mean
        values = torch.stack((rate, distortion, effective_sample_size(passed.log_weights)))
        found = torch.where(here, values.unsqueeze(1), found)
    return Curve(*found)
