"""Short-run Langevin inference as one pure function of (log-joint, start, schedule, noise).

U(z) = −log p(x, z);  z_{k+1} = z_k − s_k P ∇U(z_k) + τ √(2 s_k) L ε_k,  P = L Lᵀ, which is the identity unless a
root L is given. This is Euler's discretisation of the Langevin equation. With a constant step size, it inflates the
variance of a posterior N(m, P) by 1 / (1 − s/2).

The exponential integrator has √(s_k (2 − s_k)) in place of √(2 s_k). Its step solves the Langevin equation of N(m, P)
exactly, over a time of −log(1 − s_k), and so leaves this posterior unchanged; at s_k = 1 a step is an independent
draw from it. For small s_k the two integrators are the same.

Where the posterior is sharper than P, as at a draw from the prior on a model that encodes much in z, a large step
throws z far beyond it. A truncated chain cuts the norm of Lᵀ∇U to c √d. At a draw from N(m, P) the norm is √d on
average, so with c = 2 the cut rarely affects a chain that has converged.

Source: Pang et al. 2021, eq. (6)-(7); P as in `preconditioner`; exponential integrators as in Hochbruck and Ostermann
2010; the truncated drift as in Roberts and Tweedie 1996 (MALTA).
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import NamedTuple

import torch
from torch import Tensor

from sritool.config.settings import SamplerConfig
from sritool.errors import NumericalError
from sritool.inference.target import Target
from sritool.model.random import Stream

FARTHEST = 1e4
"""Largest ‖z‖ of a chain's end, in units of √d; a draw from the prior has ‖z‖ = √d ± 1.

A chain on a sharp posterior strays, and may expand up to 19 times in a step, but the gradient of log p(x|z) is
bounded and ½‖z‖² pulls z back. At this bound float32 resolves only three decimals on the prior's own scale, too few
for the posterior. Overflow, and with it NaN, comes far later.
"""

LogJoint = Callable[[Tensor, int], tuple[Tensor, Tensor]]
"""(z [batch, latent], step k) → log p(x, z) [batch] and its gradient [batch, latent]."""


def with_prior(log_conditional: LogJoint, weight: float | Tensor = 1.0) -> LogJoint:
    """Turn a function for log p(x|z) and its gradient into one for log p(x, z) and its gradient.

    log p(x, z) = log p(x|z) + w log p(z) and ∇ log p(x, z) = ∇ log p(x|z) − w z, with p(z) = N(0, I). A weight other
    than 1 gives the chain another target; some ways of training use that.
    """

    def log_joint(z: Tensor, step: int) -> tuple[Tensor, Tensor]:
        value, gradient = log_conditional(z, step)
        return value + weight * log_prior(z), gradient - weight * z

    return log_joint


def log_joint_of(target: Target) -> LogJoint:
    """Return the function for log p(x, z) and its gradient in z, the same at every step."""
    return with_prior(lambda z, _: target.evaluate(z))


class Noise(NamedTuple):
    """Starts and noise of many chains per sentence."""

    start: Tensor  # z_0  [chains, batch, latent]
    steps: Tensor  # ε_k  [steps, chains, batch, latent]


def draw_noise(
    stream: Stream,
    examples: Tensor,
    chains: Sequence[int],
    steps: int,
    latent: int,
    dtype: torch.dtype = torch.float32,
) -> Noise:
    """Draw starts and the noise of K steps, keyed by sentence [batch] and by the chain's number.

    A longer schedule or more chains begin with the same numbers.
    """
    drawn = torch.stack([stream.codes(examples, 1 + steps, latent, dtype, chain) for chain in chains], 1)
    return Noise(drawn[0], drawn[1:])


class Dynamics(NamedTuple):
    """How a chain moves."""

    step_sizes: Sequence[float]  # s_k, at most 2 for the exponential integrator
    temperature: float = 1.0  # τ
    root: Tensor | None = None  # L  [latent, latent]; None: the identity
    exponential: bool = False  # the exponential integrator; else Euler's
    truncation: float = 0.0  # c; 0: no bound on ‖Lᵀ∇U‖

    @property
    def noise_scales(self) -> list[float]:
        """The factor on L ε_k of each step: τ √(2s), or τ √(s (2 − s)) for the exponential integrator."""
        variances = (s * (2.0 - s) if self.exponential else 2.0 * s for s in self.step_sizes)
        return [self.temperature * math.sqrt(max(0.0, variance)) for variance in variances]

    def drift(self, gradient: Tensor) -> Tensor:
        """P g for gradients g [..., latent] of log p(x, z), with the norm of Lᵀ g bounded by the truncation."""
        scaled = gradient if self.root is None else gradient @ self.root
        if self.truncation:
            scaled = scaled * self.kept(scaled)
        return scaled if self.root is None else scaled @ self.root.t()

    def kept(self, scaled: Tensor) -> Tensor:
        """The factor min(1, c √d / ‖w‖) on each w = Lᵀ g: [..., latent] → [..., 1]."""
        bound = self.truncation * math.sqrt(scaled.shape[-1])
        share: Tensor = bound / scaled.norm(dim=-1, keepdim=True)
        return share.clamp_max(1.0)


def evaluated(sampler: SamplerConfig, root: Tensor | None = None) -> Dynamics:
    """Return how a sampler's chain moves in evaluation, with its preconditioner's root."""
    tau = sampler.evaluation_temperature
    return Dynamics(sampler.schedule(), tau, root, sampler.exponential, sampler.truncation)


class Chain(NamedTuple):
    """A short run, with everything that its density needs."""

    start: Tensor  # z_0  [..., batch, latent]
    noise: Tensor  # ε_k  [steps, ..., batch, latent]
    end: Tensor  # z_K  [..., batch, latent]
    dynamics: Dynamics
    path: Tensor | None = None  # z_0 … z_K  [steps + 1, ..., batch, latent]
    log_joint: Tensor | None = None  # log p(x, z_k) at the visited z_k, k < K  [steps, ..., batch]


def langevin_step(
    z: Tensor,
    drift: Tensor,
    step_size: float,
    noise: Tensor,
    noise_scale: float,
    root: Tensor | None = None,
) -> Tensor:
    """Take one step of eq. (7): z + s P ∇log p(x, z) + σ L ε, with the scale σ of the noise.

    Args:
        z: Where the chain is. Shape [..., latent].
        drift: P ∇_z log p(x, z), from `Dynamics.drift`. Shape [..., latent].
        step_size: s.
        noise: ε. Shape [..., latent].
        noise_scale: σ.
        root: L. Shape [latent, latent]; None: the identity.

    Returns:
        Shape [..., latent].
    """
    moved = torch.add(z, drift, alpha=step_size)
    return moved.add_(correlated(noise, root), alpha=noise_scale)


def correlated(noise: Tensor, root: Tensor | None) -> Tensor:
    """L ε for noise ε [..., latent]."""
    return noise if root is None else noise @ root.t()


def whitened(difference: Tensor, root: Tensor | None) -> Tensor:
    """L⁻¹ v for differences v [..., latent] of z; in these coordinates P is the identity."""
    return difference if root is None else torch.linalg.solve(root, difference.mT).mT


def short_run(
    log_joint: LogJoint, start: Tensor, noise: Tensor, dynamics: Dynamics, keep_path: bool = False
) -> Chain:
    """Run the chain.

    Args:
        log_joint: log p(x, z) and its gradient.
        start: z_0. Shape [..., batch, latent].
        noise: ε_k. Shape [steps, ..., batch, latent].
        dynamics: Step sizes, temperature, preconditioner, integrator and truncation.
        keep_path: Whether to keep every visited z and its log-joint too.

    Returns:
        The trace of the chain.
    """
    z, visited, values = start, [start], []
    for k, (size, scale) in enumerate(zip(dynamics.step_sizes, dynamics.noise_scales, strict=True)):
        value, gradient = log_joint(z, k)
        z = langevin_step(z, dynamics.drift(gradient), size, noise[k], scale, dynamics.root)
        if keep_path:
            visited.append(z)
            values.append(value)
    path = torch.stack(visited) if keep_path else None
    kept = torch.stack(values) if keep_path else None
    return Chain(start, noise, z, dynamics, path, kept)


def reach(z: Tensor) -> Tensor:
    """Return the largest ‖z‖ in units of √d, without waiting for a GPU: [..., latent] → a scalar.

    It is NaN if a z is.
    """
    if not z.numel():
        return z.new_zeros(())
    norm: Tensor = z.norm(dim=-1).max()
    return norm / math.sqrt(max(1, z.shape[-1]))


def require_settled(reached: float, dynamics: Dynamics) -> None:
    """Refuse the ends of a chain that exploded, by their `reach`; call it where values are waited for anyway.

    Raises:
        NumericalError: The chain exploded.
    """
    if reached <= FARTHEST:  # NaN is not
        return
    steps, tau = len(dynamics.step_sizes), dynamics.temperature
    sizes = ", ".join(f"{size:.4g}" for size in dynamics.step_sizes[:3]) + (", …" if steps > 3 else "")
    where = f"‖z‖ is {reached:.1e} √d, where the prior has 1" if math.isfinite(reached) else "z is not finite"
    raise NumericalError(
        f"the chain explodes: after {steps} steps of {sizes} at temperature {tau:.4g} {where}; "
        "take smaller steps (--set sampler.step_sizes=[…] or sritool tune-step), or take an earlier checkpoint"
    )


def settled(chain: Chain) -> Chain:
    """Return the chain itself, after a check that its end lies within `FARTHEST`.

    Raises:
        NumericalError: It does not.
    """
    if chain.end.numel():
        require_settled(float(reach(chain.end)), chain.dynamics)
    return chain


def noiseless_moves(chain: Chain) -> Tensor:
    """Return z_k − s_k P ∇U(z_k) of every step, recovered from the trace: [steps, batch, latent]."""
    assert chain.path is not None, "run the chain with keep_path=True"
    scales = torch.tensor(chain.dynamics.noise_scales, dtype=chain.noise.dtype, device=chain.noise.device)
    return chain.path[1:] - scales[:, None, None] * correlated(chain.noise, chain.dynamics.root)


def log_prior(z: Tensor) -> Tensor:
    """log N(z; 0, I) in nats: z [..., latent] → [...]."""
    return -0.5 * (z.square().sum(-1) + z.shape[-1] * math.log(2.0 * math.pi))
