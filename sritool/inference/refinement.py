"""Stochastic variational inference of a sentence's q(z|x), begun at an encoder's, and the exact way back through it.

K steps of ascent with momentum on a sentence's own ELBO, with fresh noise ε_k in each:

    z_k = m + e^{ℓ/2} ε_k,   g = ∇_{m,ℓ} [ log p(x|z_k) − w·KL(N(m, e^ℓ) ‖ N(0, I)) ],
    v ← momentum·v + φ·g,    (m, ℓ) ← (m, ℓ) + rate·v,

where φ ≤ 1 brings the norm of g, mean and log-variance together, under a bound. φ, like every other number here, is a
sentence's own, so that nobody's q depends on the rest of the batch. No derivative goes through φ.

Source: Kim, Wiseman, Miller, Sontag and Rush 2018, algorithm 1. Their code clips the gradient of a batch's mean as
one, mean and log-variance apart, and takes second derivatives by finite differences.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple, Protocol

import torch
from torch import Tensor

from sritool.config.settings import RefinementConfig
from sritool.model.gaussian import DiagonalGaussian
from sritool.model.second_order import AtOutput, Slope, Value


class Objective(Protocol):
    """log p(x|·) of a batch, as `SecondOrder` has it."""

    def evaluate(self, z: Tensor) -> Value:
        """Value and gradient at z [batch, latent]."""


class Step(NamedTuple):
    """What the way back needs of one step."""

    q: DiagonalGaussian  # before it
    factor: Tensor  # φ  [batch, 1]
    of_output: AtOutput  # at z_k


class Refined(NamedTuple):
    """q_K and the steps to it, if they were kept."""

    q: DiagonalGaussian
    path: list[Step]


def refine(
    objective: Objective,
    start: DiagonalGaussian,
    noise: Tensor,
    settings: RefinementConfig,
    kl_weight: float = 1.0,
    keep_path: bool = False,
) -> Refined:
    """As many steps from q_0 as there is noise [steps, batch, latent].

    Noise 0 and weight 0 leave the log-variance as it is and let the mean climb log p(x|z) alone.
    """
    q, path = start, []
    velocity = [torch.zeros_like(part) for part in start]
    for epsilon in noise:
        spread = q.spread(epsilon)
        value = objective.evaluate(q.at(epsilon))
        of_kl = q.kl_gradient()
        of_mean = value.gradient - kl_weight * of_kl.mean
        of_log_variance = spread * value.gradient - kl_weight * of_kl.log_variance
        factor = _clip_factor(of_mean, of_log_variance, settings.clip)
        if keep_path:
            path.append(Step(q, factor, value.of_output))
        velocity = [
            settings.momentum * speed + factor * gradient
            for speed, gradient in zip(velocity, (of_mean, of_log_variance), strict=True)
        ]
        moved = [part + settings.rate * speed for part, speed in zip(q, velocity, strict=True)]
        q = DiagonalGaussian(*moved)
    return Refined(q, path)


def refine_backward(
    along: Callable[[Tensor, Tensor, AtOutput], Slope],
    refined: Refined,
    noise: Tensor,
    gradient: DiagonalGaussian,
    settings: RefinementConfig,
    kl_weight: float = 1.0,
) -> DiagonalGaussian:
    """From the gradient of any function of q_K to its gradient in q_0, step by step from the last.

    Args:    along: (z, u, of_output) → the slope of log p(x|z) along u; whatever it adds up on the way, at each step
             once, is the same function's gradient in θ through that step. refined: with its path; gradient: in q_K.
    """
    of_q = gradient
    of_velocity = [torch.zeros_like(part) for part in gradient]
    for epsilon, (q, factor, of_output) in zip(
        reversed(noise.unbind(0)), reversed(refined.path), strict=True
    ):
        of_velocity = [speed + settings.rate * part for speed, part in zip(of_velocity, of_q, strict=True)]
        of_mean, of_log_variance = (factor * speed for speed in of_velocity)  # of g at this step
        spread = q.spread(epsilon)
        slope = along(q.at(epsilon), of_mean + spread * of_log_variance, of_output)
        # z has a second derivative in ℓ, ¼ e^{ℓ/2} ε, and so has the KL: 1 in m and ½ e^ℓ in ℓ.
        second = 0.5 * spread * slope.gradient - 0.5 * kl_weight * q.log_variance.exp()
        of_q = DiagonalGaussian(
            of_q.mean + slope.curvature - kl_weight * of_mean,
            of_q.log_variance + spread * slope.curvature + second * of_log_variance,
        )
        of_velocity = [settings.momentum * speed for speed in of_velocity]
    return of_q


def _clip_factor(of_mean: Tensor, of_log_variance: Tensor, bound: float) -> Tensor:
    """φ of each sentence [batch, 1]; bound 0: none."""
    if bound == 0:
        return torch.ones_like(of_mean[:, :1])
    norm = (of_mean.square().sum(-1) + of_log_variance.square().sum(-1)).sqrt()
    return (bound / norm).clamp_max(1.0).unsqueeze(-1)
