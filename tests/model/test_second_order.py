"""Second derivatives along a direction, against autograd, the Hessian and finite differences."""

from __future__ import annotations

import pytest
import torch

from model.reference import LENGTHS, MakeBatch, MakeGenerator, assert_gradients_agree, codes, masks_of
from sritool.model import second_order
from sritool.model.conditional import Conditional, Weights
from sritool.model.second_order import hessian_vector_product

each_dropout = pytest.mark.parametrize("dropout", [0.0, 0.5], ids=["plain", "dropout"])


@each_dropout
@pytest.mark.parametrize("lengths", LENGTHS.values(), ids=LENGTHS.keys())
def test_gradients_agree_with_double_backward(
    make_generator: MakeGenerator, make_batch: MakeBatch, lengths: tuple[int, ...], dropout: float
) -> None:
    generator, batch = make_generator(dropout=dropout), make_batch(lengths)
    assert_gradients_agree(generator, batch, masks_of(generator, batch))


def test_curvature_agrees_with_the_hessian(make_generator: MakeGenerator, make_batch: MakeBatch) -> None:
    generator, batch, z, u = make_generator(), make_batch(LENGTHS["padded"]), codes(4), codes(4, seed=6)
    hessian = Conditional(Weights(generator), batch).hessian(z)  # of −log p
    found = hessian_vector_product(generator, batch, None, z, u).of_code
    torch.testing.assert_close(found, -(hessian @ u.unsqueeze(-1)).squeeze(-1), rtol=1e-10, atol=1e-12)


@each_dropout
def test_curvature_agrees_with_differences_of_the_gradient(
    make_generator: MakeGenerator, make_batch: MakeBatch, dropout: float
) -> None:
    generator, batch, step = make_generator(dropout=dropout), make_batch((6, 3, 5)), 1e-5
    masks, z, u = masks_of(generator, batch), codes(3), codes(3, seed=6)
    fast = Conditional(Weights(generator), batch)
    up, down = (fast.evaluate(z + sign * step * u, masks).gradient for sign in (1, -1))
    found = hessian_vector_product(generator, batch, masks, z, u).of_code
    torch.testing.assert_close(found, (up - down) / (2 * step), rtol=1e-6, atol=1e-8)


def test_splitting_the_batch_changes_nothing(
    make_generator: MakeGenerator, make_batch: MakeBatch, monkeypatch: pytest.MonkeyPatch
) -> None:
    generator, batch, z, u = make_generator(), make_batch((6, 3, 5)), codes(3), codes(3, seed=6)
    masks = masks_of(generator, batch)
    whole = hessian_vector_product(generator, batch, masks, z, u)
    monkeypatch.setattr(second_order, "_LOGITS", 1)
    parts = hessian_vector_product(generator, batch, masks, z, u)
    torch.testing.assert_close(parts.of_code, whole.of_code, rtol=1e-11, atol=1e-12)
    torch.testing.assert_close(parts.of_parameters, whole.of_parameters, rtol=1e-11, atol=1e-12)
