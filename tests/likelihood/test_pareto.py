"""k̂, against distributions with known tails and against the published formula written as loops."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from torch import Tensor

from sritool.likelihood.pareto import fit_generalised_pareto, pareto_k, tail_size

BATCH = 200


def uniforms(draws: int, seed: int = 0) -> Tensor:
    generator = torch.Generator().manual_seed(seed)
    return torch.rand(draws, BATCH, generator=generator, dtype=torch.float64).clamp_min(1e-300)


def generalised_pareto(shape: float, scale: float, draws: int) -> Tensor:
    """Quantile function at uniforms: σ (u^(−k) − 1) / k."""
    u = uniforms(draws)
    return -scale * u.log() if shape == 0 else scale * (u ** (-shape) - 1) / shape


@pytest.mark.parametrize("scale", [0.01, 3.0])
@pytest.mark.parametrize("shape", [-0.3, 0.0, 0.4, 0.7, 1.2])
def test_fit_finds_shape_and_scale(shape: float, scale: float) -> None:
    draws = 400
    found, found_scale = fit_generalised_pareto(generalised_pareto(shape, scale, draws).sort(0).values)
    error = (1 + shape) / math.sqrt(draws)  # of maximum likelihood
    assert abs(float(found.mean()) - shape) < 5 * error / math.sqrt(BATCH) + 0.01
    assert float(found.std()) < 1.3 * error + 0.01
    assert float(found_scale.mean()) == pytest.approx(scale, rel=0.03)


def by_loops(x: np.ndarray) -> float:
    """Zhang and Stephens 2009, section 2, as written, for one ascending sample."""
    n = len(x)
    m = 30 + int(math.sqrt(n))
    quartile = x[int(n / 4 + 0.5) - 1]
    thetas = [1 / x[-1] + (1 - math.sqrt(m / (j - 0.5))) / (3 * quartile) for j in range(1, m + 1)]

    def log_profile(theta: float) -> float:
        k = -sum(math.log(1 - theta * value) for value in x) / n
        return n * (math.log(theta / k) + k - 1)

    values = [log_profile(theta) for theta in thetas]
    weights = [1 / sum(math.exp(other - value) for other in values) for value in values]
    theta = sum(t * w for t, w in zip(thetas, weights, strict=True))
    return sum(math.log(1 - theta * value) for value in x) / n


def test_fit_matches_the_published_formula() -> None:
    sample = generalised_pareto(0.5, 1.0, 30).sort(0).values
    found, _ = fit_generalised_pareto(sample)
    expected = [by_loops(column) for column in sample.t()[:20].numpy()]
    np.testing.assert_allclose(found[:20].numpy(), expected, rtol=1e-9)


@pytest.mark.parametrize("shape", [0.2, 0.6, 1.0])
def test_tail_of_pareto_weights(shape: float) -> None:
    """Pareto weights u^(−k): whatever the cut, their exceedances are generalised Pareto of the same shape."""
    draws = 4000
    found = pareto_k(-shape * uniforms(draws).log())
    size = tail_size(draws)
    expected = (size * shape + 5) / (size + 10)
    assert abs(float(found.mean()) - expected) < 5 * (1 + shape) / math.sqrt(size * BATCH) + 0.01


def test_narrow_and_wide_proposals_are_told_apart() -> None:
    """Weights of a proposal with half the target's deviation have k = 1 − σ_q²/σ_p² = 0.75, of a wide one k ≤ 0."""
    generator = torch.Generator().manual_seed(0)
    z = torch.randn(20_000, BATCH, generator=generator, dtype=torch.float64)
    narrow, wide = (-0.5 * (scale * z).square() + 0.5 * z.square() for scale in (0.5, 1.5))
    assert 0.55 < float(pareto_k(narrow).mean()) < 0.85
    assert float(pareto_k(wide).mean()) < 0.1


def test_scale_and_order_do_not_matter() -> None:
    log_weights = 1.5 * torch.randn(100, 5, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
    found = pareto_k(log_weights)
    torch.testing.assert_close(pareto_k(log_weights.flip(0) - 700.0), found)
    torch.testing.assert_close(pareto_k(log_weights[:, 2:3]), found[2:3])
    assert pareto_k(log_weights.float()).dtype == torch.float32


def test_weights_without_a_tail() -> None:
    equal = torch.zeros(100, 2, dtype=torch.float64)
    assert pareto_k(equal).tolist() == [0.0, 0.0]
    assert bool(pareto_k(torch.randn(20, 3)).isnan().all()), "4 draws are too few for a tail"
    broken = torch.randn(100, 2)
    broken[3, 1] = math.nan
    assert pareto_k(broken).isnan().tolist() == [False, True]
    one = torch.full((100, 1), -1e4, dtype=torch.float64)
    one[7] = 0.0
    assert float(pareto_k(one)) > 0.7, "one draw has all the weight"
