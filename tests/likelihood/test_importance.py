"""Likelihood figures, against weights written down by hand and against quadrature."""

from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor

from sritool.inference.langevin import log_prior
from sritool.likelihood.importance import (
    CURVE,
    LikelihoodFigures,
    WeightedDraws,
    draw,
    estimate_posterior_kl,
    likelihood_figures,
    log_mean_weight,
    resample,
)
from sritool.model.random import Stream

WEIGHTS = torch.tensor([[2.0, 1.0], [4.0, 1.0], [1.0, 1.0], [1.0, 5.0], *[[0.5, 2.0]] * 4]).double()
SIGNS = torch.tensor([[1.0, 1.0], [-1.0, 1.0], [1.0, 1.0], [1.0, -1.0], *[[1.0, 1.0]] * 4]).double()
CONDITIONAL = torch.arange(16.0, dtype=torch.float64).view(8, 2)


def drawn(**fields: torch.Tensor) -> WeightedDraws:
    z = torch.arange(8.0, dtype=torch.float64)[:, None, None].expand(8, 2, 3)
    return WeightedDraws(z, CONDITIONAL, WEIGHTS.log() - 40, **fields)


class Given:
    """A target and a proposal with given z, log p(x|z) and log q(z)."""

    def __init__(self, z: Tensor, log_conditional: Tensor, log_q: Tensor) -> None:
        self.z, self.log_conditional, self.log_q = z, log_conditional, log_q

    def sample(self, *given: object) -> Tensor:
        return self.z

    def log_density(self, z: Tensor) -> Tensor:
        return self.log_q

    def log_likelihood(self, z: Tensor) -> Tensor:
        return self.log_conditional

    def figures(self) -> LikelihoodFigures:
        draws, batch, _ = self.z.shape
        return likelihood_figures(draw(self, self, Stream(0, "any"), torch.arange(batch), draws))  # type: ignore[arg-type]


def test_weights_on_a_grid_are_quadrature() -> None:
    """With draws at every point of a fine grid and q uniform on it, the sum is the integral."""
    points = torch.linspace(-8, 8, 4001, dtype=torch.float64)
    log_q = torch.full((4001, 2), -math.log(16.0), dtype=torch.float64)
    z = points[:, None, None].expand(-1, 2, -1)
    variance = torch.tensor([0.5, 2.0], dtype=torch.float64)
    observed = torch.tensor([1.0, -0.5], dtype=torch.float64)
    conditional = torch.distributions.Normal(z.squeeze(-1), variance.sqrt()).log_prob(observed)
    found = Given(z, conditional, log_q).figures()
    evidence = torch.distributions.Normal(0.0, (1 + variance).sqrt()).log_prob(observed)
    torch.testing.assert_close(found.log_likelihood, evidence, rtol=1e-3, atol=0)
    posterior_mean, posterior_variance = observed / (1 + variance), variance / (1 + variance)
    expected = -0.5 * (
        math.log(2 * math.pi)
        + variance.log()
        + ((observed - posterior_mean) ** 2 + posterior_variance) / variance
    )
    plain = found.posterior_kl - found.posterior_kl_correction
    torch.testing.assert_close(plain, expected - evidence, rtol=1e-3, atol=1e-3)


def test_weights_are_joint_over_proposal() -> None:
    z = torch.tensor([[[0.1]], [[0.7]], [[-1.0]], [[2.0]]], dtype=torch.float64)
    given = Given(
        z, torch.tensor([[1.0], [2.0], [0.5], [-1.0]]), torch.tensor([[-0.3], [-0.9], [-2.0], [-1.1]])
    )
    weights = (given.log_conditional.double() + log_prior(z) - given.log_q).exp()
    found = given.figures()
    torch.testing.assert_close(found.log_likelihood, weights.mean(0).log())
    torch.testing.assert_close(found.log_likelihood_curve[:, -2], weights[:2].mean(0).log())
    mean = (weights * given.log_conditional).sum(0) / weights.sum(0)
    plain = found.posterior_kl - found.posterior_kl_correction
    torch.testing.assert_close(plain, mean - found.log_likelihood)


def test_figures_are_means_of_the_first_draws() -> None:
    found = likelihood_figures(drawn())
    for column, part in enumerate(CURVE):
        first = WEIGHTS[: 8 // part]
        evidence = first.mean(0).log() - 40
        torch.testing.assert_close(found.log_likelihood_curve[:, column], evidence)
        expected, _ = estimate_posterior_kl(first.log() - 40, CONDITIONAL[: 8 // part])
        torch.testing.assert_close(found.posterior_kl_curve[:, column], expected)
    expected = WEIGHTS.sum(0).square() / WEIGHTS.square().sum(0)
    torch.testing.assert_close(found.effective_sample_size, expected)
    for unknown in (found.sign_ratio, found.folded_share, found.log_likelihood_signed):
        assert bool(unknown.isnan().all())


@pytest.mark.parametrize(
    ("draws", "share", "bound"),
    [
        (100, 0.5, 0.005),
        (100, 0.2, 0.01),
        (100, 0.1, 0.03),
        (100, 0.05, 0.08),
        (10, 0.7, 0.005),
        (6, 0.7, 0.008),
    ],
)
def test_posterior_kl_with_uneven_weights(draws: int, share: float, bound: float) -> None:
    """Lognormal weights of draws of the prior, with an effective size of this share of all."""
    variance = -math.log(share)
    normal = torch.randn(draws, 20_000, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    log_weights = math.sqrt(variance) * normal
    found, correction = estimate_posterior_kl(log_weights, log_weights)
    error = float(found.mean()) - variance / 2
    assert abs(error) < bound
    assert abs(error) < abs(error - float(correction.mean())) / 2, "no better than without the correction"


def test_posterior_kl_of_fewer_than_four_draws() -> None:
    log_weights, conditional = torch.tensor([[0.0], [1.0]]), torch.tensor([[-1.0], [-2.0]])
    found, correction = estimate_posterior_kl(log_weights, conditional)
    assert float(correction) == 0
    share = 1 / (1 + math.e)
    assert float(found) == pytest.approx(-share - 2 * (1 - share) - math.log((1 + math.e) / 2), rel=1e-5)


def test_signed_and_absolute_weights() -> None:
    found = likelihood_figures(drawn(sign=SIGNS, folded=torch.full((8, 2), 0.25).double()))
    torch.testing.assert_close(found.log_likelihood, WEIGHTS.mean(0).log() - 40)
    signed = (WEIGHTS * SIGNS).mean(0)
    torch.testing.assert_close(found.log_likelihood_signed, signed.log() - 40)
    torch.testing.assert_close(found.sign_ratio, signed / WEIGHTS.mean(0))
    assert found.folded_share.tolist() == [0.25, 0.25]


def test_cancelling_weights_give_minus_infinity() -> None:
    found = log_mean_weight(torch.zeros(4, 1), torch.tensor([[1.0], [-1.0], [-1.0], [-1.0]]))
    assert found.tolist() == [-math.inf]


def test_resampling_is_proportional_to_weight() -> None:
    one = WeightedDraws(*(tensor[:, :1].expand(-1, 4000, *tensor.shape[2:]) for tensor in drawn()[:3]))
    code, conditional = resample(one, 3, torch.arange(4000))
    share = torch.bincount(code[:, 0].long(), minlength=8) / 4000
    torch.testing.assert_close(share.double(), WEIGHTS[:, 0] / WEIGHTS[:, 0].sum(), atol=0.03, rtol=0)
    torch.testing.assert_close(conditional, CONDITIONAL[code[:, 0].long(), 0])
    again, _ = resample(one, 3, torch.arange(4000).flip(0))
    assert torch.equal(again.flip(0), code)
