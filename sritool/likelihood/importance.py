"""Importance weights of draws from any proposal, and the figures of each sentence computed from them.

An estimator of log p(x) is a way to make `WeightedDraws`. Every printed figure is computed from these here, so
`adaptive`, `sri`, `ais` and `encoder` differ only in their draws.
"""

from __future__ import annotations

import math
from typing import NamedTuple, Protocol

import torch
from torch import Tensor

from sritool.inference.langevin import log_prior
from sritool.inference.target import Target
from sritool.likelihood.pareto import pareto_k
from sritool.likelihood.proposal import effective_sample_size
from sritool.model.random import Stream

CURVE = (8, 4, 2, 1)
"""Figures are computed from the first M/8, M/4, M/2 and all M draws, to show how far they still move with M."""


class Proposal(Protocol):
    """A density over z for each sentence, to draw from and to evaluate."""

    def sample(self, stream: Stream, examples: Tensor, draws: int) -> Tensor:
        """Draw z: [draws, batch, latent]."""

    def log_density(self, z: Tensor) -> Tensor:
        """log q(z) in nats: [draws, batch, latent] → [draws, batch]."""


class WeightedDraws(NamedTuple):
    """Draws z of each sentence with weights w whose mean estimates p(x)."""

    z: Tensor  # [draws, batch, latent]
    log_conditional: Tensor  # log p(x|z), nats  [draws, batch]
    log_weights: Tensor  # log |w|, nats  [draws, batch]
    sign: Tensor | None = None  # of w, ±1 [draws, batch]; None: no weight is negative
    folded: Tensor | None = None  # share of a chain's steps that fold  [draws, batch]


class LikelihoodFigures(NamedTuple):
    """Figures of each sentence from weighted draws; in nats unless said otherwise, NaN where one does not apply.

    The curves have a column per part of `CURVE`: figures from the first M/8, M/4, M/2 and all M draws.
    """

    log_likelihood_curve: Tensor  # log p̂(x), the log of the mean |w|  [batch, 4]
    posterior_kl_curve: Tensor  # E_{p(z|x)} log p(x|z) − log p(x), see `estimate_posterior_kl`  [batch, 4]
    posterior_kl_correction: Tensor  # what was added to the plain estimate from all draws  [batch]
    effective_sample_size: Tensor  # (Σ w)² / Σ w², a number of draws; NaN without z  [batch]
    pareto_k: Tensor  # k̂ of the weights' tail, dimensionless; NaN without z  [batch]
    log_likelihood_signed: Tensor  # log of the mean w; NaN where no weight has a sign  [batch]
    sign_ratio: Tensor  # Σ w / Σ |w|; NaN where no weight has a sign  [batch]
    folded_share: Tensor  # mean share of steps that fold; NaN where no chain was run  [batch]

    @property
    def log_likelihood(self) -> Tensor:
        """log p̂(x) from all draws, nats: [batch]."""
        return self.log_likelihood_curve[:, -1]

    @property
    def posterior_kl(self) -> Tensor:
        """KL(p(z|x) ‖ p(z)) from all draws, nats: [batch]."""
        return self.posterior_kl_curve[:, -1]


def first_draws(draws: int, part: int) -> int:
    """Return the number of the first M/part of M draws; at least 1."""
    return max(1, draws // part)


def draw(target: Target, proposal: Proposal, stream: Stream, examples: Tensor, draws: int) -> WeightedDraws:
    """Draw from a proposal, with weights w = p(x|z) p(z) / q(z)."""
    z = proposal.sample(stream, examples, draws)
    conditional = target.log_likelihood(z)
    return WeightedDraws(z, conditional, conditional + log_prior(z) - proposal.log_density(z))


def exact(target: Target, nothing: Tensor) -> WeightedDraws:
    """Return one draw of a model without z, given as [batch, 0]; its weight is p(x) itself."""
    z = nothing.unsqueeze(0)
    value = target.log_likelihood(z)
    return WeightedDraws(z, value, value)


def log_mean_weight(log_weights: Tensor, sign: Tensor | None = None) -> Tensor:
    """Log of the mean of w over draws: [draws, batch] → [batch]; −∞ where signed weights sum to 0 or less."""
    count = math.log(log_weights.shape[0])
    if sign is None:
        return torch.logsumexp(log_weights, 0) - count
    largest = log_weights.max(0).values
    total = (sign * (log_weights - largest).exp()).sum(0)
    return total.clamp_min(0.0).log() + largest - count


def likelihood_figures(drawn: WeightedDraws) -> LikelihoodFigures:
    """Compute each sentence's log p̂(x), eq. (15), and rate from growing numbers of draws, and weight diagnostics.

    Where weights have signs, the main figures use their absolute values, as published. The signed figure is given
    beside them: it is unbiased where a chain folds, but its weights can cancel.

    Source: Pang et al. 2021, eq. (15); Burda et al. 2016 for the bias of the logarithm, which falls with M.
    """
    log_weights = drawn.log_weights
    values, rates, corrections = [], [], []
    for part in CURVE:
        first = log_weights[: first_draws(len(log_weights), part)]
        values.append(log_mean_weight(first))
        rate, correction = estimate_posterior_kl(first, drawn.log_conditional[: len(first)])
        rates.append(rate)
        corrections.append(correction)
    share = torch.softmax(log_weights, 0)
    unknown = torch.full_like(values[-1], math.nan)
    has_z, sign, folded = drawn.z.shape[-1] > 0, drawn.sign, drawn.folded
    return LikelihoodFigures(
        log_likelihood_curve=torch.stack(values, 1),
        posterior_kl_curve=torch.stack(rates, 1),
        posterior_kl_correction=corrections[-1],
        effective_sample_size=effective_sample_size(log_weights) if has_z else unknown,
        pareto_k=pareto_k(log_weights) if has_z else unknown,
        log_likelihood_signed=unknown if sign is None else log_mean_weight(log_weights, sign),
        sign_ratio=unknown if sign is None else (share * sign).sum(0),
        folded_share=unknown if folded is None else folded.mean(0),
    )


def estimate_posterior_kl(log_weights: Tensor, log_conditional: Tensor) -> tuple[Tensor, Tensor]:
    """Estimate KL(p(z|x) ‖ p(z)) = E_{p(z|x)} log p(x|z) − log p(x) from weighted draws.

    The plain estimate, by normalised weights, has a bias of a/M + b/M² + …. The terms a and b cancel in a combination
    of the estimates from all draws, from two halves and from four quarters (the last M mod 2 or 4 draws are left out
    of these). Fewer than four draws are not corrected.

    Args:
        log_weights: log w, nats. Shape [draws, batch].
        log_conditional: log p(x|z), nats. Shape [draws, batch].

    Returns:
        The estimate, and the correction included in it, nats. Shape [batch] each.

    Source: Richardson's extrapolation; Quenouille 1956 for the halves.
    """

    def plain(parts: int) -> Tensor:
        size = len(log_weights) // parts
        both = (log_weights, log_conditional)
        weights, conditional = (each[: size * parts].view(parts, size, -1).transpose(0, 1) for each in both)
        rates = (torch.softmax(weights, 0) * conditional).sum(0) - log_mean_weight(weights)
        return rates.mean(0)

    whole = plain(1)
    if len(log_weights) < 4:
        return whole, torch.zeros_like(whole)
    sizes = [len(log_weights) // parts for parts in (1, 2, 4)]
    # Lagrange's polynomial through the estimates as functions of 1/M, at 1/M = 0.
    of_whole, of_halves, of_quarters = (
        math.prod(own / (own - other) for other in sizes if other != own) for own in sizes
    )
    correction = (of_whole - 1) * whole + of_halves * plain(2) + of_quarters * plain(4)
    return whole + correction, correction


def resample(drawn: WeightedDraws, seed: int, examples: Tensor) -> tuple[Tensor, Tensor]:
    """Choose one of the draws of each sentence by its weight: z [batch, latent] and log p(x|z) [batch].

    It is nearly a draw from p(z|x) where the weights are even.
    """
    bounds = torch.softmax(drawn.log_weights.double(), 0).cumsum(0)
    uniform = Stream(seed, "resample").uniform(examples, 1).squeeze(1)
    chosen = (uniform * bounds[-1] > bounds).sum(0).clamp_max(len(bounds) - 1)
    which = torch.arange(len(examples), device=chosen.device)
    return drawn.z[chosen, which], drawn.log_conditional[chosen, which]
