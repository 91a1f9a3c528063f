"""Quality of a schedule of step sizes: bounds of the objective of eq. (12), and how far to trust them.

The best schedule maximises the mean over sentences of

    Q̃ = E_q[log p(x, z_K)] + H(q(z_K | x)) = log p(x) − KL(q(z_K | x) ‖ p(z | x)).

The entropy of the marginal q has no closed form. The lower side replaces it by the entropy of q given the noise path,
by change of variables. This is the paper's objective: it falls without bound as the chain converges, and so prefers
steps that are too small. The upper side takes the entropy of the Gaussian with the covariance of many chains, the
largest entropy with that covariance. Both are measured on the same chains, with the same starts and noise for every
schedule.

Source: Pang et al. 2021, eq. (12) and section 2.5.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor

from sritool.errors import NumericalError
from sritool.inference.chain_density import chain_density
from sritool.inference.langevin import (
    FARTHEST,
    Chain,
    Dynamics,
    Noise,
    log_joint_of,
    log_prior,
    reach,
    short_run,
    whitened,
)
from sritool.inference.target import Target

DENSITY_CHAINS = 2  # chains per sentence whose determinants and stability are measured
_ROWS_AT_ONCE = 256  # chains of all sentences in one evaluation


class Sides(NamedTuple):
    """Figures of a schedule's chains for each sentence; all [batch], nats or shares, NaN if they diverged."""

    recon: Tensor  # −E log p(x|z_K)
    log_prior: Tensor  # E log p(z_K)
    gaussian_entropy: Tensor  # from the covariance of z_K over chains: above H(q(z_K|x))
    entropy_given_noise: Tensor  # E H(q(z_K|x, ε)): below H(q(z_K|x)) where nothing folds
    folded: Tensor  # share of steps with an eigenvalue of I − s_k P ∇²U below 0
    unstable: Tensor  # share of steps whose noiseless part raises U
    acceptance: Tensor  # mean acceptance in a Metropolis test of each step; NaN at temperature 0

    @property
    def upper(self) -> Tensor:
        """An upper bound of Q̃."""
        return self.log_prior - self.recon + self.gaussian_entropy

    @property
    def lower(self) -> Tensor:
        """A lower bound of Q̃ where nothing folds: `elbo-given-noise`, the paper's objective."""
        return self.log_prior - self.recon + self.entropy_given_noise

    @property
    def kl(self) -> Tensor:
        """KL(q(z_K|x, ε) ‖ p(z)): recon + kl = −lower."""
        return -self.entropy_given_noise - self.log_prior


def geometric(first: float, last: float, steps: int) -> tuple[float, ...]:
    """Return s_0 = first to s_{steps−1} = last, by equal factors."""
    if steps == 1:
        return (first,)
    return tuple(first * (last / first) ** (k / (steps - 1)) for k in range(steps))


def measure_schedule(
    target: Target, noise: Noise, dynamics: Dynamics, density_chains: int = DENSITY_CHAINS
) -> Sides:
    """Run the chains under a schedule, which may be shorter than the noise, and measure both sides of its objective.

    `density_chains` of them are measured with K Hessians each.
    """
    chains, batch, _ = noise.start.shape
    runs, part = [], max(density_chains, _ROWS_AT_ONCE // batch)
    for begin in range(0, chains, part):
        here = slice(begin, begin + part)
        runs.append(_run(target, noise.start[here], noise.steps[: len(dynamics.step_sizes), here], dynamics))
    ends = torch.cat([run.chain.end for run in runs])
    likelihood = torch.cat([run.likelihood for run in runs])  # at z_K  [chains, batch]
    diverged = Sides(*ends.new_full((len(Sides._fields), batch), math.nan))
    if not (float(reach(ends)) <= FARTHEST and likelihood.isfinite().all()):  # refuses NaN too
        return diverged
    measured = runs[0].of_first(min(density_chains, chains))
    try:
        folded, entropy_given_noise = _jacobians(target, measured.chain)
    except NumericalError:  # diverged on the way
        return diverged
    return Sides(
        recon=-likelihood.mean(0),
        log_prior=log_prior(ends).mean(0),
        gaussian_entropy=gaussian_entropy(ends).to(ends.dtype),
        entropy_given_noise=entropy_given_noise,
        folded=folded,
        unstable=_unstable_share(target, measured),
        acceptance=torch.cat([_acceptance(run) for run in runs]).mean(0),
    )


def gaussian_entropy(draws: Tensor) -> Tensor:
    """Return the entropy of the Gaussian with the draws' covariance: [n, batch, latent] → nats [batch], float64.

    NaN unless n > latent, as the covariance is then singular. Unbiased if the draws are Gaussian:
    Σ_i ψ((n − i)/2) + d log(2 / (n − 1)), i = 1 … d, the bias of the log-determinant of a sample covariance
    (Wishart), is subtracted.
    """
    count, batch, latent = draws.shape
    if count <= latent:
        return draws.new_full((batch,), math.nan, dtype=torch.float64)
    centred = (draws - draws.mean(0)).double().transpose(0, 1)  # [batch, n, latent]
    covariance = centred.mT @ centred / (count - 1)
    halves = (count - torch.arange(1, latent + 1, dtype=torch.float64, device=draws.device)) / 2
    bias = torch.digamma(halves).sum() + latent * math.log(2 / (count - 1))
    _, log_determinant = torch.linalg.slogdet(covariance)
    entropy: Tensor = 0.5 * (latent * math.log(2 * math.pi * math.e) + log_determinant - bias)
    return entropy


class _Run(NamedTuple):
    """Chains with the gradients along the way, including that at z_K."""

    chain: Chain
    gradients: Tensor  # of log p(x, z_k)  [steps + 1, chains, batch, latent]
    log_joint: Tensor  # [steps + 1, chains, batch]
    likelihood: Tensor  # log p(x|z_K)  [chains, batch]

    def of_first(self, count: int) -> _Run:
        """The same for the first chains."""
        chain = self.chain
        assert chain.path is not None
        kept = chain._replace(
            start=chain.start[:count],
            noise=chain.noise[:, :count],
            end=chain.end[:count],
            path=chain.path[:, :count],
            log_joint=None,
        )
        return _Run(kept, self.gradients[:, :count], self.log_joint[:, :count], self.likelihood[:count])


def _run(target: Target, start: Tensor, noise: Tensor, dynamics: Dynamics) -> _Run:
    log_joint = log_joint_of(target)
    gradients, values = [], []

    def recorded(z: Tensor, step: int) -> tuple[Tensor, Tensor]:
        value, gradient = log_joint(z, step)
        values.append(value)
        gradients.append(gradient)
        return value, gradient

    chain = short_run(recorded, start, noise, dynamics, keep_path=True)
    joint, _ = recorded(chain.end, len(noise))
    likelihood = joint - log_prior(chain.end)
    return _Run(chain, torch.stack(gradients), torch.stack(values), likelihood)


def _jacobians(target: Target, chain: Chain) -> tuple[Tensor, Tensor]:
    """Folded share and E H(q(z_K|x, ε)) of each sentence, averaged over the chains: [batch] each.

    −log q(z_K|x, ε) = −log p(z_0) + Σ log |det|, and the mean of the first term is known: d/2 log(2πe).
    """
    density = chain_density(target, chain)
    stretched = log_prior(chain.start) - density.log_density  # Σ log |det|  [chains, batch]
    known = 0.5 * chain.start.shape[-1] * math.log(2 * math.pi * math.e)
    return density.folded.mean(0), known + stretched.mean(0)


def _of_steps(values: Sequence[float], chain: Chain) -> Tensor:
    """One number per step, shaped to broadcast with [steps, chains, batch]."""
    return torch.tensor(values, dtype=chain.start.dtype, device=chain.start.device)[:, None, None]


def _unstable_share(target: Target, run: _Run) -> Tensor:
    """Share of the steps that raise U, leaving their noise out: [batch]."""
    assert run.chain.path is not None
    dynamics = run.chain.dynamics
    drift = dynamics.drift(run.gradients[:-1])
    moved = run.chain.path[:-1] + _of_steps(dynamics.step_sizes, run.chain)[..., None] * drift
    after = target.log_likelihood(moved) + log_prior(moved)
    return (after < run.log_joint[:-1]).to(after.dtype).mean((0, 1))


def _acceptance(run: _Run) -> Tensor:
    """Mean over steps of the acceptance that a Metropolis test (MALA) would have: [chains, batch].

    At temperature τ a step is a proposal for the density p(x, z)^(1/τ²).
    """
    chain, dynamics = run.chain, run.chain.dynamics
    assert chain.path is not None
    if dynamics.temperature == 0:
        return torch.full_like(run.likelihood, math.nan)
    sizes, scales = (_of_steps(each, chain) for each in (dynamics.step_sizes, dynamics.noise_scales))
    drift = sizes[..., None] * dynamics.drift(run.gradients[1:])
    back = whitened(chain.path[:-1] - chain.path[1:] - drift, dynamics.root)
    log_ratio = (
        (run.log_joint[1:] - run.log_joint[:-1]) / dynamics.temperature**2
        - back.square().sum(-1) / (2 * scales.square())
        + 0.5 * chain.noise.square().sum(-1)
    )
    return log_ratio.clamp_max(0).exp().mean(0)
