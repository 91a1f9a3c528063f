"""Importance weights of draws from any proposal, and what they say of each sentence.

An estimator is a way to make `WeightedDraws`; everything that is printed of it is reduced from them here, so that
`adaptive`, `sri`, `ais` and `encoder` are told apart by their draws alone.
"""

from __future__ import annotations

import math
from typing import NamedTuple, Protocol

import torch
from torch import Tensor

from sritool.inference.langevin import log_prior
from sritool.likelihood.pareto import pareto_k
from sritool.likelihood.proposal import effective_sample_size
from sritool.model.random import Stream

CURVE = {"_eighth": 8, "_quarter": 4, "_half": 2, "": 1}
"""Ending of a column -> c of the first M/c draws that it is from: how far a figure still moves with M."""


class Scored(Protocol):
    """log p(x|z) of a batch of sentences: [..., batch, latent] → [..., batch], nats."""

    def log_likelihood(self, z: Tensor) -> Tensor:
        """log p(x|z)."""


class Drawable(Protocol):
    """A density over z for each sentence."""

    def sample(self, stream: Stream, examples: Tensor, draws: int) -> Tensor:
        """[draws, batch, latent]."""

    def log_density(self, z: Tensor) -> Tensor:
        """[draws, batch, latent] → [draws, batch], nats."""


class WeightedDraws(NamedTuple):
    """Draws z of each sentence with weights w whose mean estimates p(x)."""

    z: Tensor  # [draws, batch, latent]
    log_conditional: Tensor  # log p(x|z), nats  [draws, batch]
    log_weights: Tensor  # log |w|, nats  [draws, batch]
    sign: Tensor | None = None  # of w, ±1 [draws, batch]; None: none is negative
    folded: Tensor | None = None  # share of a chain's steps that fold  [draws, batch]


def first_draws(draws: int, part: int) -> int:
    """How many the first M/part of M draws are; at least 1."""
    return max(1, draws // part)


def draw(target: Scored, proposal: Drawable, stream: Stream, examples: Tensor, draws: int) -> WeightedDraws:
    """Fresh draws of a proposal, w = p(x|z) p(z) / q(z)."""
    z = proposal.sample(stream, examples, draws)
    conditional = target.log_likelihood(z)
    return WeightedDraws(z, conditional, conditional + log_prior(z) - proposal.log_density(z))


def exact(target: Scored, nothing: Tensor) -> WeightedDraws:
    """A model without z [batch, 0]: one draw, whose weight is p(x) itself."""
    z = nothing.unsqueeze(0)
    value = target.log_likelihood(z)
    return WeightedDraws(z, value, value)


def log_mean_weight(log_weights: Tensor, sign: Tensor | None = None) -> Tensor:
    """log of the mean of w over draws: [draws, batch] → [batch]; −∞ where signed weights sum to 0 or less."""
    count = math.log(log_weights.shape[0])
    if sign is None:
        return torch.logsumexp(log_weights, 0) - count
    largest = log_weights.max(0).values
    total = (sign * (log_weights - largest).exp()).sum(0)
    return total.clamp_min(0.0).log() + largest - count


def columns(drawn: WeightedDraws) -> dict[str, Tensor]:
    """Figures of each sentence, [batch] each: log p̂(x) from ever more draws, the rate, and how good the weights are.

    Weights with signs are used without them, as published, and the signed figure stands beside: it is unbiased
    where a chain folds, but its weights can cancel. sign_ratio is Σ w over Σ |w|.
    """
    log_weights, found = drawn.log_weights, {}
    for ending, part in CURVE.items():
        first = log_weights[: first_draws(len(log_weights), part)]
        value = log_mean_weight(first)
        found["log_likelihood" + ending] = value
        conditional = (torch.softmax(first, 0) * drawn.log_conditional[: len(first)]).sum(0)
        found["posterior_kl" + ending] = conditional - value
    if drawn.z.shape[-1]:
        found["effective_sample_size"] = effective_sample_size(log_weights)
        found["pareto_k"] = pareto_k(log_weights)
    share = torch.softmax(log_weights, 0)
    if drawn.sign is not None:
        found["log_likelihood_signed"] = log_mean_weight(log_weights, drawn.sign)
        found["sign_ratio"] = (share * drawn.sign).sum(0)
    if drawn.folded is not None:
        found["folded_share"] = drawn.folded.mean(0)
    return found


def resample(drawn: WeightedDraws, seed: int, examples: Tensor) -> tuple[Tensor, Tensor]:
    """One of the draws of each sentence, by its weight: nearly a draw of p(z|x) where the weights are even.

    Returns: z [batch, latent] and log p(x|z) [batch].
    """
    bounds = torch.softmax(drawn.log_weights.double(), 0).cumsum(0)
    uniform = Stream(seed, "resample").uniform(examples, 1).squeeze(1)
    chosen = (uniform * bounds[-1] > bounds).sum(0).clamp_max(len(bounds) - 1)
    which = torch.arange(len(examples), device=chosen.device)
    return drawn.z[chosen, which], drawn.log_conditional[chosen, which]
