"""The densities of `benchmarks.fitted_prior`, against numerical integration."""

import pytest
import torch

from benchmarks.fitted_prior import PRIORS


@pytest.mark.parametrize("name", list(PRIORS))
def test_density_integrates_to_one(name: str) -> None:
    """On a two-dimensional grid, for densities fitted to draws around two centres."""
    generator = torch.Generator().manual_seed(0)
    noise = torch.randn(400, 4, 2, generator=generator, dtype=torch.float64)
    side = torch.where(torch.arange(400) % 2 == 0, 1.5, -1.5).view(-1, 1, 1)
    density = PRIORS[name]((0.4 * noise + side).flatten(0, 1).numpy())
    axis = torch.arange(-8, 8, 0.05, dtype=torch.float64)
    grid = torch.cartesian_prod(axis, axis)
    assert float(density(grid).exp().sum()) * 0.05**2 == pytest.approx(1, abs=1e-3)
