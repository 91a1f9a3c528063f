"""The rate-distortion curve, against its closed form where p(x|z) is linear and Gaussian."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor
from torch.distributions import MultivariateNormal, kl_divergence

from sritool.likelihood.ais import anneal, ladder
from sritool.likelihood.rate_distortion import POINTS, curve_betas, rate_distortion
from support.targets import standard_error

BATCH = 24
SPECTRA = {"mild": (2.0, 0.5, 0.1), "sharp": (150.0, 20.0, 1.0, 0.0), "many": (60.0, 10.0, *([0.5] * 8))}


def closed_form(target: Any, beta: float) -> tuple[Tensor, Tensor]:
    """Rate and distortion of q_β ∝ p(z) p(x|z)^β, which is Gaussian: [batch] each."""
    curvature = target.matrices.mT @ target.matrices / target.variance
    precision = target.identity + beta * curvature
    pull = beta * (target.matrices.mT @ target.data.unsqueeze(-1)) / target.variance
    mean = torch.linalg.solve(precision, pull).squeeze(-1)
    q = MultivariateNormal(mean, precision_matrix=precision)
    rate = kl_divergence(q, MultivariateNormal(torch.zeros_like(mean), target.identity))
    spread = (curvature @ q.covariance_matrix).diagonal(dim1=-2, dim2=-1).sum(-1)
    return rate, -target.log_likelihood(mean) + 0.5 * spread


@pytest.mark.parametrize("largest", [1.0, 3.0])
@pytest.mark.parametrize("curvatures", SPECTRA.values(), ids=SPECTRA.keys())
def test_points_match_the_closed_form(
    linear_gaussian: Callable[..., Any], curvatures: tuple[float, ...], largest: float
) -> None:
    target, latent = linear_gaussian(curvatures, batch=BATCH), len(curvatures)
    examples = torch.arange(BATCH)
    found = rate_distortion(target, examples, latent, torch.float64, 80, 32, largest=largest)
    betas = curve_betas(largest)
    assert found.rate.shape == found.distortion.shape == (POINTS + 1, BATCH)
    assert bool((found.rate[0] == 0).all())
    for beta, rate, distortion in zip(betas.tolist(), found.rate, found.distortion, strict=True):
        true_rate, true_distortion = closed_form(target, beta)
        for estimate, truth in ((rate, true_rate), (distortion, true_distortion)):
            error = estimate - truth
            assert abs(float(error.mean())) < 4 * standard_error(error) + 0.02, beta
            # Nearer to the prior, the distortions of draws spread over hundreds of nats.
            assert beta < 0.3 or standard_error(error) < 0.4, "too rough for the test to fail"


def test_rough_runs_lie_above_the_curve(linear_gaussian: Callable[..., Any]) -> None:
    """R̂ + β D̂ = −log Ẑ is in the mean at least −log Z, the least that any q can have."""
    target, examples = linear_gaussian(SPECTRA["sharp"], batch=200), torch.arange(200)
    for rungs, chains in ((2, 1), (5, 2)):
        found = rate_distortion(target, examples, 4, torch.float64, rungs, chains)
        for beta, rate, distortion in zip(curve_betas().tolist(), found.rate, found.distortion, strict=True):
            true_rate, true_distortion = closed_form(target, beta)
            above = rate + beta * distortion - true_rate - beta * true_distortion
            assert float(above.mean()) > -4 * standard_error(above) - 1e-9
        assert float(above.mean()) > 4 * standard_error(above), "too good for the test to fail"


def test_last_point_is_the_likelihood_of_annealing(linear_gaussian: Callable[..., Any]) -> None:
    target, examples = linear_gaussian(SPECTRA["mild"], batch=4), torch.arange(4)
    found = rate_distortion(target, examples, 3, torch.float64, 30, 5)
    steps = ladder(target, examples, 3, torch.float64, 30, through=curve_betas()[1:-1])
    annealed = anneal(target, steps, examples, 5)
    torch.testing.assert_close(found.rate[-1] + found.distortion[-1], -annealed.log_likelihood)
    torch.testing.assert_close(found.effective_sample_size[-1], annealed.effective_sample_size)


def test_one_point_where_z_is_ignored(flat: Any) -> None:
    found = rate_distortion(flat, torch.arange(3), 6, torch.float64, 5, 4)
    torch.testing.assert_close(found.rate, torch.zeros_like(found.rate), rtol=0, atol=1e-9)
    torch.testing.assert_close(found.distortion, (-flat.values).expand_as(found.distortion))


@pytest.mark.parametrize("largest", [0.5, 1.0, 1.7, 8.0, 400.0])
def test_betas_ascend_and_include_1(largest: float) -> None:
    betas = curve_betas(largest)
    assert (betas[0], betas[-1], len(betas)) == (0.0, largest, POINTS + 1)
    assert bool((betas.diff() > 0).all())
    assert largest < 1 or bool((betas == 1.0).any())
