"""Student mixtures, tempered weights and matching, against torch, quadrature and their definitions."""

from __future__ import annotations

import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor
from torch.distributions import StudentT

from sritool.likelihood.proposal import (
    StudentMixture,
    effective_sample_size,
    flattened,
    moment_match,
    score_match,
    tempered_weights,
)
from sritool.model.random import Stream


def mixture(latent: int = 2, degrees: int = 8, components: int = 3, batch: int = 2) -> StudentMixture:
    generator = torch.Generator().manual_seed(latent)
    location = 2 * torch.randn(components, batch, latent, generator=generator).double()
    root = 0.5 * torch.randn(components, batch, latent, latent, generator=generator).double()
    root = root.tril(-1) + torch.diag_embed(root.diagonal(dim1=-2, dim2=-1).abs() + 0.3)
    weight = torch.log_softmax(torch.randn(components, batch, generator=generator).double(), 0)
    return StudentMixture(location, root, weight, degrees)


def test_density_matches_torch_in_one_dimension() -> None:
    proposal = mixture(latent=1)
    z = torch.linspace(-5, 5, 41, dtype=torch.float64)[:, None, None].expand(-1, 2, 1)
    parts = StudentT(8.0, proposal.location[:, None, :, 0], proposal.root[:, None, :, 0, 0]).log_prob(
        z[None, ..., 0]
    )
    expected = (parts + proposal.log_weight[:, None]).logsumexp(0)
    torch.testing.assert_close(proposal.log_density(z), expected)


@pytest.mark.parametrize("latent", [1, 2])
def test_density_integrates_to_one(latent: int) -> None:
    proposal = mixture(latent)
    axis = torch.linspace(-30, 30, 100_001 if latent == 1 else 801, dtype=torch.float64)
    z = torch.cartesian_prod(*[axis] * latent).view(-1, 1, latent).expand(-1, 2, -1)
    cell = float(axis[1] - axis[0]) ** latent
    total = sum(proposal.log_density(part).exp().sum(0) for part in z.split(200_000))
    torch.testing.assert_close(total * cell, torch.ones(2, dtype=torch.float64), rtol=1e-4, atol=0)


def test_samples_have_the_mixtures_moments() -> None:
    proposal = mixture(latent=2)
    z = proposal.sample(Stream(0, "test"), torch.arange(2), 60_000)
    share = proposal.log_weight.exp()
    mean = torch.einsum("cb,cbd->bd", share, proposal.location)
    spread = 8 / 6 * proposal.root @ proposal.root.mT + torch.einsum(
        "cbi,cbj->cbij", proposal.location - mean, proposal.location - mean
    )
    covariance = torch.einsum("cb,cbij->bij", share, spread)
    error = (covariance.diagonal(dim1=1, dim2=2) / len(z)).sqrt()
    assert float(((z.mean(0) - mean) / error).abs().max()) < 5
    for sentence in range(2):
        torch.testing.assert_close(torch.cov(z[:, sentence].t()), covariance[sentence], rtol=0.06, atol=0.06)


def test_samples_follow_the_density() -> None:
    """E_q[p/q] = 1 for any density p, here Gaussians; a wrong density or wrong draws would break it."""
    proposal = mixture(latent=2, degrees=4)
    z = proposal.sample(Stream(0, "test"), torch.arange(2), 60_000)
    for centre in (-1.0, 0.0, 2.0):
        target = torch.distributions.Normal(centre, 0.6).log_prob(z).sum(-1)
        ratio = (target - proposal.log_density(z)).exp()
        error = ratio.std(0) / math.sqrt(len(z))
        assert float(((ratio.mean(0) - 1) / error).abs().max()) < 5


def test_draws_depend_on_sentence_and_number_only() -> None:
    proposal = mixture(latent=2)
    swapped = StudentMixture(
        proposal.location[:, [1, 0]], proposal.root[:, [1, 0]], proposal.log_weight[:, [1, 0]], 8
    )
    z = proposal.sample(Stream(0, "test"), torch.tensor([5, 9]), 20)
    other = swapped.sample(Stream(0, "test"), torch.tensor([9, 5]), 20)
    assert torch.equal(z, other[:, [1, 0]])
    assert torch.equal(proposal.sample(Stream(0, "test"), torch.tensor([5, 9]), 7), z[:7])
    assert not torch.equal(proposal.sample(Stream(0, "test", 1), torch.tensor([5, 9]), 20), z)


def naive_size(log_weights: Tensor) -> Tensor:
    weights = (log_weights - log_weights.max(0).values).exp()
    return weights.sum(0) ** 2 / weights.square().sum(0)


@given(st.lists(st.floats(-300, 300), min_size=1, max_size=20))
def test_effective_sample_size(values: list[float]) -> None:
    log_weights = torch.tensor(values, dtype=torch.float64)[:, None]
    found = float(effective_sample_size(log_weights))
    assert found == pytest.approx(float(naive_size(log_weights)))
    assert 1 - 1e-9 <= found <= len(values) + 1e-9


def test_tempered_weights_just_reach_the_size() -> None:
    generator = torch.Generator().manual_seed(0)
    scales = torch.tensor([0.1, 2.0, 30.0, 1000.0], dtype=torch.float64)
    log_weights = torch.randn(100, 4, generator=generator).double() * scales
    weights, size = tempered_weights(log_weights, 12.0)
    torch.testing.assert_close(weights.sum(0), torch.ones(4, dtype=torch.float64))
    torch.testing.assert_close(size, 1 / weights.square().sum(0))
    enough = naive_size(log_weights) >= 12
    assert enough.tolist() == [True, False, False, False]
    torch.testing.assert_close(weights[:, 0], log_weights[:, 0].softmax(0))
    assert bool((size[1:] >= 12 - 1e-9).all())
    assert bool((size[1:] < 12.2).all()), "tempered more than needed"
    # w^β: the logarithms are a multiple of the given ones, up to a constant.
    for column in range(1, 4):
        slopes = (weights[1:, column] / weights[0, column]).log() / (
            log_weights[1:, column] - log_weights[0, column]
        )
        torch.testing.assert_close(slopes, slopes[:1].expand_as(slopes), rtol=1e-6, atol=1e-9)
        assert 0 <= float(slopes[0]) <= 1


def test_moment_matching_recovers_a_gaussian() -> None:
    """Draws of a wide proposal with the weights of a narrow Gaussian give its mean and covariance."""
    generator = torch.Generator().manual_seed(0)
    z = 2 * torch.randn(20_000, 1, 2, generator=generator).double()
    mean = torch.tensor([0.5, -0.4], dtype=torch.float64)
    covariance = torch.tensor([[1.0, 0.4], [0.4, 0.7]], dtype=torch.float64)
    target = torch.distributions.MultivariateNormal(mean, covariance)
    log_weights = target.log_prob(z) - torch.distributions.Normal(0.0, 2.0).log_prob(z).sum(-1)
    location, found = moment_match(z, log_weights, 4.0)
    torch.testing.assert_close(location[0], mean, rtol=0, atol=0.05)
    torch.testing.assert_close((found @ found.mT)[0], covariance, rtol=0, atol=0.06)
    assert float(found[0].triu(1).abs().max()) == 0
    assert float(found[0].diagonal().min()) > 0


def test_few_draws_are_shrunk_to_the_prior() -> None:
    """The posterior is the prior: its own covariance beats that of 60 draws in 16 dimensions."""
    generator = torch.Generator().manual_seed(1)
    latent, batch, draws = 16, 8, 60
    z = torch.randn(draws, batch, latent, generator=generator).double()
    location, found = moment_match(z, torch.zeros(draws, batch, dtype=torch.float64), 32.0)
    plain = torch.stack([torch.cov(z[:, sentence].t()) for sentence in range(batch)])
    truth = torch.eye(latent).double()
    kept = (found @ found.mT - truth).norm(dim=(1, 2))
    assert bool((kept < 0.3 * (plain - truth).norm(dim=(1, 2))).all())
    assert float(location.norm(dim=1).mean()) < 0.6 * (latent / draws) ** 0.5


def gaussian(batch: int, latent: int) -> tuple[Tensor, Tensor]:
    """Means and precisions, eigenvalues from 1 to 300."""
    generator = torch.Generator().manual_seed(2)
    turn = torch.linalg.qr(torch.randn(batch, latent, latent, generator=generator).double()).Q
    precision = turn @ torch.diag(torch.logspace(0, 2.5, latent, dtype=torch.float64)) @ turn.mT
    return torch.randn(batch, latent, generator=generator).double(), precision


def test_score_matching_recovers_a_gaussian() -> None:
    """latent + 2 draws from a distant place, matched repeatedly, are exact, unlike weighed moments."""
    mean, precision = gaussian(3, 6)
    z = 2 + torch.randn(8, 3, 6, generator=torch.Generator().manual_seed(3)).double()
    scores = ((mean - z).unsqueeze(-2) @ precision).squeeze(-2)
    centre, covariance = torch.zeros_like(mean), torch.eye(6, dtype=torch.float64).expand(3, 6, 6)
    for _ in range(60):
        centre, covariance = score_match(z, scores, torch.ones(8, 3), centre, covariance)
    torch.testing.assert_close(centre, mean, rtol=0, atol=1e-4)
    whitened = covariance @ precision
    torch.testing.assert_close(whitened, torch.eye(6).double().expand(3, 6, 6), rtol=0, atol=1e-3)


def test_score_match_minimises_its_objective() -> None:
    """The objective of the docstring, minimised by search in one dimension."""
    generator = torch.Generator().manual_seed(4)
    z = torch.randn(7, generator=generator).double()
    scores = torch.randn(7, generator=generator).double() - z
    centre, variance, gain = 0.7, 0.5, 7 / 0.2
    found, spread = (
        float(part.squeeze())
        for part in score_match(
            z.view(7, 1, 1),
            scores.view(7, 1, 1),
            torch.ones(7, 1),
            torch.full((1, 1), centre).double(),
            torch.full((1, 1, 1), variance).double(),
        )
    )
    widths = torch.linspace(0.5 * spread, 2 * spread, 30_001, dtype=torch.float64)
    matches = scores.var(correction=0) * widths + z.var(correction=0) / widths
    kept = variance / widths - 1 - (variance / widths).log()
    best = float(widths[(gain * matches / 2 + kept / 2).argmin()])
    assert spread == pytest.approx(best, rel=1e-3)
    target = float(z.mean()) + spread * float(scores.mean())
    assert found == pytest.approx((centre + gain * target) / (1 + gain))


def test_component_without_draws_stays_put() -> None:
    z = torch.randn(20, 1, 3, generator=torch.Generator().manual_seed(5)).double()
    centre, covariance = torch.full((1, 3), 5.0).double(), 0.1 * torch.eye(3).double()[None]
    for share in (0.0, 1e-30):
        shares = torch.full((20, 1), share, dtype=torch.float64)
        found, spread = score_match(z, 100 * z, shares, centre, covariance)
        torch.testing.assert_close(found, centre, rtol=0, atol=1e-6)
        torch.testing.assert_close(spread, covariance, rtol=0, atol=1e-6)


def test_flattened_mixes_precisions() -> None:
    _, precision = gaussian(2, 4)
    found = flattened(torch.linalg.inv(precision), 0.4)
    torch.testing.assert_close(torch.linalg.inv(found), 0.6 * precision + 0.4 * torch.eye(4).double())
