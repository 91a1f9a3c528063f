"""Annealed importance sampling from the prior to p(z|x), and in reverse: bounds of log p(x) from both sides.

    forward   z ~ p(z), β from 0 to 1:   E[w] = p(x),      so E log mean w ≤ log p(x)
    reverse   z ~ p(z|x), β from 1 to 0: E[1/w] = 1/p(x),  so E −log mean 1/w ≥ log p(x)

Rungs and step sizes are adapted for each sentence in a pilot run with its own noise, and then frozen, so the final
run is unbiased. The reverse run needs an exact draw from the posterior. A sentence simulated from the model has one:
the z that it was made from.

Source: Neal 2001, "Annealed importance sampling"; Grosse, Ghahramani and Adams 2015, "Sandwiching the marginal
likelihood using bidirectional Monte Carlo"; the pilot's sigmoid schedule is that of Wu, Burda, Salakhutdinov and
Grosse 2017, the rungs of equal thermodynamic length those of Gelman and Meng 1998.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import NamedTuple

import torch
from torch import Tensor

from sritool.config.settings import LikelihoodConfig
from sritool.inference.target import Target
from sritool.likelihood import hmc
from sritool.likelihood.adaptation import adapt
from sritool.likelihood.proposal import effective_sample_size
from sritool.model.random import Stream

_STEEPNESS = 4.0  # of the sigmoid schedule
_SMOOTHED = 9  # rungs over which the pilot's findings are averaged
_PILOT_RUNGS = 100  # at most
_MATCHING = LikelihoodConfig(pilots=64, rounds=3)  # to find the metric
_LEAST_SHARE = 0.2  # share of the rungs that the sigmoid places, whatever the pilot found
_PILOT_CHAINS = 4
_LEAPFROGS = 2  # per trajectory


class Ladder(NamedTuple):
    """The transitions of a run, fixed before it begins."""

    betas: Tensor  # β_0 = 0 … β_T = 1, float64  [rungs + 1, batch]
    step_sizes: Tensor  # of the transition at β_t, t = 1 … T  [rungs, batch]
    metric: hmc.Metric


class Annealed(NamedTuple):
    """Figures of each sentence from a run's chains; in nats unless said otherwise."""

    log_likelihood: Tensor  # log p̂(x): a lower bound in expectation, an upper one in reverse  [batch]
    log_weights: Tensor  # log w, from which both runs estimate p(x)  [chains, batch]
    effective_sample_size: Tensor  # of the chains, by w, or by 1/w in reverse  [batch]
    acceptance: Tensor  # mean over rungs and chains  [batch]
    end: Tensor  # [chains, batch, latent]; after a forward run nearly draws from p(z|x)


def schedule(rungs: int) -> Tensor:
    """β_0 = 0 … β_T = 1, dense at both ends: float64 [rungs + 1]."""
    positions = torch.linspace(-1, 1, rungs + 1, dtype=torch.float64)
    raised = torch.sigmoid(_STEEPNESS * positions)
    return (raised - raised[0]) / (raised[-1] - raised[0])


def ladder(
    target: Target,
    examples: Tensor,
    latent: int,
    dtype: torch.dtype,
    rungs: int,
    seed: int = 0,
    through: Tensor | None = None,
) -> Ladder:
    """Fix the transitions: a metric from a Gaussian matched to the posterior, rungs and step sizes from a pilot run.

    With transitions that mix well, log w has the least variance if the standard deviation of log p(x|z) at β,
    integrated over β, is the same between all neighbouring rungs.

    Args:
        target: p(x|·) of the batch.
        examples: Keys of the sentences' noise. Shape [batch].
        latent: Dimensions of z.
        dtype: Of the chains.
        rungs: T, the number of intermediate distributions; more of them narrow the bounds.
        seed: Of the pilot's noise.
        through: β in (0, 1) at which every sentence gets an additional rung, float64. Shape [any].
    """
    none = torch.zeros(0, len(examples), latent, dtype=dtype, device=examples.device)
    matched = adapt(target, none, seed, examples, _MATCHING).root[0]
    metric = hmc.metric_of_covariance(matched @ matched.mT)
    pilot_rungs = min(rungs, _PILOT_RUNGS)
    betas = schedule(pilot_rungs).to(examples.device).unsqueeze(1).expand(-1, len(examples))
    longest = hmc.QUARTER_TURN / _LEAPFROGS
    start = torch.full((pilot_rungs, len(examples)), longest, dtype=dtype, device=examples.device)
    steps = Ladder(betas, start, metric)
    noise = _Noise(Stream(seed, "ais pilot"), examples, _PILOT_CHAINS, latent, dtype)
    state = hmc.begin(target, noise.normal(0))
    deviations = [state.log_conditional.std(0)]
    for rung in range(1, pilot_rungs + 1):
        state, probability = _move(target, state, steps, rung, noise)
        deviations.append(state.log_conditional.std(0))
        if rung < pilot_rungs:
            steps.step_sizes[rung] = hmc.tuned(steps.step_sizes[rung - 1], probability, longest)
    spread = _smoothed(torch.stack(deviations).double().clamp_min(1e-6))
    placed = _equal_lengths(betas, spread, rungs)
    if through is not None:
        placed = torch.cat((placed, through.unsqueeze(1).expand(-1, len(examples)))).sort(0).values
    sizes = _interpolated(placed[1:], betas[1:], _smoothed(steps.step_sizes).double())
    return Ladder(placed, sizes.to(dtype), metric)


def _equal_lengths(betas: Tensor, spread: Tensor, rungs: int) -> Tensor:
    """Rungs [rungs + 1, batch] that divide ∫ spread dβ equally; betas, spread [pilot rungs + 1, batch]."""
    pieces = betas.diff(dim=0) * 0.5 * (spread[1:] + spread[:-1])
    length = torch.cat((torch.zeros_like(pieces[:1]), pieces.cumsum(0)))
    even = torch.linspace(0, 1, len(betas), dtype=betas.dtype, device=betas.device).unsqueeze(1)
    length = (1 - _LEAST_SHARE) * length / length[-1] + _LEAST_SHARE * even
    wanted = torch.linspace(0, 1, rungs + 1, dtype=betas.dtype, device=betas.device)
    placed = _interpolated(wanted.unsqueeze(1).expand(-1, betas.shape[1]), length, betas)
    placed[0], placed[-1] = 0.0, 1.0
    return placed


def _interpolated(at: Tensor, positions: Tensor, values: Tensor) -> Tensor:
    """Interpolate linearly, column by column: at [n, batch]; increasing positions, values [m, batch] → [n, batch]."""
    if len(positions) == 1:
        return values.expand_as(at)
    columns = positions.t().contiguous()
    right = torch.searchsorted(columns, at.t().contiguous()).clamp(1, len(positions) - 1)
    low, high = columns.gather(1, right - 1), columns.gather(1, right)
    share = ((at.t() - low) / (high - low)).clamp(0, 1)
    rows = values.t()
    return (rows.gather(1, right - 1) * (1 - share) + rows.gather(1, right) * share).t().contiguous()


class Passed(NamedTuple):
    """The chains at a rung."""

    log_weights: Tensor  # log w up to it, float64  [chains, batch]
    state: hmc.State  # after the transition that leaves p(z) p(x|z)^β invariant
    probability: Tensor  # acceptance probability of that transition  [chains, batch]


def annealing(
    target: Target, steps: Ladder, examples: Tensor, chains: int, seed: int = 0
) -> Iterator[Passed]:
    """Run forward as `anneal` does, and yield the chains at every rung, the prior's first."""
    latent, dtype = steps.metric.vectors.shape[-1], steps.step_sizes.dtype
    noise = _Noise(Stream(seed, "ais"), examples, chains, latent, dtype)
    state = hmc.begin(target, noise.normal(0))
    log_weights = torch.zeros_like(state.log_conditional, dtype=torch.float64)
    yield Passed(log_weights, state, torch.ones_like(state.log_conditional))
    for rung in range(1, len(steps.betas)):
        rise = steps.betas[rung] - steps.betas[rung - 1]
        log_weights = log_weights + rise * state.log_conditional.double()
        state, probability = _move(target, state, steps, rung, noise)
        yield Passed(log_weights, state, probability)


def anneal(target: Target, steps: Ladder, examples: Tensor, chains: int, seed: int = 0) -> Annealed:
    """Run forward, from the prior, with log w = Σ_t (β_t − β_{t−1}) log p(x|z_{t−1}), so that E w = p(x).

    In expectation, log p̂(x) = log mean w, in nats, is a lower bound of log p(x). Seed and `examples` [batch] key the
    noise of a sentence's independent chains. Source: Neal 2001.
    """
    run = annealing(target, steps, examples, chains, seed)
    last, accepted = next(run), torch.zeros_like(steps.step_sizes[0])
    for last in run:
        accepted += last.probability.mean(0)
    log_weights = last.log_weights
    value, accepted = torch.logsumexp(log_weights, 0) - math.log(chains), accepted / len(steps.step_sizes)
    return Annealed(value, log_weights, effective_sample_size(log_weights), accepted, last.state.z)


def anneal_reverse(
    target: Target, steps: Ladder, exact: Tensor, examples: Tensor, chains: int, seed: int = 0
) -> Annealed:
    """Run in reverse, from an exact draw of each posterior [batch, latent], with the same log w: E 1/w = 1/p(x).

    In expectation, log p̂(x) = −log mean 1/w, in nats, is an upper bound of log p(x). Every chain starts at the same
    draw and first moves at β = 1, which leaves p(z|x) invariant. Source: Grosse, Ghahramani and Adams 2015.
    """
    noise = _Noise(Stream(seed, "ais reverse"), examples, chains, exact.shape[-1], exact.dtype)
    state = hmc.begin(target, exact.expand(chains, -1, -1))
    log_weights = torch.zeros_like(state.log_conditional, dtype=torch.float64)
    accepted = torch.zeros_like(steps.step_sizes[0])
    for rung in range(len(steps.betas) - 1, 0, -1):
        state, probability = _move(target, state, steps, rung, noise)
        accepted += probability.mean(0)
        log_weights += (steps.betas[rung] - steps.betas[rung - 1]) * state.log_conditional.double()
    value, accepted = math.log(chains) - torch.logsumexp(-log_weights, 0), accepted / len(steps.step_sizes)
    return Annealed(value, log_weights, effective_sample_size(-log_weights), accepted, state.z)


def _move(
    target: Target, state: hmc.State, steps: Ladder, rung: int, noise: _Noise
) -> tuple[hmc.State, Tensor]:
    step_size = steps.step_sizes[rung - 1]
    beta = steps.betas[rung].to(step_size.dtype)
    root, drawn = steps.metric.root(beta), (noise.normal(rung), noise.uniform(rung))
    return hmc.transition(target, state, beta, root, step_size, *drawn, _LEAPFROGS)


class _Noise(NamedTuple):
    """Noise of a run, keyed by (stream, rung, example); more chains begin with the same noise."""

    stream: Stream
    examples: Tensor
    chains: int
    latent: int
    dtype: torch.dtype

    def normal(self, rung: int) -> Tensor:
        """Draws from the prior at rung 0, momenta at later rungs: [chains, batch, latent]."""
        stream = self.stream._replace(epoch=rung)
        return stream.codes(self.examples, self.chains, self.latent, self.dtype)

    def uniform(self, rung: int) -> Tensor:
        """Uniforms that decide whether the transition at β_rung is accepted: [chains, batch]."""
        accept = Stream(self.stream.seed, self.stream.purpose + " accept", rung)
        return accept.uniform(self.examples, self.chains).t().to(self.dtype)


def _smoothed(values: Tensor) -> Tensor:
    """Geometric means over neighbouring rungs: [rungs, batch]."""
    log, half = values.log(), _SMOOTHED // 2
    parts = [log[max(0, rung - half) : rung + half + 1].mean(0) for rung in range(len(log))]
    return torch.stack(parts).exp()
