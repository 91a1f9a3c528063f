"""The paper's estimator, against closed forms: right where it can be, off by a known amount elsewhere."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import pytest
import torch

from sritool.inference.langevin import Dynamics
from sritool.likelihood.chain_likelihood import chain_draws
from sritool.likelihood.importance import LikelihoodFigures, likelihood_figures

SCHEDULE = (0.32, 0.245, 0.18, 0.125, 0.02, 0.02, 0.005, 0.005, *([0.00125] * 12))  # the authors'


def figures(target: Any, batch: int, latent: int, dynamics: Dynamics, draws: int) -> LikelihoodFigures:
    examples, rows = torch.arange(batch), 1 << 20
    return likelihood_figures(chain_draws(target, examples, latent, dynamics, draws, rows, 0, torch.float64))


def test_many_chains_with_small_steps_are_right(linear_gaussian: Callable[..., Any]) -> None:
    """Given its noise, the chain is wide enough in every direction for the weights to have finite variance."""
    target, batch = linear_gaussian((2.0, 0.5, 0.1), batch=16), 16
    found = figures(target, batch, 3, Dynamics((0.04,) * 5, 0.3), 1500)
    error = ((1500 / found.effective_sample_size - 1) / 1500).sqrt()
    assert float(error.mean()) < 0.1
    off = found.log_likelihood - target.evidence
    assert float((off / error).abs().max()) < 5
    few = found.log_likelihood_curve[:, 0] - target.evidence
    assert float(off.square().mean()) < float(few.square().mean())
    assert float(found.folded_share.max()) == 0
    torch.testing.assert_close(found.log_likelihood_signed, found.log_likelihood)


@pytest.mark.parametrize(
    ("temperature", "draws", "batch", "expected"),
    [(0.2, 10, 100, -16.0), (1.0, 10, 100, -29.0), (0.2, 500, 4, -13.0)],
)
def test_deficit_of_the_authors_schedule(
    temperature: float, draws: int, batch: int, expected: float, flat: Any
) -> None:
    """Where z is ignored, log p(x) = 0 and nothing folds: q given the noise is too narrow for M chains to find it."""
    flat.values = torch.zeros(batch, dtype=torch.float64)
    found = figures(flat, batch, 32, Dynamics(SCHEDULE, temperature), draws)
    off = found.log_likelihood
    error = float(off.std()) / math.sqrt(batch)
    assert error < 1.5
    assert abs(float(off.mean()) - expected) < 1.5 + 3 * error
    assert float(found.folded_share.max()) == 0
    assert float(found.effective_sample_size.mean()) < 0.25 * draws + 1


def test_only_signed_weights_are_right_with_folds(ripple: Any) -> None:
    grid = torch.linspace(-10, 10, 100_001, dtype=torch.float64)[:, None]
    joint = ripple.log_likelihood(grid) - 0.5 * grid.square().squeeze(1) - 0.5 * math.log(2 * math.pi)
    evidence = float(torch.logsumexp(joint, 0)) + math.log(20 / 100_000)
    batch = 50
    found = figures(ripple, batch, 1, Dynamics((0.2,), 0.5), 1000)
    signed = found.log_likelihood_signed - evidence
    error = float(signed.std()) / math.sqrt(batch)
    assert abs(float(signed.mean())) < 4 * error + float(signed.var()) / 2
    assert error < 0.02
    assert float((found.log_likelihood - evidence).mean()) > 0.05
    assert 0.05 < float(found.folded_share.mean()) < 0.95
    ratio = (found.log_likelihood_signed - found.log_likelihood).exp()
    torch.testing.assert_close(found.sign_ratio, ratio)


def test_absolute_weights_are_right_where_the_map_turns_space_around(
    linear_gaussian: Callable[..., Any],
) -> None:
    """A step of 0.03 multiplies z by 1 − 0.03 · 50 = −0.5: it counts as folded, but it is one-to-one."""
    target, batch = linear_gaussian((49.0,), batch=16), 16
    found = figures(target, batch, 1, Dynamics((0.03,), 1.0), 4000)
    error = ((4000 / found.effective_sample_size - 1) / 4000).sqrt()
    assert float(((found.log_likelihood - target.evidence) / error).abs().max()) < 5
    assert float(error.max()) < 0.2
    assert float(found.folded_share.min()) == 1
    assert bool(found.log_likelihood_signed.isneginf().all())
