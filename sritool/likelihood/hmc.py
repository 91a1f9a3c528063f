"""Hamiltonian Monte Carlo on log p(z) + β log p(x|z), all chains of all sentences at once.

Source: Neal 2011, "MCMC using Hamiltonian dynamics".
"""

from __future__ import annotations

import math
from typing import NamedTuple

import torch
from torch import Tensor

from sritool.inference.langevin import log_prior
from sritool.inference.target import Target

WANTED_ACCEPTANCE = 0.8
_GAIN = 0.5  # change of the logarithm of a step size per excess acceptance
QUARTER_TURN = math.pi / 2  # trajectory length at which a Gaussian's chain is farthest from its start


class State(NamedTuple):
    """Where the chains are."""

    z: Tensor  # [chains, batch, latent]
    log_conditional: Tensor  # log p(x|z), nats  [chains, batch]
    gradient: Tensor  # of log p(x|z) in z  [chains, batch, latent]


class Metric(NamedTuple):
    """Eigenvectors V and eigenvalues h of a curvature H of −log p(x|z): the precision at β is I + β H.

    Steps are taken in coordinates u with z = V (1 + β h)^(−1/2) u, in which a Gaussian posterior is round.
    """

    vectors: Tensor  # [batch, latent, latent]
    curvatures: Tensor  # at least 0  [batch, latent]

    def root(self, beta: Tensor) -> Tensor:
        """V (1 + β h)^(−1/2): β [batch] → [batch, latent, latent]."""
        return self.vectors * (1 + beta.unsqueeze(-1) * self.curvatures).rsqrt().unsqueeze(-2)


def metric_of_covariance(covariance: Tensor) -> Metric:
    """Make a metric from the covariance of p(z|x) [batch, latent, latent]; wider than the prior counts as flat."""
    eigenvalues, vectors = torch.linalg.eigh(covariance)
    return Metric(vectors, (1 / eigenvalues - 1).clamp_min(0.0))


def begin(target: Target, z: Tensor) -> State:
    """The state at z [chains, batch, latent]."""
    return State(z, *target.evaluate(z))


def transition(
    target: Target,
    state: State,
    beta: Tensor,
    root: Tensor,
    step_size: Tensor,
    momentum: Tensor,
    uniform: Tensor,
    leapfrogs: int,
) -> tuple[State, Tensor]:
    """Run one Metropolis-corrected trajectory of `leapfrogs` steps, which leaves p(z) p(x|z)^β / Z invariant.

    Args:
        target: p(x|·) of the batch.
        state: Where the chains are.
        beta: β. Shape [batch].
        root: Map from the coordinates u of the steps to z = root u. Shape [batch, latent, latent].
        step_size: In u. Shape [batch].
        momentum: Standard normal, in u. Shape [chains, batch, latent].
        uniform: Decides whether the end is accepted. Shape [chains, batch].
        leapfrogs: Number of steps.

    Returns:
        The new state, and the acceptance probabilities [chains, batch].
    """
    step = step_size.unsqueeze(-1)
    z, log_conditional, gradient = state

    def force(point: Tensor, slope: Tensor) -> Tensor:
        return ((beta.unsqueeze(-1) * slope - point).unsqueeze(-2) @ root).squeeze(-2)

    before = _log_density(z, log_conditional, momentum, beta)
    for _ in range(leapfrogs):
        momentum = momentum + 0.5 * step * force(z, gradient)
        z = z + step * (root @ momentum.unsqueeze(-1)).squeeze(-1)
        log_conditional, gradient = target.evaluate(z)
        momentum = momentum + 0.5 * step * force(z, gradient)
    difference = _log_density(z, log_conditional, momentum, beta) - before
    # A trajectory that diverged ends in NaN or −∞, and is rejected.
    probability = torch.nan_to_num(difference, nan=-torch.inf).clamp_max(0).exp()
    accepted = uniform < probability
    chosen = State(
        torch.where(accepted.unsqueeze(-1), z, state.z),
        torch.where(accepted, log_conditional, state.log_conditional),
        torch.where(accepted.unsqueeze(-1), gradient, state.gradient),
    )
    return chosen, probability


def _log_density(z: Tensor, log_conditional: Tensor, momentum: Tensor, beta: Tensor) -> Tensor:
    return log_prior(z) + beta * log_conditional - 0.5 * momentum.square().sum(-1)


def tuned(step_size: Tensor, probability: Tensor, longest: float) -> Tensor:
    """Return a pilot run's next step size [batch], from the last acceptance probabilities [chains, batch]."""
    excess = probability.mean(0) - WANTED_ACCEPTANCE
    return (step_size * torch.exp(_GAIN * excess)).clamp_max(longest)
