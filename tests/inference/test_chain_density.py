"""The product of the steps' determinants, against the determinant of the whole chain by autograd."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from torch import Tensor

from sritool.data.batches import Batch
from sritool.inference.chain_density import chain_density, kl_given_noise
from sritool.inference.langevin import Dynamics, log_joint_of, log_prior, short_run
from sritool.model.conditional import Conditional, Weights
from sritool.model.generator import Generator
from sritool.model.random import Stream

SCHEDULES = {"gentle": (0.05, 0.03, 0.02), "large": (0.9, 0.6, 0.4)}


@pytest.mark.parametrize("truncation", [0.0, 0.5])
@pytest.mark.parametrize("steps", SCHEDULES.values(), ids=SCHEDULES.keys())
def test_log_density_matches_the_whole_map(
    make_generator: Callable[..., Generator],
    make_batch: Callable[..., Batch],
    steps: tuple[float, ...],
    truncation: float,
) -> None:
    generator, batch = make_generator(scale=2.0), make_batch((5, 3, 4))
    fast = Conditional(Weights(generator), batch)
    draws = Stream(4, "chain").normal(torch.arange(3), 12, dtype=torch.float64).view(3, 4, 3)
    root = torch.tensor([[0.9, 0.1, 0.0], [0.1, 0.8, 0.2], [0.0, 0.2, 0.7]], dtype=torch.float64)
    dynamics = Dynamics(steps, 0.3, root, truncation=truncation)
    start, noise = draws[:, 0], draws[:, 1:].transpose(0, 1)
    chain = short_run(log_joint_of(fast), start, noise, dynamics, keep_path=True)
    density = chain_density(fast, chain)

    cut: list[Tensor] = []

    def whole_map(start_points: Tensor) -> Tensor:
        z = start_points
        for k, step in enumerate(steps):
            energy = 0.5 * z.square().sum() - generator.log_likelihood(batch.inputs, batch.targets, z).sum()
            (force,) = torch.autograd.grad(energy, z, create_graph=True)
            pull = -(root.t() @ force.unsqueeze(-1)).squeeze(-1)
            lengths = pull.norm(dim=-1, keepdim=True)
            if truncation:
                cut.append(lengths.detach() > truncation * 3**0.5)
                pull = pull * torch.where(cut[-1], truncation * 3**0.5 / lengths, 1.0)
            z = z + (step * pull + 0.3 * (2 * step) ** 0.5 * noise[k]) @ root.t()
        return z

    torch.testing.assert_close(whole_map(start.clone().requires_grad_()).detach(), chain.end)
    if truncation:
        assert 0 < int(torch.cat(cut).sum()) < 3 * len(steps), (
            "all or no steps are truncated, so nothing is tested"
        )
    jacobian = torch.autograd.functional.jacobian(whole_map, start)  # [batch, latent, batch, latent]
    own = torch.stack([jacobian[k, :, k] for k in range(3)])
    sign, logarithm = torch.linalg.slogdet(own)
    torch.testing.assert_close(density.log_density, log_prior(start) - logarithm, rtol=1e-8, atol=1e-8)
    assert torch.equal(density.sign, sign)
    if steps == SCHEDULES["large"]:
        assert truncation or float(sign.min()) == -1, "no step folds, so signs are not tested"
        assert truncation or float(density.folded.max()) > 0
    else:
        assert density.folded.tolist() == [0.0] * 3
    torch.testing.assert_close(
        kl_given_noise(chain, density),
        log_prior(start) - logarithm - log_prior(chain.end),
        rtol=1e-8,
        atol=1e-8,
    )


def test_chain_without_its_path_is_refused(
    make_generator: Callable[..., Generator], make_batch: Callable[..., Batch]
) -> None:
    fast = Conditional(Weights(make_generator()), make_batch((3,)))
    zeros = torch.zeros(1, 3, dtype=torch.float64)
    chain = short_run(lambda z, _: (z.sum(-1), -z), zeros, zeros[None], Dynamics((0.1,)))
    with pytest.raises(AssertionError, match="keep_path"):
        chain_density(fast, chain)
