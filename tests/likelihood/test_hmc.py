"""A transition leaves its density invariant, whatever the metric, the step size and β."""

from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor

from sritool.likelihood import hmc
from sritool.model.random import Stream


class Ripple:
    """log p(x|z) = 2 cos(3 z) − z⁴/4 in each of two dimensions: multimodal and not Gaussian."""

    def evaluate(self, z: Tensor) -> tuple[Tensor, Tensor]:
        value = 2 * torch.cos(3 * z) - z**4 / 4
        return value.sum(-1), -6 * torch.sin(3 * z) - z**3


def moments(beta: float) -> dict[str, float]:
    """E z², E cos 3z and E z⁴ under p(z) p(x|z)^β, by quadrature in one dimension."""
    z = torch.linspace(-8, 8, 20_001, dtype=torch.float64)
    weights = torch.softmax(beta * (2 * torch.cos(3 * z) - z**4 / 4) - z.square() / 2, 0)
    return {name: float((weights * values).sum()) for name, values in features(z).items()}


def features(z: Tensor) -> dict[str, Tensor]:
    return {"square": z.square(), "cosine": torch.cos(3 * z), "fourth": z**4}


def run(
    beta: float, step_size: float, metric: hmc.Metric, start: Tensor, steps: int
) -> tuple[Tensor, Tensor]:
    """Ends [chains, 1, 2] and acceptance probabilities [steps, chains, 1]."""
    chains = len(start)
    state = hmc.begin(Ripple(), start)
    betas, sizes = torch.full((1,), beta).double(), torch.full((1,), step_size).double()
    probabilities = []
    for step in range(steps):
        noise = Stream(0, "momentum", step).normal(torch.arange(1), 2 * chains, dtype=torch.float64)
        uniform = Stream(0, "accept", step).uniform(torch.arange(1), chains).t()
        momentum = noise.view(1, chains, 2).transpose(0, 1)
        moved = hmc.transition(
            Ripple(), state, betas, metric.root(betas), sizes, momentum, uniform, leapfrogs=3
        )
        state, probability = moved
        probabilities.append(probability)
    return state.z, torch.stack(probabilities)


def metric(curvatures: tuple[float, float]) -> hmc.Metric:
    turn = torch.tensor([[0.8, -0.6], [0.6, 0.8]], dtype=torch.float64)
    return hmc.Metric(turn[None], torch.tensor([curvatures], dtype=torch.float64))


@pytest.mark.parametrize(("curvatures", "step_size"), [((0.0, 0.0), 0.3), ((4.0, 0.5), 0.5)])
@pytest.mark.parametrize("beta", [0.3, 1.0])
def test_density_is_invariant(beta: float, curvatures: tuple[float, float], step_size: float) -> None:
    """Chains that begin at exact draws keep the distribution after moves of which many are rejected."""
    axis = torch.linspace(-8, 8, 20_001, dtype=torch.float64)
    cumulative = torch.softmax(beta * (2 * torch.cos(3 * axis) - axis**4 / 4) - axis.square() / 2, 0).cumsum(
        0
    )
    chains = 20_000
    uniform = Stream(1, "exact").uniform(torch.arange(chains), 2)
    start = axis[torch.searchsorted(cumulative, uniform).clamp_max(20_000)].view(chains, 1, 2)
    end, probability = run(beta, step_size, metric(curvatures), start, 4)
    assert 0.2 < float(probability.mean()) < 0.97, "nothing is rejected, so nothing is tested"
    assert float((end != start).any(-1).double().mean()) > 0.5
    expected = moments(beta)
    for name, values in features(end.flatten()).items():
        error = float(values.std()) / math.sqrt(2 * chains)
        assert abs(float(values.mean()) - expected[name]) < 4.5 * error, name


def test_divergent_trajectory_is_rejected() -> None:
    start = torch.ones(5, 1, 2, dtype=torch.float64)
    end, probability = run(1.0, 1e6, metric((0.0, 0.0)), start, 1)
    assert torch.equal(end, start)
    assert torch.equal(probability, torch.zeros_like(probability))


def test_root_of_the_inverse_precision() -> None:
    factor = torch.randn(3, 4, 4, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    hessian, beta = factor @ factor.mT, torch.tensor([0.0, 0.3, 1.0], dtype=torch.float64)
    identity = torch.eye(4, dtype=torch.float64)
    root = hmc.metric_of_covariance(torch.linalg.inv(identity + hessian)).root(beta)
    torch.testing.assert_close(root @ root.mT, torch.linalg.inv(identity + beta[:, None, None] * hessian))


def test_direction_wider_than_the_prior_counts_as_flat() -> None:
    covariance = torch.tensor([[[3.0, 0.0], [0.0, 0.25]]], dtype=torch.float64)
    root = hmc.metric_of_covariance(covariance).root(torch.ones(1, dtype=torch.float64))
    torch.testing.assert_close((root @ root.mT)[0].diagonal(), torch.tensor([1.0, 0.25], dtype=torch.float64))


def test_step_sizes_follow_the_acceptance() -> None:
    step_size = torch.tensor([0.5, 0.5, 0.5], dtype=torch.float64)
    probability = torch.tensor([[0.0, 1.0, hmc.WANTED_ACCEPTANCE]], dtype=torch.float64)
    shorter, longer, same = hmc.tuned(step_size, probability, 1.0).tolist()
    assert shorter < 0.4
    assert longer > 0.5
    assert same == pytest.approx(0.5)
    assert hmc.tuned(step_size, probability, 0.45).tolist()[1] == 0.45
