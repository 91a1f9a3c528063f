"""Chains that fold: weights with the sign of the Jacobian are unbiased, those without it are not."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from sritool.inference.chain_density import ChainDensity, chain_density
from sritool.inference.langevin import Chain, Dynamics, log_joint_of, log_prior, short_run

# So wide that its image under the contracting chain covers all of p(x, z).
GRID = torch.linspace(-25, 25, 400_001, dtype=torch.float64)[:, None]
WIDTH = float(GRID[1, 0] - GRID[0, 0])


def chain_from(target: Any, start: Tensor, steps: tuple[float, ...]) -> Chain:
    noise = torch.full((len(steps), *start.shape), 0.4, dtype=torch.float64)  # one noise path for all
    return short_run(log_joint_of(target), start, noise, Dynamics(steps, 0.5), keep_path=True)


def evidence(target: Any) -> float:
    """p(x) by quadrature."""
    return float((target.log_likelihood(GRID) + log_prior(GRID)).exp().sum()) * WIDTH


def expected_weights(target: Any, steps: tuple[float, ...]) -> tuple[float, float, ChainDensity]:
    """E_{z_0}[sign · w] and E_{z_0}[w] by quadrature over z_0, with w = p(x, z_K) / q(z_K | ε)."""
    chain = chain_from(target, GRID, steps)
    density = chain_density(target, chain)
    weights = (target.log_likelihood(chain.end) + log_prior(chain.end) - density.log_density).exp()
    prior = log_prior(GRID).exp() * WIDTH
    return float((prior * density.sign * weights).sum()), float((prior * weights).sum()), density


def test_signed_weights_are_unbiased_where_steps_fold(ripple: Any) -> None:
    signed, absolute, density = expected_weights(ripple, (0.4, 0.3))
    assert set(density.sign.tolist()) == {-1.0, 1.0}
    prior = log_prior(GRID).exp() * WIDTH
    share = float((prior * density.folded).sum())
    assert 0.05 < share < 0.95
    assert abs(signed / evidence(ripple) - 1) < 1e-6
    assert absolute / evidence(ripple) > 1.1


def test_small_steps_do_not_fold(ripple: Any) -> None:
    signed, absolute, density = expected_weights(ripple, (0.05, 0.05, 0.02))
    assert bool((density.sign == 1).all())
    assert float(density.folded.max()) == 0
    assert abs(signed / evidence(ripple) - 1) < 1e-6
    assert signed == absolute


def test_folds_match_the_slope_of_the_map(ripple: Any) -> None:
    """A step's map, differentiated by autograd: negative slope, fold and sign −1 coincide."""
    start = torch.linspace(-3, 3, 401, dtype=torch.float64)[:, None]
    density = chain_density(ripple, chain_from(ripple, start, (0.4,)))
    z = start.clone().requires_grad_()
    potential = 0.5 * z.square() - ripple.height * torch.cos(ripple.frequency * z)
    (force,) = torch.autograd.grad(potential.sum(), z, create_graph=True)
    (slope,) = torch.autograd.grad((z - 0.4 * force).sum(), z)
    turned = slope.squeeze(1) < 0
    assert bool(turned.any())
    assert torch.equal(density.folded > 0, turned)
    assert torch.equal(density.sign < 0, turned)
    torch.testing.assert_close(density.log_density, log_prior(start) - slope.squeeze(1).abs().log())
