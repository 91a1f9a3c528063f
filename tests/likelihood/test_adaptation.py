"""Rounds of pilots: the proposal they find, when they stop, and that other sentences do not matter."""

from __future__ import annotations

import math
from typing import Any

import pytest
import torch
from torch import Tensor

from sritool.config.settings import LikelihoodConfig
from sritool.inference.langevin import log_prior
from sritool.likelihood import adaptation
from sritool.likelihood.adaptation import adapt, adaptive_draws
from sritool.likelihood.importance import draw, likelihood_figures
from sritool.likelihood.proposal import StudentMixture, effective_sample_size
from sritool.model.random import Stream


class Rough:
    """log p(x|z) = −sharpness/2 ‖z − centre‖² + height · Σ cos(12 z): far sharper at its modes than overall."""

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
    drawn = draw(target, proposal, Stream(1, "fresh"), torch.arange(batch), draws)
    return effective_sample_size(drawn.log_weights) / draws


def test_rough_posterior_is_matched_by_its_spread() -> None:
    target = rough()
    proposal = adapt(target, starts(6, 8), 0, torch.arange(6), LikelihoodConfig())
    assert float(effective(target, proposal, 6).min()) > 0.2
    mode = target.hessian(torch.zeros(6, 8, dtype=torch.float64))[0, 0, 0]
    covariance = (proposal.root[0] @ proposal.root[0].mT)[0].diagonal()
    assert float((covariance * mode).min()) > 5, "as narrow as a Laplace approximation"


def test_sharp_posterior_needs_few_pilots(linear: Any) -> None:
    """40 pilots in 16 dimensions, too few for a useful covariance."""
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


def test_rounds_stop_once_pilots_are_good_enough() -> None:
    target = rough(3, 2, height=0.0)
    target.sharpness = torch.zeros(3, dtype=torch.float64)  # z is ignored: the prior is right at once
    adapt(target, starts(3, 2), 0, torch.arange(3), LikelihoodConfig(pilots=50, rounds=9))
    assert sum(target.asked) <= 2 * 50


def test_rounds_stop_once_nothing_is_gained(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(adaptation, "_LOST", 0.0)
    target = rough(5, 8, height=2.0)
    adapt(target, starts(5, 8), 0, torch.arange(5), LikelihoodConfig(pilots=40, rounds=30))
    assert 3 <= len(target.asked) < 20


@pytest.mark.parametrize(
    ("pilots", "of_rounds"), [(16, [16, 16, 16]), (40, [32, 32, 40]), (100, [50, 50, 100])]
)
def test_rounds_before_the_last_have_fewer_pilots(
    pilots: int, of_rounds: list[int], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(adaptation, "_LOST", 0.0)
    target = rough(5, 8, height=2.0)
    adapt(target, starts(5, 8), 0, torch.arange(5), LikelihoodConfig(pilots=pilots, rounds=3))
    assert target.asked[:3] == of_rounds


def test_a_lost_sentence_has_all_its_pilots_in_every_round(monkeypatch: pytest.MonkeyPatch) -> None:
    """It does not matter to the others: they keep what the first pass found."""
    target, begin, config = rough(5, 8, height=2.0), starts(5, 8), LikelihoodConfig(pilots=40, rounds=3)
    found = adapt(target, begin, 0, torch.arange(5), config)
    assert target.asked[:6] == [32, 32, 40, 40, 40, 40]
    monkeypatch.setattr(adaptation, "_LOST", 0.0)
    without = adapt(target, begin, 0, torch.arange(5), config)
    kept = (found.location == without.location).flatten(2).all(2).all(0)
    assert 0 < int(kept.sum()) < 5


def test_one_round_evaluates_its_pilots_only() -> None:
    """Its gain cannot be known. Cheap validations use one round and rely on its cost."""
    target = rough(5, 8, height=2.0)
    adapt(target, starts(5, 8), 0, torch.arange(5), LikelihoodConfig(pilots=40, rounds=1))
    assert sum(target.asked) == 40


def test_zero_rounds_give_the_first_guess() -> None:
    begin = starts(6, 8)
    proposal = adapt(rough(), begin, 0, torch.arange(6), LikelihoodConfig(rounds=0))
    torch.testing.assert_close(proposal.log_weight.exp().sum(0), torch.ones(6, dtype=torch.float64))
    assert torch.equal(proposal.location[3:], begin)
    assert bool((proposal.location[:3] == 0).all())


def test_other_sentences_do_not_matter() -> None:
    """A sentence whose rounds end early gets the same proposal alone as beside others that continue."""
    target, begin = rough(), starts(6, 8)
    target.sharpness[0], target.sharpness[5] = 0.0, 300.0
    together = adapt(target, begin, 0, torch.arange(6), LikelihoodConfig(rounds=8))
    for index in range(6):
        alone = Rough(target.sharpness[index : index + 1], target.centre[index : index + 1], target.height)
        single = begin[:, index : index + 1]
        found = adapt(alone, single, 0, torch.tensor([index]), LikelihoodConfig(rounds=8))
        torch.testing.assert_close(found.location[:, 0], together.location[:, index], rtol=1e-7, atol=1e-9)
        torch.testing.assert_close(found.root[:, 0], together.root[:, index], rtol=1e-6, atol=1e-9)


def test_pilots_are_evaluated_in_parts(monkeypatch: pytest.MonkeyPatch) -> None:
    """Few pilots are evaluated at a time, which bounds the memory; the result is the same."""
    whole = adapt(rough(), starts(6, 8), 0, torch.arange(6), LikelihoodConfig())
    monkeypatch.setattr(adaptation, "_ROWS", 30)
    target = rough()
    parts = adapt(target, starts(6, 8), 0, torch.arange(6), LikelihoodConfig())
    assert max(target.asked) == 5
    torch.testing.assert_close(parts.location, whole.location)


def test_float32_is_enough() -> None:
    def adapted(dtype: torch.dtype) -> StudentMixture:
        target = rough()
        target = Rough(target.sharpness.to(dtype), target.centre.to(dtype), target.height)
        return adapt(target, starts(6, 8).to(dtype), 0, torch.arange(6), LikelihoodConfig(rounds=2))

    single, double = adapted(torch.float32), adapted(torch.float64)
    assert single.root.dtype == torch.float32
    torch.testing.assert_close(single.location.double(), double.location, rtol=0, atol=0.02)


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


def test_both_modes_are_found() -> None:
    """Starts on both sides: p(x) is the sum of two peaks, and one alone would miss ln 2."""
    starts = torch.tensor([[[2.0, 0.3]], [[-2.5, 0.1]]], dtype=torch.float64)
    config = LikelihoodConfig(samples=4000, pilots=500, rounds=2, modes=2)
    found = likelihood_figures(adaptive_draws(TwoModes(), starts, 0, torch.arange(1), config))
    axis = torch.linspace(-8, 8, 20_001, dtype=torch.float64)[:, None]
    width = float(axis[1] - axis[0])
    evidence = float((TwoModes().log_likelihood(axis) + log_prior(axis)).logsumexp(0)) + math.log(width)
    error = math.sqrt((4000 / float(found.effective_sample_size) - 1) / 4000)
    assert error < 0.1
    assert abs(float(found.log_likelihood) - evidence) < 5 * error


def test_pilots_of_an_approximate_target(linear: Rough) -> None:
    near = Rough(linear.sharpness * 1.1, linear.centre + 0.01, height=0.01)
    config = LikelihoodConfig(samples=4000, pilots=100)
    found = likelihood_figures(adaptive_draws(linear, starts(4, 16), 0, torch.arange(4), config, rough=near))
    precision = 1 + linear.sharpness
    lost = 0.5 * linear.sharpness / precision * linear.centre.square().sum(-1)
    evidence = -8 * precision.log() - lost
    errors = ((4000 / found.effective_sample_size - 1) / 4000).sqrt()
    assert float(errors.max()) < 0.1
    assert bool(((found.log_likelihood - evidence).abs() < 5 * errors + 1e-9).all())
    assert len(linear.asked) == 0, "a pilot was evaluated on the exact target"


def test_pilots_are_not_weighed(monkeypatch: pytest.MonkeyPatch) -> None:
    """Every round has its own noise, and so have the draws that are weighed."""
    asked: list[tuple[Stream, int]] = []
    original = StudentMixture.sample

    def spied(self: StudentMixture, stream: Stream, examples: Tensor, draws: int) -> Tensor:
        asked.append((stream, draws))
        return original(self, stream, examples, draws)

    monkeypatch.setattr(StudentMixture, "sample", spied)
    monkeypatch.setattr(adaptation, "_MORE_ROUNDS", 0)
    config = LikelihoodConfig(samples=70, pilots=30, rounds=2, modes=1)
    adaptive_draws(TwoModes(), torch.ones(1, 1, 2).double(), 5, torch.arange(1), config)
    assert [draws for _, draws in asked] == [30, 30, 70]
    assert len({stream for stream, _ in asked}) == 3
    assert {stream.seed for stream, _ in asked} == {5}
