"""Clipping against PyTorch's own."""

from __future__ import annotations

import math

import pytest
import torch
from torch import nn

from sritool.training.clipping import clip_gradients


def parameters() -> list[nn.Parameter]:
    """One without a gradient, and two whose joint norm is 5."""
    made = [nn.Parameter(torch.zeros(2)) for _ in range(3)]
    made[0].grad, made[1].grad = torch.tensor([3.0, 0.0]), torch.tensor([0.0, -4.0])
    return made


@pytest.mark.parametrize("bound", [0.5, 4.999999, 5.0, 5.000001, 7.0])
def test_the_gradients_are_those_of_pytorch_to_the_bit(bound: float) -> None:
    found, expected = parameters(), parameters()
    norm = clip_gradients(iter(found), bound)
    assert norm == float(nn.utils.clip_grad_norm_(expected, bound)) == 5.0
    for one, other in zip(found[:2], expected[:2], strict=True):
        assert one.grad is not None
        assert other.grad is not None
        assert torch.equal(one.grad, other.grad)
    assert found[2].grad is None
    shrunk = math.hypot(*(float(p.grad.norm()) for p in found if p.grad is not None))
    assert shrunk <= bound + 1e-6


def test_no_bound_leaves_everything() -> None:
    found = parameters()
    assert clip_gradients(found, 0.0) == 5.0
    assert found[0].grad is not None
    assert found[0].grad.tolist() == [3.0, 0.0]


def test_a_norm_that_is_not_finite_is_returned() -> None:
    found = parameters()
    found[0].grad = torch.tensor([float("nan"), 0.0])
    assert math.isnan(clip_gradients(found, 1.0))
