"""Annealed importance sampling, against closed forms: it is unbiased and bounds log p(x) from both sides."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch

from sritool.likelihood.ais import anneal, anneal_reverse, ladder
from support.targets import SPECTRA, standard_error

BATCH = 32


@pytest.mark.parametrize("curvatures", SPECTRA.values(), ids=SPECTRA.keys())
def test_bounds_from_both_sides(linear_gaussian: Callable[..., Any], curvatures: tuple[float, ...]) -> None:
    target, latent = linear_gaussian(curvatures, batch=BATCH), len(curvatures)
    examples = torch.arange(BATCH)
    torch.manual_seed(0)
    exact = target.posterior.sample()
    steps = ladder(target, examples, latent, torch.float64, rungs=60)
    lower = anneal(target, steps, examples, chains=8)
    upper = anneal_reverse(target, steps, exact, examples, chains=8)
    below, above = lower.log_likelihood - target.evidence, upper.log_likelihood - target.evidence
    # Bounds in the mean, and tight ones.
    assert -0.5 < float(below.mean()) < 4 * standard_error(below)
    assert -4 * standard_error(above) < float(above.mean()) < 0.5
    # Unbiased: E w = p(x) and E 1/w = 1/p(x), which a wrong weight or a wrong transition would break.
    ratio = (lower.log_weights - target.evidence).exp().mean(0)
    inverse = (target.evidence - upper.log_weights).exp().mean(0)
    assert abs(float(ratio.mean()) - 1) < 4 * standard_error(ratio)
    assert abs(float(inverse.mean()) - 1) < 4 * standard_error(inverse)
    assert standard_error(ratio) < 0.2, "too rough for the test to fail"
    assert standard_error(inverse) < 0.2
    for run in (lower, upper):
        assert float(run.acceptance.min()) > 0.5
        assert float(run.effective_sample_size.mean()) > 3


def test_ends_are_draws_of_the_posterior(linear_gaussian: Callable[..., Any]) -> None:
    target, latent = linear_gaussian(SPECTRA["sharp"], batch=8), 4
    steps = ladder(target, torch.arange(8), latent, torch.float64, rungs=40)
    found = anneal(target, steps, torch.arange(8), chains=200)
    root = torch.linalg.cholesky(target.posterior.covariance_matrix)
    white = torch.linalg.solve_triangular(
        root, (found.end - target.posterior.mean).permute(1, 2, 0), upper=False
    )
    weights = torch.softmax(found.log_weights, 0).t().unsqueeze(1)
    mean = (white * weights).sum(-1)
    assert float(mean.abs().max()) < 0.5
    variance = ((white - mean.unsqueeze(-1)).square() * weights).sum(-1)
    assert float((variance - 1).abs().max()) < 0.7
    assert float((variance - 1).mean().abs()) < 0.15


def test_exact_where_z_is_ignored(flat: Any) -> None:
    examples = torch.arange(3)
    steps = ladder(flat, examples, 6, torch.float64, rungs=5)
    lower = anneal(flat, steps, examples, chains=4)
    upper = anneal_reverse(flat, steps, torch.ones(3, 6, dtype=torch.float64), examples, chains=4)
    for run in (lower, upper):
        torch.testing.assert_close(run.log_likelihood, flat.values)
        torch.testing.assert_close(run.effective_sample_size, torch.full((3,), 4.0, dtype=torch.float64))


def test_float32_agrees_with_float64(linear_gaussian: Callable[..., Any]) -> None:
    target = linear_gaussian(SPECTRA["sharp"], batch=4)
    found = {}
    for dtype in (torch.float64, torch.float32):
        for name in ("matrices", "data", "identity"):
            setattr(target, name, getattr(target, name).to(dtype))
        steps = ladder(target, torch.arange(4), 4, dtype, rungs=30)
        run = anneal(target, steps, torch.arange(4), chains=4)
        found[dtype] = run.log_likelihood
        assert run.end.dtype == dtype
        assert run.log_weights.dtype == torch.float64, "hundreds of increments are summed"
    torch.testing.assert_close(found[torch.float32], found[torch.float64], rtol=0, atol=2e-2)
