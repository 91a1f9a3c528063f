"""The `adaptive` estimator: it finds its proposal by rounds of pilot draws, which are thrown away.

The pilots of a round are drawn from the mixture of the round before. Their values give the weights of the components,
their scores give the components' means and covariances. The posterior of a text model is rough: its curvature at a
mode is many times larger than its spread suggests, so a Laplace approximation is far too narrow. Scores of draws from
a broad Gaussian average the roughness out.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor

from sritool.config.settings import LikelihoodConfig
from sritool.inference.langevin import log_prior
from sritool.inference.target import Target, check_finite
from sritool.likelihood.importance import WeightedDraws, draw
from sritool.likelihood.proposal import (
    StudentMixture,
    effective_sample_size,
    flattened,
    moment_match,
    score_match,
    tempered_weights,
)
from sritool.model.random import Stream

_ROWS = 512  # draws of all sentences that are evaluated at a time
_FLATTENING = 0.4  # share of the prior's precision in the wider twin of the matched Gaussian
_LOCAL_VARIANCE = 0.1  # around a chain's end, in the first round
# First shares of the broad component, its wider twin, the one by moments, and all those at the chains' ends.
_FIRST_SHARES = (0.3, 0.3, 0.2, 0.2)
_LEAST_PILOTS = 0.1  # share of the pilots that every component gets: it learns only from these
_LEAST_SHARE = 0.02  # of any component: a mode with light pilots may still matter for the fresh draws
_DOUBT = 1.0  # effective draws, beyond one, at which new and old shares count equally
_ROUGH = 32  # draws of the rounds before the last, unless half of its pilots are more
_LOST = 2.0  # effective sample size of the last pilots below which a sentence is lost
_GOAL = 0.5  # effective sample size over the number of pilots at which a sentence is done
_LEAST_GAIN = 0.1  # nats that a round must add to the mean log weight for another one to follow
# Most extra rounds of a sentence whose pilots still move, and the gain in nats that each of them requires.
_MORE_ROUNDS, _FAR = 8, 10.0


class Components(NamedTuple):
    """Components of each sentence's mixture, in float64, which a sharp posterior's covariance needs."""

    # Gaussians matched by scores: a broad one, and one at each chain's end.
    centres: Tensor  # [1 + ends, batch, latent]
    covariances: Tensor  # [1 + ends, batch, latent, latent]
    # The component matched by moments, initially the prior.
    location: Tensor  # [batch, latent]
    root: Tensor  # root of its scale  [batch, latent, latent]
    # Of the broad one, its wider twin, the one by moments, and those at the chains' ends.
    log_weight: Tensor  # [3 + ends, batch]

    def mixture(self, degrees: int, dtype: torch.dtype, least_share: float = _LEAST_SHARE) -> StudentMixture:
        """Return a proposal to draw from, in which no component has a share much below `least_share`."""
        share = self.log_weight.exp().clamp_min(least_share)
        log_weight = (share / share.sum(0)).log()
        wider = flattened(self.covariances[:1], _FLATTENING)
        roots = torch.linalg.cholesky(torch.cat((self.covariances[:1], wider, self.covariances[1:])))
        scale = torch.cat((roots[:2], self.root.unsqueeze(0), roots[2:]))
        broad, ends = self.centres[:1], self.centres[1:]
        location = torch.cat((broad, broad, self.location.unsqueeze(0), ends))
        return StudentMixture(location.to(dtype), scale.to(dtype), log_weight.to(dtype), degrees)


class Pilots(NamedTuple):
    """Draws of one round."""

    z: Tensor  # [draws, batch, latent]
    scores: Tensor  # ∇ log p(x, z)  [draws, batch, latent]
    log_weights: Tensor  # log p(x, z) − log q(z)  [draws, batch]
    log_shares: Tensor  # of each component in each draw: the shares may underflow  [components, draws, batch]


def adaptive_draws(
    target: Target,
    ends: Tensor,
    seed: int,
    examples: Tensor,
    config: LikelihoodConfig,
    covariance: Tensor | None = None,
    rough: Target | None = None,
) -> WeightedDraws:
    """Draw `config.samples` z per sentence from a proposal q adapted to its posterior: w = p(x|z) p(z) / q(z).

    Pilots alone determine q and are thrown away. No stopping rule reads the final draws, so the mean of w is p(x)
    without bias; `likelihood_figures` gives log p̂(x) in nats.

    Args:
        target: p(x|·) of the batch.
        ends: Ends of different chains. Shape [ends, batch, latent].
        seed: Of all noise.
        examples: Keys of the sentences' noise. Shape [batch].
        config: Numbers of pilots and of draws.
        covariance: A guess at the posteriors' covariances. Shape [latent, latent] for all sentences, or
            [batch, latent, latent]; None: the pilots begin at the prior.
        rough: The target in lower precision, for the pilots; None: `target`.

    Raises:
        NumericalError: Values or gradients of the pilots are not finite.

    Source: Pang et al. 2021, eq. (15), for the weights.
    """
    proposal = adapt(rough or target, ends, seed, examples, config, covariance)
    return draw(target, proposal, Stream(seed, "weighed"), examples, config.samples)


def adapt(
    target: Target,
    starts: Tensor,
    seed: int,
    examples: Tensor,
    config: LikelihoodConfig,
    covariance: Tensor | None = None,
) -> StudentMixture:
    """Find the proposal of each sentence in `config.rounds` rounds of pilots, or fewer.

    The rounds before the last take about half of `config.pilots`, which brings a proposal near most posteriors. For a
    sentence that is lost, as its posterior is far from the starts, every round takes all of them, from the first on,
    with more rounds as long as they gain much. Sentences do not affect one another.
    Arguments and errors are as for `adaptive_draws`, with the ends as `starts`, of which there may be none.

    Returns:
        A mixture whose first component is the broad Gaussian matched by scores.
    """
    first = _first(starts.double(), None if covariance is None else covariance.double())
    found, lost = first, torch.ones_like(first.log_weight[0], dtype=torch.bool)
    planned = [draws_of_round(config, index) for index in range(config.rounds)]
    every = [config.pilots] * (config.rounds + _MORE_ROUNDS if config.rounds else 0)
    if planned != every[: config.rounds]:
        found, lost = _in_rounds(first, target, seed, examples, config, planned, starts.dtype)
    if bool(lost.any()):
        again, _ = _in_rounds(first, target, seed, examples, config, every, starts.dtype)
        found = _chosen(lost, again, found)
    return found.mixture(config.degrees, starts.dtype)


def draws_of_round(config: LikelihoodConfig, index: int) -> int:
    """Return the number of pilots of a sentence in a planned round."""
    rough = max(config.pilots // 2, min(config.pilots, _ROUGH))
    return rough if index < config.rounds - 1 else config.pilots


def _in_rounds(
    found: Components,
    target: Target,
    seed: int,
    examples: Tensor,
    config: LikelihoodConfig,
    draws: Sequence[int],
    dtype: torch.dtype,
) -> tuple[Components, Tensor]:
    """Match the components in rounds of so many draws; also tell which sentences are lost [batch].

    A sentence is done once its pilots reach their goal, or once the mean log weight grows under none of its
    components. From the last planned round on, only a large gain calls for another one. A sentence is lost if that
    one is not there, or if a single pilot has all the weight.
    """
    active = torch.ones_like(found.log_weight[0], dtype=torch.bool)
    best = torch.full_like(found.log_weight[2:], -math.inf)
    lost = ~active
    for index, count in enumerate(draws):
        proposal = found.mixture(config.degrees, dtype, _LEAST_PILOTS)
        pilots = _draw(target, proposal, Stream(seed, "pilot", index), examples, count)
        found = _chosen(active, _matched(found, pilots), found)
        mean, effective = _means(pilots), effective_sample_size(pilots.log_weights)
        if index < config.rounds - 1:
            gaining = (mean > best + _LEAST_GAIN).any(0)
        else:
            before = best.max(0).values  # −∞ after a single round, whose gain is unknown
            gaining = before.isfinite() & (mean.max(0).values > before + _FAR)
        more = gaining & (effective < _GOAL * count)
        lost = torch.where(active, more | (effective < _LOST), lost)
        active = active & more
        best = torch.maximum(best, mean)
        if not bool(active.any()):
            break
    return found, lost


def _first(starts: Tensor, covariance: Tensor | None) -> Components:
    """The prior, and a small Gaussian at each chain's end; the broad one uses a guess, at the ends' mean."""
    ends, batch, latent = starts.shape
    eye = torch.eye(latent, dtype=starts.dtype, device=starts.device).expand(batch, latent, latent)
    zero = starts.new_zeros(batch, latent)
    broad = eye if covariance is None else covariance.expand_as(eye)
    covariances = torch.cat((broad.unsqueeze(0), (_LOCAL_VARIANCE * broad).expand(ends, -1, -1, -1)))
    shares = [*_FIRST_SHARES[:3], *([_FIRST_SHARES[3] / max(1, ends)] * ends)]
    log_weight = torch.tensor(shares, dtype=starts.dtype, device=starts.device).log()
    centre = zero if covariance is None else starts.mean(0)
    centres = torch.cat((centre.unsqueeze(0), starts))
    log_weight = torch.log_softmax(log_weight, 0).unsqueeze(1).repeat(1, batch)
    return Components(centres, covariances, zero, eye, log_weight)


def _draw(target: Target, proposal: StudentMixture, stream: Stream, examples: Tensor, draws: int) -> Pilots:
    z = proposal.sample(stream, examples, draws)
    parts = [target.evaluate(part) for part in z.split(max(1, _ROWS // z.shape[1]))]
    value, gradient = (torch.cat(column) for column in zip(*parts, strict=True))
    check_finite("log p(x|z)", value)
    check_finite("the gradient of log p(x|z)", gradient)
    z, log_parts = z.double(), proposal.log_components(z).double()
    log_density = torch.logsumexp(log_parts, 0)
    log_weights = value.double() + log_prior(z) - log_density
    return Pilots(z, gradient.double() - z, log_weights, log_parts - log_density)


def _means(pilots: Pilots) -> Tensor:
    """Mean log weight under the broad Gaussian and those at the ends; −∞ without draws: [1 + ends, batch]."""
    shares = pilots.log_shares.exp()
    shares = torch.cat((shares[:2].sum(0, keepdim=True), shares[3:]))
    drawn = shares.sum(1)
    mean = (shares * pilots.log_weights).sum(1) / drawn.clamp_min(1e-9)
    return mean.where(drawn > 1, -math.inf)


def _matched(found: Components, pilots: Pilots) -> Components:
    """Match every component to the draws that it is responsible for."""
    z, scores, log_weights, log_shares = pilots
    shares = log_shares.exp()
    broad = score_match(z, scores, shares[:2].sum(0), found.centres[0], found.covariances[0])
    # Few draws fall around a chain's end: the broad Gaussian's covariance is the best guess there.
    local = [
        score_match(z, scores, share, centre, broad[1])
        for share, centre in zip(shares[3:], found.centres[1:], strict=True)
    ]
    centres, covariances = (torch.stack(parts) for parts in zip(broad, *local, strict=True))
    effective = min(2.0 * z.shape[-1], 0.7 * len(z))
    location, root = moment_match(z, log_weights + log_shares[2], effective)
    weights, _ = tempered_weights(log_weights, 0.25 * len(z))
    known = effective_sample_size(log_weights) - 1  # a single draw says nothing about shares
    share = known * (shares * weights).sum(1) + _DOUBT * found.log_weight.exp()
    return Components(centres, covariances, location, root, (share / share.sum(0)).log())


def _chosen(active: Tensor, new: Components, old: Components) -> Components:
    """The new components of active sentences, the old ones of the rest."""

    def choose(fresh: Tensor, kept: Tensor, axis: int) -> Tensor:
        shape = [1] * fresh.ndim
        shape[axis] = len(active)
        return torch.where(active.view(shape), fresh, kept)

    axes = (1, 1, 0, 0, 1)
    return Components(*(choose(*parts) for parts in zip(new, old, axes, strict=True)))
