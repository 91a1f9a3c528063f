"""The chain as a pure function: eq. (7), its trace, and its moments on a Gaussian target."""

from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor

from sritool.inference.langevin import (
    Dynamics,
    langevin_step,
    log_prior,
    noiseless_moves,
    short_run,
    whitened,
)
from sritool.model.random import Stream

PRECISION = torch.tensor([[3.0, 0.8], [0.8, 1.5]], dtype=torch.float64)
CENTRE = torch.tensor([0.7, -1.2], dtype=torch.float64)
STEPS = (0.2, 0.1, 0.05, 0.05, 0.05)


def gaussian(z: Tensor, step: int) -> tuple[Tensor, Tensor]:
    """log N(z; CENTRE, PRECISION⁻¹) up to a constant, by autograd."""
    z = z.detach().requires_grad_()
    centred = z - CENTRE
    value = -0.5 * torch.einsum("...i,ij,...j->...", centred, PRECISION, centred)
    (gradient,) = torch.autograd.grad(value.sum(), z)
    return value.detach(), gradient


def draws(batch: int) -> tuple[Tensor, Tensor]:
    flat = Stream(0, "chain").normal(torch.arange(batch), (len(STEPS) + 1) * 2, dtype=torch.float64)
    flat = flat.view(batch, len(STEPS) + 1, 2)
    return flat[:, 0], flat[:, 1:].transpose(0, 1)


def test_one_step_follows_equation_7() -> None:
    z, gradient, noise = torch.tensor([[1.0, 2.0]]), torch.tensor([[0.5, -1.0]]), torch.tensor([[2.0, 3.0]])
    after = langevin_step(z, gradient, 0.08, noise, Dynamics((0.08,), 0.5).noise_scales[0])
    torch.testing.assert_close(
        after, torch.tensor([[1.0 + 0.04 + 0.4, 2.0 - 0.08 + 0.6]])
    )  # √0.16 · 0.5 = 0.2
    assert torch.equal(z, torch.tensor([[1.0, 2.0]])), "the argument was overwritten"


@pytest.mark.parametrize("temperature", [0.0, 0.3, 1.0])
def test_mean_and_covariance_on_a_gaussian_target(temperature: float) -> None:
    start, noise = draws(40_000)
    chain = short_run(gaussian, start, noise, Dynamics(STEPS, temperature))
    identity = torch.eye(2, dtype=torch.float64)
    mean, covariance = torch.zeros(2, dtype=torch.float64), identity
    for step in STEPS:
        contraction = identity - step * PRECISION
        mean = CENTRE + contraction @ (mean - CENTRE)
        covariance = contraction @ covariance @ contraction + 2 * step * temperature**2 * identity
    found = torch.cov(chain.end.t())
    error = torch.sqrt(covariance.diagonal() / len(start))
    assert float(((chain.end.mean(0) - mean) / error).abs().max()) < 5
    spread = torch.sqrt(
        (covariance.diagonal()[:, None] * covariance.diagonal()[None] + covariance**2) / len(start)
    )
    assert float(((found - covariance) / spread).abs().max()) < 5


def test_trace_holds_the_visited_points() -> None:
    start, noise = draws(6)
    chain = short_run(gaussian, start, noise, Dynamics(STEPS, 0.4), keep_path=True)
    plain = short_run(gaussian, start, noise, Dynamics(STEPS, 0.4))
    assert plain.path is None
    assert plain.log_joint is None
    assert chain.path is not None
    assert chain.log_joint is not None
    assert torch.equal(chain.end, plain.end)
    assert torch.equal(chain.path[0], start)
    assert torch.equal(chain.path[-1], chain.end)
    assert chain.path.shape == (len(STEPS) + 1, 6, 2)
    for k, step in enumerate(STEPS):
        value, gradient = gaussian(chain.path[k], k)
        torch.testing.assert_close(chain.log_joint[k], value)
        moved = chain.path[k] + step * gradient
        torch.testing.assert_close(noiseless_moves(chain)[k], moved)
        torch.testing.assert_close(
            chain.path[k + 1], moved + 0.4 * math.sqrt(2 * step) * noise[k], rtol=1e-12, atol=1e-12
        )


@pytest.mark.parametrize("size", [0.05, 0.6, 1.0])
@pytest.mark.parametrize("temperature", [0.5, 1.0])
def test_exponential_integrator_keeps_the_posterior(size: float, temperature: float) -> None:
    """From draws of N(CENTRE, τ² P), P = PRECISION⁻¹, it ends at such draws; with s = 1 at independent ones."""
    root = torch.linalg.cholesky(torch.linalg.inv(PRECISION))
    start, noise = draws(40_000)
    drawn = CENTRE + temperature * start @ root.T
    dynamics = Dynamics((size,) * 5, temperature, root, exponential=True)
    chain = short_run(gaussian, drawn, noise, dynamics, keep_path=True)
    expected = temperature**2 * torch.linalg.inv(PRECISION)
    error = torch.sqrt(expected.diagonal() / len(start))
    assert float(((chain.end.mean(0) - CENTRE) / error).abs().max()) < 5
    spread = torch.sqrt((expected.diagonal()[:, None] * expected.diagonal() + expected**2) / len(start))
    assert float(((torch.cov(chain.end.t()) - expected) / spread).abs().max()) < 5
    both = torch.cov(torch.cat((drawn, chain.end), 1).t())[:2, 2:]  # of start and end
    kept = (1 - size) ** 5
    assert float(((both - kept * expected) / spread).abs().max()) < 5
    moved = (1 - size) * chain.path[:-1] + size * CENTRE
    torch.testing.assert_close(noiseless_moves(chain), moved)


def test_truncated_step_keeps_its_direction() -> None:
    root = torch.linalg.cholesky(torch.linalg.inv(PRECISION))
    start, noise = draws(50)
    far = CENTRE + 3.0 * start
    one = Dynamics((0.7,), 0.0, root)
    free, cut = (
        whitened(noiseless_moves(short_run(gaussian, far, noise[:1], each, keep_path=True))[0] - far, root)
        for each in (one, one._replace(truncation=2.0))
    )
    lengths, bound = free.norm(dim=-1), 0.7 * 2.0 * math.sqrt(2)
    assert 0 < int((lengths > bound).sum()) < 50
    expected = free * (bound / lengths).clamp_max(1.0)[:, None]
    torch.testing.assert_close(cut, expected, rtol=1e-12, atol=1e-12)


def test_integrators_agree_for_small_steps() -> None:
    euler = Dynamics((1e-6, 0.5), 0.7)
    (small, large), (own_small, own_large) = euler.noise_scales, euler._replace(exponential=True).noise_scales
    assert own_small == pytest.approx(small, rel=1e-6)
    assert own_large < large


def test_step_numbers_and_leading_dimensions() -> None:
    seen: list[int] = []

    def watched(z: Tensor, step: int) -> tuple[Tensor, Tensor]:
        seen.append(step)
        return gaussian(z, step)

    start, noise = draws(6)
    flat = short_run(watched, start, noise, Dynamics(STEPS))
    assert seen == [0, 1, 2, 3, 4]
    stacked = short_run(gaussian, start.view(2, 3, 2), noise.view(-1, 2, 3, 2), Dynamics(STEPS))
    assert torch.equal(stacked.end.view(6, 2), flat.end)


def test_log_prior_is_the_standard_normal() -> None:
    z = torch.randn(4, 5, 3, generator=torch.Generator().manual_seed(0)).double()
    expected = torch.distributions.Normal(0.0, 1.0).log_prob(z).sum(-1)
    torch.testing.assert_close(log_prior(z), expected)
