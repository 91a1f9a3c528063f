"""Density of a chain's end for a fixed noise path, by the chain rule on its Jacobian.

log q(z_K | x, ε) = log p(z_0) − Σ_k log |det(I − s_k P ∇²U(z_k))|

With P = L Lᵀ, the matrix of a step is similar to I − s_k Lᵀ ∇²U L, which is symmetric. The drift of a truncated step
has the direction u of w = −Lᵀ∇U and a fixed length c√d, which replaces Lᵀ ∇²U L by Q Lᵀ ∇²U L Q with
Q = (c√d / ‖w‖)^½ (I − u uᵀ).

Source: Pang et al. 2021, eq. (18), with the determinant of each step instead of the whole chain's.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor

from sritool.inference.langevin import Chain, Dynamics, log_joint_of, log_prior
from sritool.inference.target import Target, check_finite


class ChainDensity(NamedTuple):
    """log q(z_K | x, ε), with diagnostics of its reliability; all [..., batch]."""

    log_density: Tensor  # nats
    sign: Tensor  # of the Jacobian's determinant: ±1, or 0 if a step forgets its start
    folded: Tensor  # share of steps whose matrix has an eigenvalue below 0: the map may not be one-to-one


def chain_density(target: Target, chain: Chain) -> ChainDensity:
    """Return the density of a chain's end, computed along the chain's own path.

    Raises:
        NumericalError: A curvature is not finite.
    """
    assert chain.path is not None, "run the chain with keep_path=True"
    log_density, dynamics = log_prior(chain.start), chain.dynamics
    sign, folded = torch.ones_like(log_density), torch.zeros_like(log_density)
    identity = torch.eye(chain.start.shape[-1], dtype=chain.start.dtype, device=chain.start.device)
    log_joint = log_joint_of(target)
    for k, (z, step_size) in enumerate(zip(chain.path[:-1], dynamics.step_sizes, strict=True)):
        of_energy = target.hessian(z) + identity  # ∇²U  [..., batch, latent, latent]
        if dynamics.root is not None:
            of_energy = dynamics.root.t() @ of_energy @ dynamics.root
        if dynamics.truncation:
            of_energy = _truncated(of_energy, log_joint(z, k)[1], dynamics, identity)
        check_finite("the curvature of log p(x|z)", of_energy)
        curvature = torch.linalg.eigvalsh(of_energy)  # [..., batch, latent]
        factors = 1.0 - step_size * curvature
        # A step that forgets its start has a factor of 0, up to rounding: its density is that of a point.
        sizes = factors.abs().clamp_min(torch.finfo(factors.dtype).eps)
        log_density = log_density - sizes.log().sum(-1)
        sign = sign * factors.sign().prod(-1)
        folded = folded + (factors < 0).any(-1).to(folded.dtype)
    return ChainDensity(log_density, sign, folded / len(dynamics.step_sizes))


def _truncated(curvature: Tensor, gradient: Tensor, dynamics: Dynamics, identity: Tensor) -> Tensor:
    """Q C Q for C [..., latent, latent] where a step with this gradient [..., latent] of log p(x, z) is truncated."""
    scaled = gradient if dynamics.root is None else gradient @ dynamics.root
    kept = dynamics.kept(scaled).unsqueeze(-1)
    along = scaled / scaled.norm(dim=-1, keepdim=True)
    across = identity - along.unsqueeze(-1) * along.unsqueeze(-2)
    return torch.where(kept < 1.0, kept * (across @ curvature @ across), curvature)


def kl_given_noise(chain: Chain, density: ChainDensity) -> Tensor:
    """Return log q(z_K | x, ε) − log p(z_K) in nats, [batch].

    Where nothing folds, its mean is an upper bound of KL(q(z|x) ‖ p).
    """
    return density.log_density - log_prior(chain.end)
