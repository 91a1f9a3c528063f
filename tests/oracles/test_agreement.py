"""`adaptive` against annealing, on a generator that uses z and on one that ignores it."""

from __future__ import annotations

import math

import numpy as np
import torch
from torch import Tensor

from sritool.config.settings import GeneratorConfig, LikelihoodConfig
from sritool.data.batches import collate
from sritool.data.tokenizer import EOS
from sritool.likelihood.adaptation import adaptive_draws
from sritool.likelihood.ais import anneal, anneal_reverse, ladder
from sritool.likelihood.importance import likelihood_figures
from sritool.model.conditional import Conditional, Weights
from sritool.model.decoding import DecodingConfig, decode
from sritool.model.generator import Generator
from sritool.model.random import Stream
from support.batches import split_of

VOCABULARY, LATENT, COUNT, LONGEST = 14, 6, 16, 10


def generator(uses_z: bool) -> Generator:
    """A generator with large parameters, so that its words depend on z, or with none from z."""
    made = Generator(GeneratorConfig(embedding=4, hidden=12, latent=LATENT), VOCABULARY)
    made.initialise(1.2, seed=3)
    if not uses_z:
        with torch.no_grad():
            made.latent_to_gates.zero_()
            made.latent_to_initial.zero_()
    return made.double()


def simulated(made: Generator) -> tuple[Conditional, Tensor]:
    """Sentences of the generator, and the codes they were generated from."""
    codes = Stream(0, "codes").normal(torch.arange(COUNT), LATENT, dtype=torch.float64)
    words = decode(made, codes, DecodingConfig(greedy=False, max_length=LONGEST), Stream(0, "words"))
    targets = [row if len(row) == LONGEST else [*row, EOS] for row in words]
    batch = collate(split_of(targets), np.arange(COUNT))
    return Conditional(Weights(made), batch), codes


def adaptive(target: Conditional, draws: int) -> tuple[Tensor, Tensor]:
    """log p̂(x) and its standard error by the delta method, from uninformed starts."""
    starts = Stream(1, "starts").normal(torch.arange(COUNT), LATENT, dtype=torch.float64).unsqueeze(0)
    config = LikelihoodConfig(samples=draws, modes=1)
    found = likelihood_figures(adaptive_draws(target, starts, 0, torch.arange(COUNT), config))
    return found.log_likelihood, ((draws / found.effective_sample_size - 1) / draws).clamp_min(0).sqrt()


def test_agreement_where_z_is_used() -> None:
    target, codes = simulated(generator(uses_z=True))
    examples, chains = torch.arange(COUNT), 16
    value, error = adaptive(target, 1000)
    steps = ladder(target, examples, LATENT, torch.float64, rungs=40)
    lower = anneal(target, steps, examples, chains)
    upper = anneal_reverse(target, steps, codes, examples, chains)
    annealed = ((16 / lower.effective_sample_size - 1) / 16).clamp_min(0).sqrt()
    apart = (value - lower.log_likelihood) / (error.square() + annealed.square()).sqrt()
    assert float(apart.abs().max()) < 5
    assert float(apart.mean().abs()) < 4 / math.sqrt(COUNT)
    assert float(error.mean()) < 0.1, "too rough for any disagreement to show"
    below = upper.log_likelihood - value
    assert float(below.mean()) > -3 * float(below.std()) / math.sqrt(COUNT)
    assert float(below.mean()) < 0.3
    # With sentences that say nothing about z, any proposal would pass.
    kl = target.log_likelihood(codes) - value
    assert float(kl.mean()) > 0.5


def test_both_are_exact_where_z_is_ignored() -> None:
    target, codes = simulated(generator(uses_z=False))
    truth = target.log_likelihood(codes)
    examples, chains = torch.arange(COUNT), 3
    value, error = adaptive(target, 100)
    assert float(error.max()) < 0.08
    assert float((value - truth).abs().max()) < 0.25
    assert float((value - truth).mean().abs()) < 0.03
    steps = ladder(target, examples, LATENT, torch.float64, rungs=5)
    torch.testing.assert_close(anneal(target, steps, examples, chains).log_likelihood, truth)
    reverse = anneal_reverse(target, steps, codes, examples, chains)
    torch.testing.assert_close(reverse.log_likelihood, truth)
