"""The preconditioned chain, against Gaussian closed forms and the plain chain in whitened coordinates."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
import torch
from torch import Tensor

from sritool.config.samplers import SAMPLERS
from sritool.config.settings import SamplerConfig
from sritool.config.values import build
from sritool.inference.chain_density import chain_density
from sritool.inference.langevin import Dynamics, draw_noise, evaluated, log_joint_of, log_prior, short_run
from sritool.inference.preconditioner import Preconditioner
from sritool.inference.step_size import measure_schedule
from sritool.likelihood.chain_likelihood import kl_on_the_prior
from sritool.model.random import Stream

PRESET = build(SamplerConfig, SAMPLERS["preconditioned"]["sampler"])
CONDITIONS = (2.0, 10.0, 50.0, 400.0)


def root_of(matrix: Tensor) -> Tensor:
    """L of (I + F)⁻¹ for one F [latent, latent]."""
    made = Preconditioner(len(matrix)).double()
    made.fisher.copy_(matrix)
    return made.root()


def moments(
    target: Any, sizes: list[float], root: Tensor | None, exponential: bool = False
) -> tuple[Tensor, Tensor]:
    """Mean [batch, latent] and covariance of q_s(z_K|x) at temperature 1."""
    aim, precision = target.posterior.mean, target.precision[0]
    mean, covariance = torch.zeros_like(aim), target.identity
    scale = target.identity if root is None else root @ root.T
    for size in sizes:
        step = target.identity - size * scale @ precision
        mean = aim + (mean - aim) @ step.T
        variance = 1 - (1 - size) ** 2 if exponential else 2 * size
        covariance = step @ covariance @ step.T + variance * scale
    return mean, covariance


def distance(target: Any, sizes: list[float], root: Tensor | None, exponential: bool = False) -> float:
    """KL(q_s(z_K|x) ‖ p(z|x)) in nats, the mean over sentences."""
    mean, covariance = moments(target, sizes, root, exponential)
    precision, away = target.precision[0], mean - target.posterior.mean
    product = precision @ covariance
    of_covariance = product.trace() - len(product) - torch.linalg.slogdet(product).logabsdet
    return float(0.5 * (of_covariance + ((away @ precision) * away).sum(-1).mean()))


def same_precision(linear_gaussian: Callable[..., Any], condition: float, batch: int = 16) -> Any:
    """Sentences with the same posterior covariance and curvatures from 1 to the condition number."""
    target = linear_gaussian((condition - 1, (condition - 1) / 4, 0.0), batch=batch)
    target.matrices = target.matrices[:1].expand(batch, -1, -1)
    noise = Stream(5, "data").normal(torch.arange(batch), 6, dtype=torch.float64)
    clean = (target.matrices @ noise[:, :3].unsqueeze(-1)).squeeze(-1)
    target.data = clean + math.sqrt(target.variance) * noise[:, 3:]
    return target


def test_running_fisher_matches_the_model(linear_gaussian: Callable[..., Any]) -> None:
    """Over sentences from the model, scores at posterior draws have the covariance AᵀA / variance."""
    target = same_precision(linear_gaussian, 10.0, batch=64)
    root = target.posterior.scale_tril
    # The posterior mean is this times x.
    of_data = torch.linalg.inv(target.precision) @ target.matrices.mT / target.variance
    kept = Preconditioner(3).double()
    for update in range(200):
        draw = Stream(update, "model").normal(torch.arange(64), 9, dtype=torch.float64)
        clean = (target.matrices @ draw[:, :3].unsqueeze(-1)).squeeze(-1)
        target.data = clean + math.sqrt(target.variance) * draw[:, 3:6]
        mean = (of_data @ target.data.unsqueeze(-1)).squeeze(-1)
        z = mean + (root @ draw[:, 6:].unsqueeze(-1)).squeeze(-1)
        scores = target.evaluate(z)[1]
        kept.update(scores.T @ scores, len(scores))
    fisher = target.precision[0] - target.identity
    assert float((kept.fisher - fisher).norm() / fisher.norm()) < 0.1
    covariance = kept.root() @ kept.root().T
    expected = torch.linalg.inv(target.precision[0])
    assert float((covariance - expected).norm() / expected.norm()) < 0.1


@pytest.mark.parametrize("exponential", [False, True])
@pytest.mark.parametrize("condition", CONDITIONS)
def test_chain_has_the_moments_of_the_closed_form(
    linear_gaussian: Callable[..., Any], condition: float, exponential: bool
) -> None:
    target = same_precision(linear_gaussian, condition)
    root, sizes, chains = root_of(target.precision[0] - target.identity), PRESET.schedule(), 600
    noise = draw_noise(Stream(1, "chain"), torch.arange(16), range(chains), len(sizes), 3, torch.float64)
    dynamics = Dynamics(sizes, root=root, exponential=exponential)
    chain = short_run(log_joint_of(target), noise.start, noise.steps, dynamics)
    mean, covariance = moments(target, sizes, root, exponential)
    white = torch.linalg.solve(torch.linalg.cholesky(covariance), (chain.end - mean).unsqueeze(-1)).squeeze(
        -1
    )
    count = chains * 16
    assert float(white.mean((0, 1)).abs().max()) < 5 / math.sqrt(count)
    spread = white.flatten(0, 1).T @ white.flatten(0, 1) / count
    assert float((spread - target.identity).abs().max()) < 5 * math.sqrt(2 / count)


@pytest.mark.parametrize("condition", CONDITIONS)
def test_preset_ends_nearer_than_other_schedules(
    linear_gaussian: Callable[..., Any], condition: float
) -> None:
    """Nearer than published schedules, and than as many constant steps of the size best for this posterior."""
    target = same_precision(linear_gaussian, condition)
    ours = distance(target, PRESET.schedule(), root_of(target.precision[0] - target.identity))
    sizes = [1.9 / condition * k / 40 for k in range(1, 40)]
    assert ours < min(distance(target, [size] * PRESET.steps, None) for size in sizes)
    for name in ("paper", "authors"):
        published = build(SamplerConfig, SAMPLERS[name]["sampler"]).schedule()
        assert ours < distance(target, published, None), name


class Whitened:
    """The target of u = L⁻¹ z, so that its joint density is the other's at L u."""

    def __init__(self, target: Any, root: Tensor) -> None:
        self.target, self.root = target, root

    def log_likelihood(self, u: Tensor) -> Tensor:
        z = u @ self.root.T
        return self.target.log_likelihood(z) + log_prior(z) - log_prior(u)

    def evaluate(self, u: Tensor) -> tuple[Tensor, Tensor]:
        gradient = self.target.evaluate(u @ self.root.T)[1] - u @ self.root.T
        return self.log_likelihood(u), gradient @ self.root + u

    def hessian(self, u: Tensor) -> Tensor:
        curvature = self.target.hessian(u @ self.root.T) + torch.eye(len(self.root)).to(u.dtype)
        return self.root.T @ curvature @ self.root - torch.eye(len(self.root)).to(u.dtype)


@pytest.mark.parametrize("seed", [0, 1])
@pytest.mark.parametrize("exponential", [False, True])
def test_equals_the_plain_chain_in_whitened_coordinates(
    linear_gaussian: Callable[..., Any], exponential: bool, seed: int
) -> None:
    """Ends, densities, folds, stability and acceptance agree for an asymmetric root other than the posterior's."""
    target, sizes = linear_gaussian((9.0, 3.0, 0.5), batch=5, seed=seed), [0.5, 0.3, 0.2]
    root = torch.tensor([[0.5, 0.0, 0.0], [0.2, 0.9, 0.0], [-0.3, 0.1, 1.1]], dtype=torch.float64)
    noise = draw_noise(Stream(seed, "noise"), torch.arange(5), range(40), 3, 3, torch.float64)
    plain = Whitened(target, root)
    white = noise._replace(start=torch.linalg.solve(root, noise.start.mT).mT)

    dynamics = Dynamics(sizes, 0.7, root, exponential)
    without = dynamics._replace(root=None)
    chain = short_run(log_joint_of(target), noise.start, noise.steps, dynamics, keep_path=True)
    other = short_run(log_joint_of(plain), white.start, white.steps, without, keep_path=True)
    torch.testing.assert_close(chain.end, other.end @ root.T)
    # Without log p(z_0), which is a density of z in one chain and of u in the other.
    stretched = [
        log_prior(one.start) - chain_density(t, one).log_density
        for t, one in ((target, chain), (plain, other))
    ]
    torch.testing.assert_close(*stretched)

    ours = measure_schedule(target, noise, dynamics)
    theirs = measure_schedule(plain, white, without)
    for field in ("entropy_given_noise", "folded", "unstable", "acceptance"):
        torch.testing.assert_close(getattr(ours, field), getattr(theirs, field), msg=field)
    assert 0 < float(ours.acceptance.mean()) < 1


def test_exponential_steps_are_always_accepted(
    linear_gaussian: Callable[..., Any],
) -> None:
    """If P is the posterior's covariance, the exponential step is reversible, so a Metropolis test always accepts."""
    target = same_precision(linear_gaussian, 10.0, batch=4)
    root = root_of(target.precision[0] - target.identity)
    noise = draw_noise(Stream(0, "noise"), torch.arange(4), range(20), 3, 3, torch.float64)
    dynamics = Dynamics([0.9, 0.5, 0.3], 1.0, root, exponential=True)
    found = measure_schedule(target, noise, dynamics)
    torch.testing.assert_close(found.acceptance, torch.ones_like(found.acceptance))
    euler = measure_schedule(target, noise, dynamics._replace(exponential=False))
    assert float(euler.acceptance.max()) < 0.99


def test_density_matches_autograd_of_the_chain(linear_gaussian: Callable[..., Any]) -> None:
    """The determinant of ∂z_K/∂z_0 by autograd."""
    target, sizes = linear_gaussian((6.0, 2.0), batch=1), [0.4, 0.3]
    root = root_of(torch.tensor([[3.0, 1.0], [1.0, 2.0]], dtype=torch.float64))
    noise = draw_noise(Stream(0, "noise"), torch.arange(1), [0], 2, 2, torch.float64)

    def end(start: Tensor) -> Tensor:
        z = start
        for size, epsilon in zip(sizes, noise.steps[:, 0, 0], strict=True):
            slope = -target.precision[0] @ (z - target.posterior.mean[0])
            z = z + size * root @ root.T @ slope + 0.7 * math.sqrt(2 * size) * root @ epsilon
        return z

    start = noise.start[0]
    dynamics = Dynamics(sizes, 0.7, root)
    chain = short_run(log_joint_of(target), start, noise.steps[:, 0], dynamics, keep_path=True)
    torch.testing.assert_close(chain.end[0], end(start[0]))
    jacobian = torch.autograd.functional.jacobian(end, start[0])
    expected = log_prior(start) - torch.linalg.slogdet(jacobian).logabsdet
    torch.testing.assert_close(chain_density(target, chain).log_density, expected)


def check_contraction(flat: Any, sampler: SamplerConfig, root: Tensor) -> None:
    """Where z is ignored, the chain's KL given the noise is the closed form of the contraction."""
    noise = draw_noise(Stream(0, "noise"), torch.arange(3), range(400), sampler.steps, 4, root.dtype)
    dynamics = evaluated(sampler, root)
    chain = short_run(log_joint_of(flat), noise.start, noise.steps, dynamics, keep_path=True)
    kl = chain_density(flat, chain).log_density - log_prior(chain.end)
    error = float(kl.std()) / math.sqrt(kl.numel())
    assert math.isfinite(error)
    assert abs(float(kl.mean()) - kl_on_the_prior(dynamics, 4)) < 5 * error


@pytest.mark.parametrize("exponential", [False, True])
def test_contraction_matches_its_closed_form(flat: Any, exponential: bool) -> None:
    root = root_of(torch.diag(torch.tensor([9.0, 3.0, 1.0, 0.0], dtype=torch.float64)))
    check_contraction(flat, replace(PRESET, exponential=exponential), root)


def test_step_that_forgets_its_start_stays_finite(flat: Any) -> None:
    """With P = I, a step of 1 leaves nothing of z but float32 rounding."""
    sampler = build(SamplerConfig, SAMPLERS["exponential"]["sampler"])
    assert sampler.step_sizes[0] == 1
    check_contraction(flat, sampler, torch.eye(4))
