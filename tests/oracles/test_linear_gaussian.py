"""Likelihoods and chain densities, against closed forms where p(x|z) is linear and Gaussian."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor
from torch.distributions import MultivariateNormal

from sritool.config.settings import LikelihoodConfig
from sritool.inference.chain_density import chain_density, kl_given_noise
from sritool.inference.langevin import Chain, Dynamics, log_joint_of, log_prior, short_run
from sritool.likelihood import adaptation
from sritool.likelihood.adaptation import adapt, adaptive_draws
from sritool.likelihood.importance import LikelihoodFigures, exact, likelihood_figures
from sritool.model.random import Stream
from support.targets import SPECTRA

STEPS = (0.3, 0.2, 0.1, *([0.02] * 5))


def starts(batch: int, latent: int, modes: int = 2) -> Tensor:
    return torch.stack(
        [
            Stream(9, "starts", mode).normal(torch.arange(batch), latent, dtype=torch.float64)
            for mode in range(modes)
        ]
    )


def standard_error(weighed: LikelihoodFigures, draws: int) -> Tensor:
    """Of log p̂ by the delta method: √((M / ESS − 1) / M)."""
    return ((draws / weighed.effective_sample_size - 1) / draws).clamp_min(0).sqrt()


@pytest.mark.parametrize("curvatures", SPECTRA.values(), ids=SPECTRA.keys())
def test_adaptive_finds_evidence_and_posterior_kl(
    linear_gaussian: Callable[..., Any], curvatures: tuple[float, ...]
) -> None:
    target = linear_gaussian(curvatures, batch=16)
    config = LikelihoodConfig(samples=2000, pilots=400, rounds=2, modes=2)
    weighed = likelihood_figures(
        adaptive_draws(target, starts(16, len(curvatures)), 1, torch.arange(16), config)
    )
    error = standard_error(weighed, 2000)
    assert float(error.max()) < 0.05, "the proposal is far from the posterior"
    assert float(((weighed.log_likelihood - target.evidence) / error).abs().max()) < 5
    assert float((weighed.log_likelihood - target.evidence).mean().abs()) < 5 * float(error.mean()) / 4
    half = weighed.log_likelihood_curve[:, -2] - target.evidence
    assert float((half / error).abs().max()) < 8
    kl = weighed.posterior_kl
    assert float((kl - target.posterior_kl).abs().max()) < 0.3
    assert float((kl - target.posterior_kl).mean().abs()) < 0.08


def test_covariance_guess_makes_few_pilots_enough(
    linear_gaussian: Callable[..., Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Ends near the posterior's mean and a guess at its covariance, as a preconditioned chain has them."""
    monkeypatch.setattr(adaptation, "_MORE_ROUNDS", 0)
    target, latent = linear_gaussian(SPECTRA["many dimensions"], batch=16), len(SPECTRA["many dimensions"])
    config, sizes = LikelihoodConfig(samples=200, pilots=16, rounds=1), []
    deviation = (target.posterior.scale_tril @ starts(16, latent).unsqueeze(-1)).squeeze(-1)
    ends = target.posterior.mean + 0.5 * deviation
    for guess in (None, target.posterior.covariance_matrix, 1.5 * target.posterior.covariance_matrix):
        weighed = likelihood_figures(adaptive_draws(target, ends, 1, torch.arange(16), config, guess))
        error = standard_error(weighed, config.samples)
        if guess is not None:
            assert float(((weighed.log_likelihood - target.evidence) / error).abs().max()) < 5
        sizes.append(float(weighed.effective_sample_size.mean()))
    assert sizes[1] > 3 * sizes[0]
    assert sizes[2] > 3 * sizes[0]


def test_adaptive_is_exact_when_z_is_ignored(flat: Any) -> None:
    config = LikelihoodConfig(samples=500, pilots=200, rounds=2, modes=2)
    weighed = likelihood_figures(adaptive_draws(flat, starts(3, 6), 0, torch.arange(3), config))
    error = standard_error(weighed, 500)
    assert float(error.max()) < 0.04
    assert float(((weighed.log_likelihood - flat.values) / error).abs().max()) < 5
    # E log p(x|z) is exact whatever the weights, so the KL is minus the error of log p̂(x).
    plain = weighed.posterior_kl - weighed.posterior_kl_correction
    torch.testing.assert_close(plain + weighed.log_likelihood, flat.values)


def test_exact_without_latent_dimensions(flat: Any) -> None:
    weighed = likelihood_figures(exact(flat, torch.zeros(3, 0, dtype=torch.float64)))
    assert torch.equal(weighed.log_likelihood, flat.values)
    assert torch.equal(weighed.posterior_kl, torch.zeros(3, dtype=torch.float64))


def test_other_sentences_do_not_matter(linear_gaussian: Callable[..., Any]) -> None:
    target = linear_gaussian(SPECTRA["sharp"], batch=3)
    config, begin = LikelihoodConfig(samples=50, pilots=50), starts(3, 4)
    together = likelihood_figures(adaptive_draws(target, begin, 1, torch.tensor([7, 3, 11]), config))
    target.matrices, target.data = target.matrices[[2, 0]], target.data[[2, 0]]
    apart = likelihood_figures(adaptive_draws(target, begin[:, [2, 0]], 1, torch.tensor([11, 7]), config))
    for one, other in zip(apart, together, strict=True):
        torch.testing.assert_close(one, other[[2, 0]], rtol=1e-8, atol=1e-8, equal_nan=True)


def test_proposal_has_the_posteriors_moments(linear_gaussian: Callable[..., Any]) -> None:
    target = linear_gaussian(SPECTRA["sharp"])
    config = LikelihoodConfig(pilots=4000, rounds=2)
    proposal = adapt(target, starts(4, 4), 0, torch.arange(4), config)
    posterior = target.posterior
    deviation = posterior.covariance_matrix.diagonal(dim1=-2, dim2=-1).sqrt()
    assert float(((proposal.location[0] - posterior.mean) / deviation).abs().max()) < 0.15
    covariance = proposal.root[0] @ proposal.root[0].mT
    relative = (covariance - posterior.covariance_matrix) / (
        deviation.unsqueeze(-1) * deviation.unsqueeze(-2)
    )
    assert float(relative.abs().max()) < 0.2


def run_chain(target: Any, temperature: float = 0.7) -> Chain:
    batch, latent = target.data.shape[0], target.matrices.shape[2]
    flat = Stream(2, "chain").normal(torch.arange(batch), (len(STEPS) + 1) * latent, dtype=torch.float64)
    flat = flat.view(batch, len(STEPS) + 1, latent)
    noise, dynamics = flat[:, 1:].transpose(0, 1), Dynamics(STEPS, temperature)
    return short_run(log_joint_of(target), flat[:, 0], noise, dynamics, keep_path=True)


def test_chain_density_is_gaussian_given_the_noise(linear_gaussian: Callable[..., Any]) -> None:
    """z_K = P z_0 + offset, so that z_K | ε ~ N(offset, P Pᵀ), P the product of the steps' matrices."""
    target = linear_gaussian((3.0, 1.0, 0.5))
    chain = run_chain(target)
    density = chain_density(target, chain)
    product = target.identity.expand(4, 3, 3)
    for step in STEPS:
        product = (target.identity - step * target.precision) @ product
    offset = chain.end - (product @ chain.start.unsqueeze(-1)).squeeze(-1)
    expected = MultivariateNormal(offset, product @ product.mT).log_prob(chain.end)
    torch.testing.assert_close(density.log_density, expected, rtol=1e-9, atol=1e-9)
    assert torch.equal(kl_given_noise(chain, density), density.log_density - log_prior(chain.end))


@pytest.mark.parametrize(("curvatures", "sign"), [((9.0, 1.0), -1.0), ((9.0, 9.0), 1.0), ((1.0, 1.0), 1.0)])
def test_signs_and_folds_of_linear_steps(
    linear_gaussian: Callable[..., Any], curvatures: tuple[float, float], sign: float
) -> None:
    """One step of 0.3 reverses a direction of curvature 10 (1 − 3 = −2); two such directions cancel out."""
    target = linear_gaussian(curvatures)
    whole = run_chain(target)
    assert whole.path is not None
    chain = whole._replace(dynamics=Dynamics(STEPS[:1]), path=whole.path[:2])
    density = chain_density(target, chain)
    assert density.sign.tolist() == [sign] * 4
    assert density.folded.tolist() == [1.0 if 9.0 in curvatures else 0.0] * 4
    matrix = target.identity - STEPS[0] * target.precision
    expected = log_prior(chain.start) - torch.linalg.slogdet(matrix).logabsdet
    torch.testing.assert_close(density.log_density, expected, rtol=1e-9, atol=1e-9)
