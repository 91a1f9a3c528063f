"""A generator so small that all its sentences can be enumerated and its codes integrated on a grid."""

from __future__ import annotations

from itertools import product
from typing import NamedTuple

import numpy as np
import pytest
import torch
from torch import Tensor

from sritool.config.settings import GeneratorConfig, LikelihoodConfig
from sritool.data.batches import Batch, collate
from sritool.data.tokenizer import EOS, UNK
from sritool.inference.langevin import log_prior
from sritool.likelihood.adaptation import adaptive_draws
from sritool.likelihood.importance import likelihood_figures
from sritool.model.conditional import Conditional, Weights
from sritool.model.generator import Generator
from sritool.model.random import Stream
from support.batches import split_of

VOCABULARY, LONGEST = 6, 5  # three words: <unk> and two more
WORDS = range(UNK, VOCABULARY)


def batch_of(sentences: list[list[int]]) -> Batch:
    return collate(split_of(sentences), range(len(sentences)))


class Grid(NamedTuple):
    """Codes on a square grid and the prior's mass at each."""

    codes: Tensor  # [points, 2]
    log_mass: Tensor  # [points]


@pytest.fixture(scope="module")
def generator() -> Generator:
    """A generator whose parameters are so large that its words depend on z."""
    generator = Generator(GeneratorConfig(embedding=3, hidden=4, latent=2), VOCABULARY)
    generator.initialise(1.6, seed=4)
    return generator.double()


@pytest.fixture(scope="module")
def grid() -> Grid:
    axis = torch.linspace(-6, 6, 61, dtype=torch.float64)
    codes = torch.cartesian_prod(axis, axis)
    return Grid(codes, log_prior(codes) + 2 * float(torch.log(axis[1] - axis[0])))


def by_quadrature(generator: Generator, batch: Batch, grid: Grid) -> tuple[Tensor, Tensor]:
    """log p(x) and KL(p(z|x) ‖ p(z)) of each sentence."""
    fast = Conditional(Weights(generator), batch)
    parts = grid.codes[:, None].expand(-1, len(batch.lengths), -1).split(500)
    conditional = torch.cat([fast.log_likelihood(part) for part in parts])
    joint = conditional + grid.log_mass[:, None]
    evidence = joint.logsumexp(0)
    return evidence, ((joint - evidence).exp() * conditional).sum(0) - evidence


def all_sentences() -> list[list[int]]:
    """Every sentence of up to LONGEST words, and all longer ones as cut sentences."""
    ended = [[*words, EOS] for length in range(LONGEST + 1) for words in product(WORDS, repeat=length)]
    return ended + [list(words) for words in product(WORDS, repeat=LONGEST + 1)]


def test_sentences_sum_to_one_given_z(generator: Generator) -> None:
    batch = batch_of(all_sentences())
    fast = Conditional(Weights(generator), batch)
    for seed in range(3):
        z = torch.randn(2, generator=torch.Generator().manual_seed(seed)).double() * 2
        together = z.expand(len(batch.lengths), 2)
        plain = generator.log_likelihood(batch.inputs, batch.targets, together).detach()
        assert float(plain.logsumexp(0)) == pytest.approx(0.0, abs=1e-12)
        assert float(fast.log_likelihood(together).logsumexp(0)) == pytest.approx(0.0, abs=1e-12)


def test_sentences_sum_to_one_with_z_integrated_out(generator: Generator, grid: Grid) -> None:
    few, log_mass = grid.codes[7::60], grid.log_mass[7::60]
    coarse = Grid(few, log_mass - log_mass.logsumexp(0))  # any masses that sum to 1
    evidence, _ = by_quadrature(generator, batch_of(all_sentences()), coarse)
    assert float(evidence.logsumexp(0)) == pytest.approx(0.0, abs=1e-9)


def test_adaptive_agrees_with_quadrature(generator: Generator, grid: Grid) -> None:
    random = np.random.default_rng(0)
    sentences = [[*random.integers(UNK, VOCABULARY, length).tolist(), EOS] for length in range(12)]
    sentences += [[word] * 12 + [EOS] for word in WORDS]
    batch = batch_of(sentences)
    evidence, kl = by_quadrature(generator, batch, grid)
    assert float(kl.max()) > 1.0, "z does not matter, so any proposal would pass"
    starts = torch.stack(
        [Stream(0, "starts", k).normal(batch.examples, 2, dtype=torch.float64) for k in range(3)]
    )
    draws = 4000
    config = LikelihoodConfig(samples=draws, pilots=300, rounds=2, modes=3)
    weighed = likelihood_figures(
        adaptive_draws(Conditional(Weights(generator), batch), starts, 0, batch.examples, config)
    )
    error = ((draws / weighed.effective_sample_size - 1) / draws).sqrt()
    assert float(error.max()) < 0.1
    assert float(((weighed.log_likelihood - evidence) / error).abs().max()) < 5
    found = weighed.posterior_kl
    assert float((found - kl).abs().max()) < 0.15
    torch.testing.assert_close(found.mean(), kl.mean(), rtol=0.03, atol=0)
