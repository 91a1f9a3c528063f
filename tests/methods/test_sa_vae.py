"""The semi-amortised VAE: its gradient against finite differences, its refined q against the encoder's."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import replace

import pytest
import torch
from torch import Tensor

from sritool.config.settings import KlConfig, RefinementConfig
from sritool.data.batches import Batch
from sritool.inference.refinement import Refinement
from sritool.methods.base import Clock
from sritool.methods.registry import build_method
from sritool.methods.sa_vae import SemiAmortizedVae
from sritool.model.random import Stream

EXAMPLES = [0, 1, 2, 4, 11]
MakeMethod = Callable[..., SemiAmortizedVae]
BatchOf = Callable[..., Batch]


def with_refinement(method: SemiAmortizedVae, **settings: float) -> SemiAmortizedVae:
    """A method with the same parameters and other settings."""
    refinement = RefinementConfig(**{"steps": 4, "rate": 0.2, "clip": 0.0, **settings})  # type: ignore[arg-type]
    config = replace(method.config, refinement=refinement, kl=KlConfig(start=0.3, epochs=60))
    other = build_method(config, method.generator.vocabulary_size)
    assert isinstance(other, SemiAmortizedVae)
    other.modules.double().load_state_dict(method.modules.state_dict())
    return other


@pytest.fixture
def method(make_method: MakeMethod) -> SemiAmortizedVae:
    return with_refinement(make_method("sa-vae", dropout=0.5, scale=0.8))


@pytest.fixture(scope="module")
def trained(make_method: MakeMethod, batch_of: BatchOf) -> SemiAmortizedVae:
    """After 60 steps of gradient descent on all twelve sentences."""
    found = with_refinement(make_method("sa-vae", scale=0.3), steps=2, rate=0.1)
    batch = batch_of(range(12))
    for step in range(60):
        found.gradients(batch, Clock(seed=1, epoch=step, step=step, progress=1.0))
        with torch.no_grad():
            for parameter in found.modules.parameters():
                parameter -= 1.0 * parameter.grad
    return found


def test_gradient_agrees_with_differences_of_the_loss(
    method: SemiAmortizedVae, batch_of: BatchOf, clock: Clock
) -> None:
    batch, size = batch_of(EXAMPLES), 1e-5

    def loss() -> float:
        sums = method.gradients(batch, clock)
        assert 0.3 < sums["mean KL weight"] < 1
        return (sums["recon"] + sums["mean KL weight"] * sums["kl"]) / len(EXAMPLES)

    loss()
    slopes = {name: parameter.grad.clone() for name, parameter in method.modules.named_parameters()}
    random = torch.Generator().manual_seed(9)
    for module in ("generator", "encoder"):
        parameters = dict(method.modules[module].named_parameters(prefix=module))
        shifts = {
            name: torch.randn(parameter.shape, generator=random, dtype=torch.float64)
            for name, parameter in parameters.items()
        }

        def moved(sign: float, parameters: dict[str, Tensor], shifts: dict[str, Tensor]) -> float:
            with torch.no_grad():
                for name, parameter in parameters.items():
                    parameter += sign * size * shifts[name]
                value = loss()
                for name, parameter in parameters.items():
                    parameter -= sign * size * shifts[name]
            return value

        slope = (moved(1, parameters, shifts) - moved(-1, parameters, shifts)) / (2 * size)
        expected = sum(float((slopes[name] * shift).sum()) for name, shift in shifts.items())
        assert slope == pytest.approx(expected, rel=1e-6), module
        assert abs(expected) > 1e-2


def test_refinement_affects_both_gradients(method: SemiAmortizedVae, batch_of: BatchOf, clock: Clock) -> None:
    found = []
    for rate in (0.2, 1e-12):  # the second rate amounts to no refinement
        other = with_refinement(method, rate=rate)
        sums = other.gradients(batch_of(EXAMPLES), clock)
        assert (abs(sums["gap closed"]) > 0.1) == (rate == 0.2)
        found.append([parameter.grad.clone() for parameter in other.modules.parameters()])
    assert all(float((one - two).norm() / one.norm()) > 1e-2 for one, two in zip(*found, strict=True))


def test_gap_closed_is_the_difference_of_the_bounds(
    method: SemiAmortizedVae, batch_of: BatchOf, clock: Clock
) -> None:
    batch = batch_of(EXAMPLES)
    refined = method.gradients(batch, clock)
    # Without refinement, but with the same masks and the same final noise.
    bare = with_refinement(method, rate=1e-14).gradients(batch, clock)
    weight = refined["mean KL weight"]
    gap = bare["recon"] + weight * bare["kl"] - refined["recon"] - weight * refined["kl"]
    assert refined["gap closed"] == pytest.approx(gap, rel=1e-8)


@pytest.mark.slow
def test_refinement_raises_the_bound_below_the_likelihood(
    trained: SemiAmortizedVae, batch_of: BatchOf
) -> None:
    batch = batch_of(range(12))
    conditional = trained.conditional(batch)

    def bound(method: SemiAmortizedVae) -> Tensor:
        recon = -conditional.log_likelihood(method.posterior(conditional, 5, 100)).mean(0)
        return -recon - method.kl_to_prior(conditional, 5).kl

    refined = bound(trained.refined(Refinement(20, rate=0.05)))
    bare = bound(trained.refined(Refinement(0)))
    assert float((refined - bare).mean()) > 0.005
    draws = Stream(0, "prior").normal(torch.arange(12), 4000 * 3, dtype=torch.float64)
    log_p = conditional.log_likelihood(draws.view(12, 4000, 3).transpose(0, 1))
    likelihood = torch.logsumexp(log_p, 0) - math.log(4000)
    assert float((likelihood - refined).mean()) > 0
    assert float((likelihood - refined).min()) > -0.05  # the noise of 100 draws


def test_refinement_does_not_depend_on_the_batch(trained: SemiAmortizedVae, batch_of: BatchOf) -> None:
    whole = trained.proposal(trained.conditional(batch_of([4, 0, 7])), 2)
    alone = trained.proposal(trained.conditional(batch_of([7])), 2)
    other = trained.proposal(trained.conditional(batch_of([7])), 3)
    for one, two in zip(whole, alone, strict=True):
        torch.testing.assert_close(one[2:], two, rtol=1e-10, atol=1e-12)
    assert not torch.allclose(other.mean, alone.mean, rtol=1e-6), "the noise must depend on the seed"


def test_draws_and_kl_come_from_the_refined_posterior(trained: SemiAmortizedVae, batch_of: BatchOf) -> None:
    conditional = trained.conditional(batch_of(EXAMPLES))
    q = trained.refined(Refinement(2, rate=0.1)).proposal(conditional, 1)
    encoder = trained.encoder.run(conditional.batch).q
    assert not torch.allclose(q.mean, encoder.mean, rtol=1e-3)
    torch.testing.assert_close(trained.kl_to_prior(conditional, 1).kl, q.kl_to_prior())
    torch.testing.assert_close(
        trained.posterior(conditional, 1, 3), q.sample(Stream(1, "evaluation"), conditional.batch.examples, 3)
    )
    bare = trained.refined(Refinement(0))
    assert torch.equal(bare.proposal(conditional, 1).mean, encoder.mean)
    assert (trained.posterior_name, bare.posterior_name) == ("encoder + 2 svi steps", "encoder")
