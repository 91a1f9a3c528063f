"""The chain's density as the authors' code computes it: one backward pass through the whole chain per number in z_K.

The K steps are run with `create_graph`, and the B diagonal blocks of the Jacobian ∂z_K/∂z_0 are filled by B·d
backward passes, each over the whole batch. Written independently of the authors' code; the density is the same as
that of `sritool.inference.chain_density`.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from torch import Tensor

from benchmarks.reference import Reference
from sritool.data.batches import Batch
from sritool.inference.langevin import log_prior


def chain_with_graph(
    model: Reference,
    batch: Batch,
    start: Tensor,
    step_sizes: Sequence[float],
    noise: Tensor,
    temperature: float,
) -> Tensor:
    """Return z_K as a differentiable function of `start` [batch, latent], which must require a gradient."""
    z = start
    for step_size, draw in zip(step_sizes, noise, strict=True):
        energy = model.nll(batch, z).sum() + 0.5 * z.square().sum()
        (slope,) = torch.autograd.grad(energy, z, create_graph=True)
        z = z - step_size * slope + temperature * math.sqrt(2 * step_size) * draw
    return z


def jacobian_row(start: Tensor, end: Tensor, sentence: int, dimension: int) -> Tensor:
    """Return ∂z_K[sentence, dimension] / ∂z_0[sentence], [latent], by one backward pass over the whole batch."""
    (rows,) = torch.autograd.grad(end[sentence, dimension], start, retain_graph=True)
    return rows[sentence]


def log_density(start: Tensor, end: Tensor) -> Tensor:
    """Return log q(z_K | x, ε) = log p(z_0) − log |det ∂z_K/∂z_0|, [batch], by batch · latent backward passes."""
    size, latent = start.shape
    blocks = torch.stack([jacobian_row(start, end, b, i) for b in range(size) for i in range(latent)])
    logarithm: Tensor = torch.linalg.slogdet(blocks.view(size, latent, latent)).logabsdet
    return log_prior(start.detach()) - logarithm
