"""The paper's estimate of p(x): importance sampling with the short-run chain as its own proposal.

A draw is one chain: z_0 ~ p(z), its noise ε, its end z_K. Its weight is p(x|z_K) p(z_K) / q(z_K | x, ε), with the
density computed along the same chain. Given ε the chain is a map of z_0. Where the map is one-to-one, the mean weight
is p(x) without bias. Where it folds, |det| of one branch understates q, and the weights are right only with the sign
of the determinant.

Conditioning on ε makes q narrower than the posterior, so few chains carry all the weight: the estimate of log p(x) is
too low, by tens of nats with the authors' schedule.

Source: Pang et al. 2021, section 3.3 and eq. (15), (18).
"""

from __future__ import annotations

import math

import torch
from torch import Tensor

from sritool.config.settings import GeneratorConfig
from sritool.inference.chain_density import chain_density
from sritool.inference.langevin import Dynamics, draw_noise, log_joint_of, log_prior, settled, short_run
from sritool.inference.target import Target
from sritool.likelihood.importance import WeightedDraws
from sritool.model.random import Stream

_PER_STATE = 60  # numbers per position and hidden unit in a row's recurrence and its derivatives
_FIXED = 1 << 29  # bytes: PyTorch, the parameters, logits, tangents


def chain_draws(
    target: Target,
    examples: Tensor,
    latent: int,
    dynamics: Dynamics,
    draws: int,
    rows: int,
    seed: int,
    dtype: torch.dtype,
) -> WeightedDraws:
    """Run M chains of each sentence, with weights w = p(x|z_K) p(z_K) / q(z_K|x, ε).

    Signs and shares of folding steps come with them. A chain's noise depends only on (seed, example, its number): a
    larger M begins with the same chains.

    Args:
        target: p(x|·) of the batch.
        examples: Keys of the sentences' noise. Shape [batch].
        latent: Dimensions of z.
        dynamics: How the chains move.
        draws: M.
        rows: Chains of all sentences that are computed at a time.
        seed: Of the noise.
        dtype: Of the chains.

    Raises:
        NumericalError: A chain explodes.

    Source: Pang et al. 2021, eq. (15) and (18).
    """
    together = max(1, rows // max(1, len(examples)))
    joint, stream = log_joint_of(target), Stream(seed, "sri likelihood")
    parts = []
    for first in range(0, draws, together):
        numbers, steps = range(first, min(first + together, draws)), len(dynamics.step_sizes)
        start, noise = draw_noise(stream, examples, numbers, steps, latent, dtype)
        chain = settled(short_run(joint, start, noise, dynamics, keep_path=True))
        density = chain_density(target, chain)
        conditional = target.log_likelihood(chain.end)
        log_weights = conditional + log_prior(chain.end) - density.log_density
        parts.append((chain.end, conditional, log_weights, density.sign, density.folded))
    return WeightedDraws(*(torch.cat(column) for column in zip(*parts, strict=True)))


def kl_on_the_prior(dynamics: Dynamics, latent: int) -> float:
    """KL(q(z_K|ε) ‖ p) in nats, averaged over ε, of the chain on a model that ignores z: contraction alone.

    There U = ½‖z‖². Along an eigenvector of P with eigenvalue λ, z_K = a z_0 + noise with a = Π (1 − λ s_k), and the
    variance of the noise has a closed form. Truncation is ignored: it rarely affects a draw from N(0, I).
    """
    if dynamics.root is None:
        return latent * _kl_on_a_line(dynamics, 1.0)
    scales: list[float] = torch.linalg.eigvalsh(dynamics.root @ dynamics.root.t()).tolist()
    return sum(_kl_on_a_line(dynamics, scale) for scale in scales)


def _kl_on_a_line(dynamics: Dynamics, scale: float) -> float:
    shrink, noise = 1.0, 0.0
    for step_size, factor in zip(dynamics.step_sizes, dynamics.noise_scales, strict=True):
        kept = 1.0 - scale * step_size
        shrink *= max(abs(kept), torch.finfo(torch.float32).eps)  # as in `chain_density`
        # Products, not **: Python's ** raises an error beyond 1e308.
        noise = kept * kept * noise + scale * factor * factor
    if shrink == 0.0 or not math.isfinite(shrink):
        return math.inf
    return 0.5 * (shrink * shrink + noise - 1.0) - math.log(abs(shrink))


def rows_within(memory: int, generator: GeneratorConfig, time: int, itemsize: int = 4) -> int:
    """Return how many codes of sentences of length `time` fit into `memory` bytes at a time; at least 1.

    The Hessian determines it: it keeps the derivatives of every step. Its tangents take a fixed amount.
    """
    states = time * generator.hidden * generator.layers
    return max(1, (memory - _FIXED) // (itemsize * states * _PER_STATE))
