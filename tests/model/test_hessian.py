"""Hessians and gradients in z of the fast path, against autograd and finite differences."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from model.reference import LENGTHS, MakeBatch, MakeGenerator, codes
from sritool.model import hessian as curvature
from sritool.model.conditional import Conditional, Weights


@pytest.mark.parametrize("lengths", LENGTHS.values(), ids=LENGTHS.keys())
def test_hessian_agrees_with_autograd(
    make_generator: MakeGenerator, make_batch: MakeBatch, lengths: tuple[int, ...]
) -> None:
    generator, batch, z = make_generator(), make_batch(lengths), codes(len(lengths))
    found = Conditional(Weights(generator), batch).hessian(z)
    assert torch.equal(found, found.mT)
    for index in range(len(lengths)):

        def nll(code: Tensor, index: int = index) -> Tensor:
            whole = torch.cat([z[:index], code[None], z[index + 1 :]])
            return -generator.log_likelihood(batch.inputs, batch.targets, whole)[index]

        expected = torch.autograd.functional.hessian(nll, z[index])
        assert float(expected.abs().max()) > 1e-2
        torch.testing.assert_close(found[index], expected, rtol=1e-9, atol=1e-10)


def test_hessian_agrees_with_differences_of_the_gradient(
    make_generator: MakeGenerator, make_batch: MakeBatch
) -> None:
    fast, z, step = Conditional(Weights(make_generator()), make_batch((6, 3, 5))), codes(3), 1e-5
    found = fast.hessian(z)
    for axis in range(3):
        shift = torch.zeros(3, dtype=torch.float64)
        shift[axis] = step
        slope = (fast.evaluate(z - shift).gradient - fast.evaluate(z + shift).gradient) / (2 * step)
        torch.testing.assert_close(found[:, axis], slope, rtol=1e-6, atol=1e-8)


def test_gradient_agrees_with_differences_of_the_value(
    make_generator: MakeGenerator, make_batch: MakeBatch
) -> None:
    fast, z, step = Conditional(Weights(make_generator()), make_batch((6, 3, 5))), codes(3), 1e-6
    gradient = fast.evaluate(z).gradient
    for axis in range(3):
        shift = torch.zeros(3, dtype=torch.float64)
        shift[axis] = step
        slope = (fast.log_likelihood(z + shift) - fast.log_likelihood(z - shift)) / (2 * step)
        torch.testing.assert_close(gradient[:, axis], slope, rtol=1e-6, atol=1e-8)


def test_splitting_the_tangents_changes_nothing(
    make_generator: MakeGenerator,
    make_batch: MakeBatch,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    fast, z = Conditional(Weights(make_generator()), make_batch((6, 3, 5))), codes(3)
    whole = fast.hessian(z)
    monkeypatch.setattr(curvature, "_TANGENT_ELEMENTS", 1)
    torch.testing.assert_close(fast.hessian(z), whole, rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("lengths", LENGTHS.values(), ids=LENGTHS.keys())
def test_many_draws_agree_with_single_draws(
    make_generator: MakeGenerator, make_batch: MakeBatch, lengths: tuple[int, ...]
) -> None:
    fast = Conditional(Weights(make_generator()), make_batch(lengths))
    z = torch.stack([codes(len(lengths), seed=seed) for seed in range(4)]).unflatten(0, (2, 2))
    together = fast.hessian(z)
    assert together.shape == (2, 2, len(lengths), 3, 3)
    for found, code in zip(together.flatten(0, 1), z.flatten(0, 1), strict=True):
        torch.testing.assert_close(found, fast.hessian(code), rtol=1e-10, atol=1e-12)
