"""Rounds of pilots: what they find, when they end, and that nobody else's sentence matters."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor

from sritool.config.settings import LikelihoodConfig
from sritool.likelihood import adaptation
from sritool.likelihood.adaptation import adapt
from sritool.likelihood.likelihood import weigh
from sritool.model.random import Stream


class Rough:
    """log p(x|z) = −sharpness/2 ‖z − centre‖² + height · Σ cos(12 z): at its modes far sharper than it is wide."""

    def __init__(self, sharpness: Tensor, centre: Tensor, height: float) -> None:
        self.sharpness, self.centre, self.height = sharpness, centre, height  # [batch], [batch, latent]
        self.asked: list[int] = []

    def log_likelihood(self, z: Tensor) -> Tensor:
        apart = (z - self.centre).square().sum(-1)
        return -0.5 * self.sharpness * apart + self.height * torch.cos(12 * z).sum(-1)

    def evaluate(self, z: Tensor) -> tuple[Tensor, Tensor]:
        self.asked.append(len(z))
        pull = self.sharpness.unsqueeze(-1) * (self.centre - z)
        return self.log_likelihood(z), pull - 12 * self.height * torch.sin(12 * z)

    def hessian(self, z: Tensor) -> Tensor:
        return torch.diag_embed(self.sharpness.unsqueeze(-1) + 144 * self.height * torch.cos(12 * z))


def rough(batch: int = 6, latent: int = 8, height: float = 0.2) -> Rough:
    generator = torch.Generator().manual_seed(0)
    centre = torch.randn(batch, latent, generator=generator, dtype=torch.float64)
    return Rough(torch.linspace(0.5, 30.0, batch, dtype=torch.float64), centre, height)


def starts(batch: int, latent: int) -> Tensor:
    return Stream(3, "starts").normal(torch.arange(batch), 2 * latent, dtype=torch.float64).view(2, batch, -1)


def effective(target: Any, proposal: Any, batch: int, draws: int = 1000) -> Tensor:
    z = proposal.sample(Stream(1, "fresh"), torch.arange(batch), draws)
    return weigh(target.log_likelihood(z), z, proposal.log_density(z)).effective_sample_size / draws


def test_a_rough_posterior_is_matched_by_its_spread_and_not_by_its_curvature() -> None:
    target = rough()
    proposal = adapt(target, starts(6, 8), 0, torch.arange(6), LikelihoodConfig())
    assert float(effective(target, proposal, 6).min()) > 0.2
    mode = target.hessian(torch.zeros(6, 8, dtype=torch.float64))[0, 0, 0]
    covariance = (proposal.root[0] @ proposal.root[0].mT)[0].diagonal()
    assert float((covariance * mode).min()) > 5, "as narrow as a Laplace approximation"


def test_a_sharp_posterior_needs_few_pilots(linear: Any) -> None:
    """40 pilots in 16 dimensions, whose covariance would be of no use."""
    proposal = adapt(
        linear, starts(4, 16), 0, torch.arange(4), LikelihoodConfig(pilots=40, rounds=4, degrees=50)
    )
    assert float(effective(linear, proposal, 4).min()) > 0.25


@pytest.fixture
def linear() -> Rough:
    """Gaussian posteriors of precision up to 1,001."""
    target = rough(4, 16, height=0.0)
    target.sharpness = torch.tensor([0.0, 1.0, 100.0, 1000.0], dtype=torch.float64)
    return target


def test_rounds_end_once_the_pilots_are_good_enough() -> None:
    target = rough(3, 2, height=0.0)
    target.sharpness = torch.zeros(3, dtype=torch.float64)  # z is ignored: the prior is right at once
    adapt(target, starts(3, 2), 0, torch.arange(3), LikelihoodConfig(pilots=50, rounds=9))
    assert sum(target.asked) <= 2 * 50


def test_rounds_end_once_nothing_is_gained_and_go_on_while_something_is() -> None:
    target = rough(5, 8, height=2.0)
    adapt(target, starts(5, 8), 0, torch.arange(5), LikelihoodConfig(pilots=40, rounds=30))
    assert 3 * 40 <= sum(target.asked) < 20 * 40
    target.asked.clear()
    adapt(target, starts(5, 8), 0, torch.arange(5), LikelihoodConfig(pilots=40, rounds=2))
    assert sum(target.asked) == 2 * 40


def test_no_rounds_is_the_first_guess() -> None:
    begin = starts(6, 8)
    proposal = adapt(rough(), begin, 0, torch.arange(6), LikelihoodConfig(rounds=0))
    torch.testing.assert_close(proposal.log_weight.exp().sum(0), torch.ones(6, dtype=torch.float64))
    assert torch.equal(proposal.location[3:], begin)
    assert bool((proposal.location[:3] == 0).all())


def test_when_others_end_changes_nothing() -> None:
    """A sentence whose rounds end early, beside ones that go on, has the proposal that it has alone."""
    target, begin = rough(), starts(6, 8)
    target.sharpness[0], target.sharpness[5] = 0.0, 300.0
    together = adapt(target, begin, 0, torch.arange(6), LikelihoodConfig(rounds=8))
    for index in range(6):
        alone = Rough(target.sharpness[index : index + 1], target.centre[index : index + 1], target.height)
        single = begin[:, index : index + 1]
        found = adapt(alone, single, 0, torch.tensor([index]), LikelihoodConfig(rounds=8))
        torch.testing.assert_close(found.location[:, 0], together.location[:, index], rtol=1e-7, atol=1e-9)
        torch.testing.assert_close(found.root[:, 0], together.root[:, index], rtol=1e-6, atol=1e-9)


def test_parts_of_the_pilots_are_evaluated_apart(monkeypatch: pytest.MonkeyPatch) -> None:
    """Memory: however many pilots there are, few are evaluated at a time, and the result is the same."""
    whole = adapt(rough(), starts(6, 8), 0, torch.arange(6), LikelihoodConfig())
    monkeypatch.setattr(adaptation, "_ROWS", 30)
    target = rough()
    parts = adapt(target, starts(6, 8), 0, torch.arange(6), LikelihoodConfig())
    assert max(target.asked) == 5
    torch.testing.assert_close(parts.location, whole.location)


def test_float32_is_enough(make_float: Callable[[torch.dtype], Rough]) -> None:
    single, double = (
        adapt(make_float(dtype), starts(6, 8).to(dtype), 0, torch.arange(6), LikelihoodConfig(rounds=2))
        for dtype in (torch.float32, torch.float64)
    )
    assert single.root.dtype == torch.float32
    torch.testing.assert_close(single.location.double(), double.location, rtol=0, atol=0.02)


@pytest.fixture
def make_float() -> Callable[[torch.dtype], Rough]:
    def make(dtype: torch.dtype) -> Rough:
        target = rough()
        return Rough(target.sharpness.to(dtype), target.centre.to(dtype), target.height)

    return make
