"""The parts of annealed importance sampling, and what its noise must not depend on."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from sritool.likelihood import ais
from sritool.likelihood.ais import anneal, anneal_reverse, ladder, schedule
from sritool.model.random import Stream

LATENT = 3


class Cubes:
    """log p(x|z) = −sharpness · Σ (z − centre)² − Σ z⁴ / 8, each sentence with its own sharpness and centre."""

    def __init__(self, sentences: Tensor) -> None:
        self.sharpness = (1.0 + sentences.double()).unsqueeze(-1)
        self.centre = torch.sin(sentences.double()).unsqueeze(-1)

    def log_likelihood(self, z: Tensor) -> Tensor:
        return -(self.sharpness * (z - self.centre).square() + z**4 / 8).sum(-1)

    def evaluate(self, z: Tensor) -> tuple[Tensor, Tensor]:
        return self.log_likelihood(z), -2 * self.sharpness * (z - self.centre) - z**3 / 2

    def hessian(self, z: Tensor) -> Tensor:
        return torch.diag_embed(2 * self.sharpness + 1.5 * z.square())


def both(
    sentences: Tensor, rungs: int = 12, chains: int = 5, seed: int = 0
) -> tuple[ais.Annealed, ais.Annealed]:
    target = Cubes(sentences)
    steps = ladder(target, sentences, LATENT, torch.float64, rungs, seed)
    exact = torch.cos(sentences.double()).unsqueeze(-1).expand(-1, LATENT)
    forward = anneal(target, steps, sentences, chains, seed)
    return forward, anneal_reverse(target, steps, exact, sentences, chains, seed)


def test_other_sentences_do_not_matter() -> None:
    together, apart = both(torch.tensor([7, 2, 5])), both(torch.tensor([5, 7]))
    for whole, part in zip(together, apart, strict=True):
        torch.testing.assert_close(part.log_weights, whole.log_weights[:, [2, 0]], rtol=1e-9, atol=1e-9)
        torch.testing.assert_close(part.end, whole.end[:, [2, 0]], rtol=1e-9, atol=1e-9)


def test_larger_count_keeps_the_first_chains() -> None:
    few, many = both(torch.arange(3)), both(torch.arange(3), chains=9)
    for one, other in zip(few, many, strict=True):
        torch.testing.assert_close(other.log_weights[:5], one.log_weights, rtol=1e-9, atol=1e-9)


def test_seeds_differ() -> None:
    first, second = both(torch.arange(3)), both(torch.arange(3), seed=1)
    for one, other in zip(first, second, strict=True):
        assert bool((one.log_weights != other.log_weights).all())


def test_one_rung_weighs_draws_of_the_prior() -> None:
    sentences = torch.arange(4)
    forward, _ = both(sentences, rungs=1, chains=50)
    prior = Stream(0, "ais").normal(sentences, 50 * LATENT, dtype=torch.float64)
    z = prior.view(4, 50, LATENT).transpose(0, 1)
    torch.testing.assert_close(forward.log_weights, Cubes(sentences).log_likelihood(z))


def test_values_follow_from_the_weights() -> None:
    forward, reverse = both(torch.arange(3))
    weights = forward.log_weights.exp()
    torch.testing.assert_close(forward.log_likelihood, weights.mean(0).log())
    torch.testing.assert_close(forward.effective_sample_size, weights.sum(0) ** 2 / weights.square().sum(0))
    inverse = (-reverse.log_weights).exp()
    torch.testing.assert_close(reverse.log_likelihood, -inverse.mean(0).log())
    torch.testing.assert_close(reverse.effective_sample_size, inverse.sum(0) ** 2 / inverse.square().sum(0))


def test_rungs_ascend_from_0_to_1() -> None:
    betas = schedule(20)
    assert betas[0] == 0
    assert betas[-1] == 1
    assert bool((betas.diff() > 0).all())
    torch.testing.assert_close(betas.flip(0), 1 - betas)
    for rungs in (1, 7, 150):  # fewer than the pilot has, and more
        steps = ladder(Cubes(torch.arange(3)), torch.arange(3), LATENT, torch.float64, rungs)
        assert steps.betas.shape == (rungs + 1, 3)
        assert steps.step_sizes.shape == (rungs, 3)
        assert steps.betas[0].tolist() == [0.0] * 3
        assert steps.betas[-1].tolist() == [1.0] * 3
        assert bool((steps.betas.diff(dim=0) > 0).all())
        assert bool((steps.step_sizes > 0).all())


def test_interpolation_matches_numpy() -> None:
    random = np.random.default_rng(0)
    positions, values = np.sort(random.random((6, 2)), 0), random.random((6, 2))
    at = random.random((9, 2)) * 1.4 - 0.2
    found = ais._interpolated(*(torch.from_numpy(array) for array in (at, positions, values)))
    for column in range(2):
        expected = np.interp(at[:, column], positions[:, column], values[:, column])
        np.testing.assert_allclose(found[:, column].numpy(), expected)


def test_rungs_are_denser_where_deviation_is_large() -> None:
    """Rungs divide ∫ deviation dβ evenly: with 9 times the deviation below β = ½, nine tenths of them lie there."""
    betas = torch.linspace(0, 1, 101, dtype=torch.float64).unsqueeze(1)
    deviation = torch.where(betas < 0.5, 9.0, 1.0).double()
    placed = ais._equal_lengths(betas, deviation, 1000)
    share = float((placed < 0.5).double().mean())
    kept = ais._LEAST_SHARE
    assert abs(share - ((1 - kept) * 0.9 + kept * 0.5)) < 0.02
