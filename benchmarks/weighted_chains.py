"""Trains `sri` with several weighted chains per sentence, to see what that gains over one chain in the same time.

Runs L chains per sentence. The weight of a chain is the target over its forward-backward ratio,

    w = p(x, z_K) ∏_k b(z_k | z_{k+1}) / (p(z_0) ∏_k f(z_{k+1} | z_k)),

with f a Langevin step at the chain's own temperature and b the same step backwards. The gradient for θ is taken at
one end, drawn in proportion to w: its expectation is the weighted gradient of all ends, at the cost of one. The
effective sample size of the L weights is logged with the usual figures.

Usage: python -m benchmarks.weighted_chains L -- train captions …    # the words after -- are those of sritool

Source: Thin et al. 2021, "Monte Carlo variational auto-encoders".
"""

from __future__ import annotations

import sys
from typing import ClassVar

import torch
from torch import Tensor

from sritool.cli.app import main as sritool
from sritool.data.batches import Batch
from sritool.inference.langevin import (
    Chain,
    Dynamics,
    log_prior,
    noiseless_moves,
    reach,
    require_settled,
    short_run,
    whitened,
    with_prior,
)
from sritool.likelihood.proposal import effective_sample_size
from sritool.methods.base import Clock
from sritool.methods.registry import METHODS
from sritool.methods.sri import ShortRunInference, _Pass
from sritool.model.theta_gradient import ThetaGradient


class WeightedChains(ShortRunInference):
    """`sri` with `chains` chains per sentence."""

    chains: ClassVar[int] = 1

    def gradients(self, batch: Batch, clock: Clock, whole: Batch | None = None) -> dict[str, float]:
        """Run all chains, draw one end for each sentence, and take the gradient there."""
        start, noise = self._draw(batch, clock.stream("chain"), self.chains)
        tau = self.sampler.temperature.at(clock.progress)
        weight = self.sampler.prior_weight.at(clock.progress)
        conditional = self.conditional(batch, self.precision)
        dynamics = Dynamics(self.sampler.schedule(), tau, self.root)
        dropout, subsets = self._dropout(batch, clock, whole), self._draw_words(batch, clock, False, whole)

        def log_conditional(z: Tensor, step: int) -> tuple[Tensor, Tensor]:
            subset = subsets[step] if subsets else None
            return conditional.evaluate(z, self._masks(dropout, step), None, subset)

        log_joint, ends, log_weights = with_prior(log_conditional, weight), [], []
        for chain in range(self.chains):
            run = short_run(log_joint, start[chain], noise[:, chain], dynamics, keep_path=True)
            value, gradient = conditional.evaluate(run.end)
            ends.append(run.end)
            log_weights.append(value + log_prior(run.end) + _backwards(run, gradient - weight * run.end))
        log_w = torch.stack(log_weights)  # [chains, batch]
        share = torch.softmax(log_w.double(), 0).cumsum(0)
        uniform = clock.stream("choice").uniform(batch.examples, 1).squeeze(1)
        chosen = (uniform > share).sum(0).clamp_max(self.chains - 1)
        end = torch.stack(ends)[chosen, torch.arange(conditional.size)]

        theta = ThetaGradient(self.generator, self._workspace)
        theta.weight = 1.0 / (whole or batch).size
        last = conditional.evaluate(end, self._masks(dropout, self.sampler.steps), theta)
        mass = theta.word_mass.clone() if subsets else None
        kept = Chain(start[0], noise[:, 0], end, dynamics)
        products = last.gradient.t() @ last.gradient
        done = _Pass(kept, -last.log_likelihood, theta.sums, products, mass)
        self._last = done, (whole or batch).size
        self.assign({"generator": theta.sums})
        require_settled(float(reach(end)), dynamics)
        size = float(effective_sample_size(log_w).sum())
        return {"recon": float(done.recon.sum()), "effective_sample_size": size}


def _backwards(chain: Chain, gradient_at_end: Tensor) -> Tensor:
    """Return log ∏ b / ∏ f − log p(z_0): [batch]."""
    assert chain.path is not None
    dynamics = chain.dynamics
    sizes = torch.tensor(dynamics.step_sizes)[:, None, None]
    drift = (noiseless_moves(chain) - chain.path[:-1]) / sizes  # P ∇log p at z_0 … z_{K−1}
    after = torch.cat([drift[1:], dynamics.drift(gradient_at_end).unsqueeze(0)])
    scale = torch.tensor(dynamics.noise_scales)[:, None, None]
    back = whitened(chain.path[:-1] - chain.path[1:] - sizes * after, dynamics.root) / scale
    ratio = 0.5 * (chain.noise.square() - back.square()).sum((0, -1))
    return ratio - log_prior(chain.start)


if __name__ == "__main__":
    WeightedChains.chains = int(sys.argv[1])
    METHODS["sri"] = WeightedChains
    sys.argv = ["sritool", *sys.argv[3:]]
    sritool()
