"""The diagonal Gaussian against torch.distributions."""

from __future__ import annotations

import torch
from torch.distributions import Independent, Normal, kl_divergence

from sritool.model.gaussian import DiagonalGaussian
from sritool.model.random import Stream

MEAN = torch.tensor([[0.5, -2.0, 0.0], [3.0, 0.1, -1.0]], dtype=torch.float64)
LOG_VARIANCE = torch.tensor([[-3.0, 1.0, 0.0], [0.2, -6.0, 2.0]], dtype=torch.float64)
Q = DiagonalGaussian(MEAN, LOG_VARIANCE)
KNOWN = Independent(Normal(MEAN, (0.5 * LOG_VARIANCE).exp()), 1)


def test_density_and_kl() -> None:
    z = torch.randn(7, 2, 3, generator=torch.Generator().manual_seed(0)).double()
    torch.testing.assert_close(Q.log_density(z), KNOWN.log_prob(z))
    prior = Independent(Normal(torch.zeros_like(MEAN), torch.ones_like(MEAN)), 1)
    torch.testing.assert_close(Q.kl_to_prior(), kl_divergence(KNOWN, prior))


def test_draws_have_its_moments_and_follow_their_example() -> None:
    examples, stream = torch.tensor([4, 9]), Stream(1, "weighed")
    z = Q.sample(stream, examples, 20_000)
    deviation = (0.5 * LOG_VARIANCE).exp()
    assert float(((z.mean(0) - MEAN) / deviation).abs().max()) < 0.03
    assert float((z.std(0) / deviation - 1).abs().max()) < 0.03
    alone = DiagonalGaussian(MEAN[1:], LOG_VARIANCE[1:]).sample(stream, examples[1:], 5)
    torch.testing.assert_close(alone, z[:5, 1:])


def test_gradient_of_the_kl() -> None:
    q = DiagonalGaussian(MEAN.clone().requires_grad_(), LOG_VARIANCE.clone().requires_grad_())
    expected = torch.autograd.grad(q.kl_to_prior().sum(), list(q))
    for found, slope in zip(Q.kl_gradient(), expected, strict=True):
        torch.testing.assert_close(found, slope)
