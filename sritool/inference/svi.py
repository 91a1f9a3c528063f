"""Stochastic variational inference of a sentence's q(z|x) from an encoder's, and its exact gradient.

K steps of ascent with momentum on a sentence's own ELBO, with fresh noise ε_k in each:

    z_k = m + e^{ℓ/2} ε_k,   g = ∇_{m,ℓ} [ log p(x|z_k) − w·KL(N(m, e^ℓ) ‖ N(0, I)) ],
    v ← momentum·v + φ·g,    (m, ℓ) ← (m, ℓ) + rate·v,

where φ ≤ 1 brings the norm of g under a bound. Each sentence has its own φ, so no q depends on the rest of the batch.
The settings can ask for the published bound instead: it limits the gradient of the batch's mean, separately for means
and log-variances. No derivative goes through φ.

Source: Kim, Wiseman, Miller, Sontag and Rush 2018, algorithm 1. Their code takes second derivatives by finite
differences.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import NamedTuple

import torch
from torch import Tensor

from sritool.config.settings import RefinementConfig
from sritool.model.gaussian import DiagonalGaussian


class Step(NamedTuple):
    """What the backward pass needs of one step."""

    q: DiagonalGaussian  # before it
    factors: Sequence[Tensor]  # φ of mean and of log-variance  [batch or 1, 1]
    gradient: Tensor  # ∇_z log p(x|z_k)  [batch, latent]


class Refined(NamedTuple):
    """q_K, and the steps to it, for `refine_backward`."""

    q: DiagonalGaussian
    path: list[Step]


def refine(
    evaluate: Callable[[Tensor], tuple[Tensor, Tensor]],
    start: DiagonalGaussian,
    noise: Tensor,
    settings: RefinementConfig,
    kl_weight: float = 1.0,
    mean_norm: Callable[[Tensor], Tensor] | None = None,
) -> Refined:
    """Climb the ELBO from q_0, one step for each noise ε [steps, batch, latent].

    Noise 0 and weight 0 leave the log-variance as it is, and the mean climbs log p(x|z) alone.

    `mean_norm` maps a gradient [batch, latent] to the norm of its
    mean over the whole batch; None: this batch is the whole.
    """
    mean_norm = mean_norm or _mean_norm
    q, path = start, []
    velocity = [torch.zeros_like(part) for part in start]
    for epsilon in noise:
        spread = q.spread(epsilon)
        _, gradient = evaluate(q.at(epsilon))
        of_kl = q.kl_gradient()
        of_mean = gradient - kl_weight * of_kl.mean
        slopes = (of_mean, spread * gradient - kl_weight * of_kl.log_variance)
        factors = _clip_factors(slopes, settings, mean_norm)
        path.append(Step(q, factors, gradient))
        velocity = [
            settings.momentum * speed + factor * slope
            for speed, factor, slope in zip(velocity, factors, slopes, strict=True)
        ]
        moved = [part + settings.rate * speed for part, speed in zip(q, velocity, strict=True)]
        q = DiagonalGaussian(*moved)
    return Refined(q, path)


def refine_backward(
    curvature: Callable[[Tensor, Tensor], Tensor],
    refined: Refined,
    noise: Tensor,
    gradient: DiagonalGaussian,
    settings: RefinementConfig,
    kl_weight: float = 1.0,
) -> DiagonalGaussian:
    """Return the gradient in q_0 of any function of q_K, from its gradient in q_K, step by step from the last.

    Noise, settings and weight are those that `refine` was given. `curvature` is
    (z, u) → ∇²_z log p(x|z) · u, all [batch, latent], and is called once per step. If it also adds up the gradients
    in θ of the slope of log p(x|z) along u, it gets the function's gradient in θ through the steps.
    """
    of_q = gradient
    of_velocity = [torch.zeros_like(part) for part in gradient]
    for epsilon, step in zip(reversed(noise.unbind(0)), reversed(refined.path), strict=True):
        q = step.q
        of_velocity = [speed + settings.rate * part for speed, part in zip(of_velocity, of_q, strict=True)]
        pairs = zip(step.factors, of_velocity, strict=True)
        of_mean, of_log_variance = (factor * speed for factor, speed in pairs)  # of g at this step
        spread = q.spread(epsilon)
        curved = curvature(q.at(epsilon), of_mean + spread * of_log_variance)
        # z has a second derivative in ℓ, ¼ e^{ℓ/2} ε, and so has the KL: 1 in m and ½ e^ℓ in ℓ.
        second = 0.5 * spread * step.gradient - 0.5 * kl_weight * q.log_variance.exp()
        of_q = DiagonalGaussian(
            of_q.mean + curved - kl_weight * of_mean,
            of_q.log_variance + spread * curved + second * of_log_variance,
        )
        of_velocity = [settings.momentum * speed for speed in of_velocity]
    return of_q


def _clip_factors(
    gradient: tuple[Tensor, Tensor], settings: RefinementConfig, mean_norm: Callable[[Tensor], Tensor]
) -> list[Tensor]:
    """φ of the mean's and of the log-variance's gradient, [batch, 1], or [1, 1] for a whole batch."""
    if settings.clip == 0:
        return [torch.ones_like(gradient[0][:, :1])] * 2
    if settings.clip_over == "batch":
        return [(settings.clip / mean_norm(part)).clamp_max(1.0).view(1, 1) for part in gradient]
    norm = (gradient[0].square().sum(-1) + gradient[1].square().sum(-1)).sqrt()
    return [(settings.clip / norm).clamp_max(1.0).unsqueeze(-1)] * 2


def _mean_norm(gradient: Tensor) -> Tensor:
    norm: Tensor = (gradient / len(gradient)).square().sum().sqrt()
    return norm
