"""log p(x) by importance sampling: eq. (15) with any proposal, and the `adaptive` estimator's own.

Pilots decide everything about the proposal and are thrown away; M fresh draws are weighed. Nothing is stopped
because of what the weighed draws show.
"""

from __future__ import annotations

import math
from typing import NamedTuple, Protocol

import torch
from torch import Tensor

from sritool.core.adaptation import adapt
from sritool.core.config import LikelihoodConfig
from sritool.core.langevin import log_prior
from sritool.core.pareto import pareto_k
from sritool.core.proposal import effective_sample_size
from sritool.core.random import Stream

_INDIFFERENT = 1e-4  # nats that a refinement may lose, more than float32 loses by rounding
_REFINEMENTS = 10  # preconditioned gradient steps from a chain's end towards its mode


class Target(Protocol):
    """What an estimator needs of p(x|·) for a batch of sentences; `Conditional` is one."""

    def log_likelihood(self, z: Tensor) -> Tensor:
        """[..., batch, latent] → [..., batch], nats."""

    def evaluate(self, z: Tensor) -> tuple[Tensor, Tensor]:
        """The same and its gradient in z."""

    def hessian(self, z: Tensor) -> Tensor:
        """∇²_z (−log p(x|z)): [batch, latent] → [batch, latent, latent]."""


class Proposal(Protocol):
    """A density over z for each sentence, to draw from and to evaluate."""

    def sample(self, stream: Stream, examples: Tensor, draws: int) -> Tensor:
        """[draws, batch, latent]."""

    def log_density(self, z: Tensor) -> Tensor:
        """[draws, batch, latent] → [draws, batch], nats."""


class Weighed(NamedTuple):
    """What the weighed draws say of each sentence; all [batch], nats where not a count."""

    log_likelihood: Tensor  # log p̂(x), eq. (15)
    log_likelihood_half: Tensor  # the same from the first M/2 draws: the rest of Jensen's bias shows here
    conditional: Tensor  # E_{p(z|x)} log p(x|z), by the normalised weights
    effective_sample_size: Tensor  # of M
    pareto_k: Tensor  # of the weights' tail: above 0.7 the largest draws decide


def weigh(log_conditional: Tensor, z: Tensor, log_density: Tensor) -> Weighed:
    """Importance-weight draws z [draws, batch, latent] of log p(x|z) and log q(z) [draws, batch]."""
    log_weights = log_conditional + log_prior(z) - log_density
    draws = log_weights.shape[0]
    half = max(1, draws // 2)
    normalised = torch.softmax(log_weights, 0)
    return Weighed(
        torch.logsumexp(log_weights, 0) - math.log(draws),
        torch.logsumexp(log_weights[:half], 0) - math.log(half),
        (normalised * log_conditional).sum(0),
        effective_sample_size(log_weights),
        pareto_k(log_weights),
    )


def estimate_likelihood(
    target: Target, proposal: Proposal, stream: Stream, examples: Tensor, draws: int
) -> Weighed:
    """log p(x) of each sentence from `draws` fresh draws of the proposal."""
    z = proposal.sample(stream, examples, draws)
    return weigh(target.log_likelihood(z), z, proposal.log_density(z))


def adaptive_likelihood(
    target: Target, starts: Tensor, seed: int, examples: Tensor, config: LikelihoodConfig
) -> Weighed:
    """The `adaptive` estimator.

    Args: starts [modes, batch, latent]: ends of different chains. With latent = 0 the answer is exact.
    """
    if starts.shape[-1] == 0:
        value = target.log_likelihood(starts[0])
        unknown = torch.full_like(value, math.nan)
        return Weighed(value, value, value, unknown, unknown)
    proposal = adapt(target, starts, seed, examples, config)
    return estimate_likelihood(target, proposal, Stream(seed, "weighed"), examples, config.samples)


def refine_modes(target: Target, starts: Tensor) -> tuple[Tensor, Tensor]:
    """Climb log p(x, z) from each start [modes, batch, latent]; returns the ends and log p(x, z) there.

    Gradient steps preconditioned by the clipped Hessian at the first start; a step that would lower log p(x, z)
    is not taken and the next is shorter.
    """
    identity = torch.eye(starts.shape[-1], dtype=starts.dtype, device=starts.device)
    eigenvalues, vectors = torch.linalg.eigh(target.hessian(starts[0]) + identity)
    inverse = (vectors / eigenvalues.clamp_min(1.0).unsqueeze(-2)) @ vectors.mT  # [batch, latent, latent]

    def value_and_gradient(z: Tensor) -> tuple[Tensor, Tensor]:
        value, gradient = target.evaluate(z)
        return value + log_prior(z), gradient - z

    z = starts
    value, gradient = value_and_gradient(z)
    length = torch.ones_like(value)
    for _ in range(_REFINEMENTS):
        direction = (inverse @ gradient.unsqueeze(-1)).squeeze(-1)
        proposed = z + length.unsqueeze(-1) * direction
        new_value, new_gradient = value_and_gradient(proposed)
        # Within rounding of the top it is chance which of two values is larger, and the step is as good as none.
        better = new_value > value - _INDIFFERENT
        z = torch.where(better.unsqueeze(-1), proposed, z)
        gradient = torch.where(better.unsqueeze(-1), new_gradient, gradient)
        value = torch.where(better, new_value, value)
        length = torch.where(better, (1.5 * length).clamp_max(1.0), length / 3)
    return z, value
