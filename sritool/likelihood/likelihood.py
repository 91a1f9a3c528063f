"""log p(x) by importance sampling: eq. (15) with any proposal, and the `adaptive` estimator's own.

Pilots decide everything about the proposal and are thrown away; M fresh draws are weighed. Nothing is stopped
because of what the weighed draws show.
"""

from __future__ import annotations

import math
from typing import NamedTuple, Protocol

import torch
from torch import Tensor

from sritool.config.settings import LikelihoodConfig
from sritool.inference.langevin import log_prior
from sritool.inference.target import Target
from sritool.likelihood.adaptation import adapt
from sritool.likelihood.pareto import pareto_k
from sritool.likelihood.proposal import effective_sample_size
from sritool.model.random import Stream


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
