"""Eq. (15) on a discrete toy that can be enumerated, and what the estimator may not do."""

from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor

from sritool.config.settings import LikelihoodConfig
from sritool.inference.langevin import log_prior
from sritool.likelihood.likelihood import adaptive_likelihood, weigh
from sritool.likelihood.proposal import StudentMixture
from sritool.model.random import Stream


def test_weighing_every_point_of_a_grid_is_quadrature() -> None:
    """Draws at every point of a fine grid with q uniform on it: Σ is the integral, exactly."""
    points = torch.linspace(-8, 8, 4001, dtype=torch.float64)
    log_q = torch.full((4001, 2), -math.log(16.0), dtype=torch.float64)
    z = points[:, None, None].expand(-1, 2, -1)
    variance = torch.tensor([0.5, 2.0], dtype=torch.float64)
    observed = torch.tensor([1.0, -0.5], dtype=torch.float64)
    conditional = torch.distributions.Normal(z.squeeze(-1), variance.sqrt()).log_prob(observed)
    found = weigh(conditional, z, log_q)
    evidence = torch.distributions.Normal(0.0, (1 + variance).sqrt()).log_prob(observed)
    torch.testing.assert_close(found.log_likelihood, evidence, rtol=1e-3, atol=0)
    posterior_mean, posterior_variance = observed / (1 + variance), variance / (1 + variance)
    expected = -0.5 * (
        math.log(2 * math.pi)
        + variance.log()
        + ((observed - posterior_mean) ** 2 + posterior_variance) / variance
    )
    torch.testing.assert_close(found.conditional, expected, rtol=1e-3, atol=0)


def test_weights_by_hand() -> None:
    log_conditional = torch.tensor([[1.0], [2.0], [0.5], [-1.0]], dtype=torch.float64)
    z = torch.tensor([[[0.1]], [[0.7]], [[-1.0]], [[2.0]]], dtype=torch.float64)
    log_q = torch.tensor([[-0.3], [-0.9], [-2.0], [-1.1]], dtype=torch.float64)
    weights = [
        math.exp(float(c) - float(q)) * math.exp(-0.5 * float(v) ** 2) / math.sqrt(2 * math.pi)
        for c, q, v in zip(log_conditional, log_q, z, strict=True)
    ]
    found = weigh(log_conditional, z, log_q)
    assert math.isclose(float(found.log_likelihood), math.log(sum(weights) / 4))
    assert math.isclose(float(found.log_likelihood_half), math.log(sum(weights[:2]) / 2))
    assert math.isclose(float(found.effective_sample_size), sum(weights) ** 2 / sum(w * w for w in weights))
    mean = sum(w * float(c) for w, c in zip(weights, log_conditional, strict=True)) / sum(weights)
    assert math.isclose(float(found.conditional), mean)


class TwoModes:
    """log p(x|z) with peaks at ±3 on the first axis, by autograd."""

    def log_likelihood(self, z: Tensor) -> Tensor:
        first = z[..., 0]
        return torch.logaddexp(-8 * (first - 3) ** 2, -8 * (first + 3) ** 2)

    def evaluate(self, z: Tensor) -> tuple[Tensor, Tensor]:
        with torch.enable_grad():
            z = z.detach().requires_grad_()
            value = self.log_likelihood(z)
            (gradient,) = torch.autograd.grad(value.sum(), z)
        return value.detach(), gradient

    def hessian(self, z: Tensor) -> Tensor:
        parts = [torch.autograd.functional.hessian(lambda code: -self.log_likelihood(code), row) for row in z]
        return torch.stack(parts)


def test_two_modes_are_both_found() -> None:
    """Starts on both sides: p(x) is the sum of both peaks, and one alone would miss ln 2."""
    starts = torch.tensor([[[2.0, 0.3]], [[-2.5, 0.1]]], dtype=torch.float64)
    config = LikelihoodConfig(samples=4000, pilots=500, rounds=2, modes=2)
    found = adaptive_likelihood(TwoModes(), starts, 0, torch.arange(1), config)
    axis = torch.linspace(-8, 8, 20_001, dtype=torch.float64)[:, None]
    width = float(axis[1] - axis[0])
    evidence = float((TwoModes().log_likelihood(axis) + log_prior(axis)).logsumexp(0)) + math.log(width)
    error = math.sqrt((4000 / float(found.effective_sample_size) - 1) / 4000)
    assert error < 0.1
    assert abs(float(found.log_likelihood) - evidence) < 5 * error


def test_pilots_are_thrown_away(monkeypatch: pytest.MonkeyPatch) -> None:
    """Every round has noise of its own, and the draws that are weighed have none of the pilots'."""
    asked: list[tuple[Stream, int]] = []
    original = StudentMixture.sample

    def spied(self: StudentMixture, stream: Stream, examples: Tensor, draws: int) -> Tensor:
        asked.append((stream, draws))
        return original(self, stream, examples, draws)

    monkeypatch.setattr(StudentMixture, "sample", spied)
    config = LikelihoodConfig(samples=70, pilots=30, rounds=2, modes=1)
    adaptive_likelihood(TwoModes(), torch.ones(1, 1, 2).double(), 5, torch.arange(1), config)
    assert [draws for _, draws in asked] == [30, 30, 70]
    assert len({stream for stream, _ in asked}) == 3
    assert {stream.seed for stream, _ in asked} == {5}
