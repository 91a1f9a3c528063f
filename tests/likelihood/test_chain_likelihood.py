"""Chains as a proposal: their weights, the closed form of their contraction, and how many run at a time."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor

from sritool.config.settings import GeneratorConfig, SamplerConfig
from sritool.data.batches import Batch
from sritool.inference.chain_density import chain_density, kl_given_noise
from sritool.inference.langevin import Dynamics, evaluated, log_joint_of, log_prior, short_run
from sritool.likelihood.chain_likelihood import chain_draws, kl_on_the_prior, rows_within
from sritool.model.conditional import Conditional, Weights
from sritool.model.generator import Generator
from sritool.model.random import Stream

DYNAMICS = Dynamics((0.1, 0.05), 0.5)


@pytest.fixture
def fast(make_generator: Callable[..., Generator], make_batch: Callable[..., Batch]) -> Conditional:
    return Conditional(Weights(make_generator()), make_batch((5, 3, 4)))


class Counting:
    """A target that records how many codes each call for the Hessian has."""

    def __init__(self, target: Conditional) -> None:
        self.target, self.asked = target, set[int]()

    def __getattr__(self, name: str) -> Any:
        return getattr(self.target, name)

    def hessian(self, z: Tensor) -> Tensor:
        self.asked.add(z.shape[:-1].numel())
        return self.target.hessian(z)


def draws_of(target: Any, draws: int = 6, rows: int = 100, seed: int = 0) -> tuple[Tensor, ...]:
    drawn = chain_draws(target, torch.arange(3), 3, DYNAMICS, draws, rows, seed, torch.float64)
    return tuple(drawn)  # type: ignore[arg-type]


def test_rows_at_a_time_do_not_matter(fast: Conditional) -> None:
    whole = draws_of(fast)
    for rows, largest in ((1, 3), (7, 6), (9, 9)):
        counting = Counting(fast)
        for one, other in zip(draws_of(counting, rows=rows), whole, strict=True):
            torch.testing.assert_close(one, other, rtol=1e-10, atol=1e-12)
        assert max(counting.asked) == largest


def test_larger_count_keeps_the_first_chains(fast: Conditional) -> None:
    few, many = draws_of(fast, draws=2), draws_of(fast)
    for one, other in zip(few, many, strict=True):
        torch.testing.assert_close(one, other[:2], rtol=1e-10, atol=1e-12)
    assert not torch.isclose(draws_of(fast, seed=1)[0], many[0]).any()


def test_weights_match_the_chain_of_the_code(fast: Conditional) -> None:
    z, conditional, log_weights, sign, folded = draws_of(fast)
    torch.testing.assert_close(conditional, fast.log_likelihood(z))
    flat = Stream(0, "sri likelihood").normal(torch.arange(3), 9, 4, torch.float64).view(3, 3, 3)
    chain = short_run(log_joint_of(fast), flat[:, 0], flat[:, 1:].transpose(0, 1), DYNAMICS, keep_path=True)
    density = chain_density(fast, chain)
    torch.testing.assert_close(z[4], chain.end)
    expected = fast.log_likelihood(chain.end) + log_prior(chain.end) - density.log_density
    torch.testing.assert_close(log_weights[4], expected)
    assert torch.equal(sign[4], density.sign)
    assert torch.equal(folded[4], density.folded)


@pytest.mark.parametrize("temperature", [0.0, 0.2, 1.0])
def test_contraction_has_a_closed_form(temperature: float) -> None:
    sampler = SamplerConfig(
        steps=6, step_sizes=(0.32, 0.245, 0.02), evaluation_temperature=temperature, name="any"
    )
    batch, latent = 20_000, 4
    flat = Stream(0, "chain").normal(torch.arange(batch), 7 * latent, 0, torch.float64).view(batch, 7, latent)
    noise = flat[:, 1:].transpose(0, 1)
    dynamics = evaluated(sampler)
    chain = short_run(lambda z, _: (log_prior(z), -z), flat[:, 0], noise, dynamics, keep_path=True)

    class Nothing:
        def hessian(self, z: Tensor) -> Tensor:
            return torch.zeros(latent, latent, dtype=z.dtype)

    kl = kl_given_noise(chain, chain_density(Nothing(), chain))  # type: ignore[arg-type]
    error = float(kl.std()) / batch**0.5
    assert abs(float(kl.mean()) - kl_on_the_prior(dynamics, latent)) < 4 * error + 1e-9


def test_contraction_of_the_authors_schedule() -> None:
    """A standard deviation of 0.35 without noise: 0.62 nats per dimension, 20 nats in 32 dimensions."""
    sizes = (0.32, 0.245, 0.18, 0.125, 0.02, 0.02, 0.005, 0.005, 0.00125)
    dynamics = evaluated(SamplerConfig(steps=20, step_sizes=sizes, evaluation_temperature=0.0))
    assert kl_on_the_prior(dynamics, 1) == pytest.approx(0.62, abs=0.005)
    assert kl_on_the_prior(dynamics, 32) == pytest.approx(20, abs=0.2)


def test_memory_limits_the_rows() -> None:
    small, large = GeneratorConfig(hidden=64, latent=8), GeneratorConfig(hidden=1024, latent=32)
    assert rows_within(1, large, 100) == 1
    assert rows_within(4 << 30, small, 10) > rows_within(4 << 30, large, 10) > rows_within(1 << 30, large, 10)
    assert rows_within(4 << 30, large, 20) == pytest.approx(rows_within(4 << 30, large, 40) * 2, abs=2)
