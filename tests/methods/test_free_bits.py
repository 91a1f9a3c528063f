"""The hinge: what it lets through of a KL's gradient, against autograd of max(KL, target)."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from sritool.methods import free_bits
from sritool.model.gaussian import DiagonalGaussian

TARGET = 1.5
CODES = torch.tensor([[0.0, 0.1, -0.1], [2.0, 0.0, 0.0], [1.0, 1.2, -1.1], [0.5, 3.0, 0.2]]).double()
SPREAD = torch.tensor([[0.0, 0.1, 0.0], [0.0, 0.0, 0.0], [-1.0, 0.3, -0.2], [0.0, -3.0, 0.1]]).double()


def sum_of_maxima(kl: Tensor, whole: bool) -> Tensor:
    if whole:
        return kl.sum(-1).clamp_min(TARGET).sum()
    return kl.clamp_min(TARGET / kl.shape[-1]).sum()


@pytest.mark.parametrize("whole", [True, False])
def test_gradient_is_zero_below_the_target_and_full_above(whole: bool) -> None:
    q = DiagonalGaussian(CODES.clone().requires_grad_(), SPREAD.clone().requires_grad_())
    kl = q.kl_by_dimension()
    hinge = (free_bits.per_sentence if whole else free_bits.per_dimension)(kl.detach(), TARGET)
    expected = torch.autograd.grad(sum_of_maxima(kl, whole), list(q))
    plain = q.kl_gradient()
    torch.testing.assert_close(hinge * plain.mean, expected[0])
    torch.testing.assert_close(hinge * plain.log_variance, expected[1])
    assert set(hinge.flatten().tolist()) == {0.0, 1.0}, "both sides of the target are looked at"


def test_sentences_and_dimensions_differ() -> None:
    kl = torch.tensor([[1.6, 0.0, 0.0], [0.4, 0.4, 0.4]]).double()
    assert free_bits.per_sentence(kl, TARGET).tolist() == [[1, 1, 1], [0, 0, 0]]
    assert free_bits.per_dimension(kl, TARGET).tolist() == [[1, 0, 0], [0, 0, 0]]
