"""The free-bits hinge against autograd of max(KL, target), and cycles without a ramp."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from torch import Tensor

from sritool.config.settings import CyclesConfig, FreeBitsConfig, GeneratorConfig, RunConfig
from sritool.methods.base import Clock
from sritool.methods.encoder_method import EncoderMethod
from sritool.methods.registry import build_method
from sritool.model.gaussian import DiagonalGaussian

TARGET = 1.5
CODES = torch.tensor([[0.0, 0.1, -0.1], [2.0, 0.0, 0.0], [1.0, 1.2, -1.1], [0.5, 3.0, 0.2]]).double()
SPREAD = torch.tensor([[0.0, 0.1, 0.0], [0.0, 0.0, 0.0], [-1.0, 0.3, -0.2], [0.0, -3.0, 0.1]]).double()


def hinge_of(kl: Tensor, whole: bool) -> Tensor:
    config = RunConfig(method="vae-fbp" if whole else "vae-fb", free_bits=FreeBitsConfig(TARGET))
    method = build_method(replace(config, generator=GeneratorConfig(2, 2, 3)), 9)
    assert isinstance(method, EncoderMethod)
    return method.hinge(kl)


def sum_of_maxima(kl: Tensor, whole: bool) -> Tensor:
    if whole:
        return kl.sum(-1).clamp_min(TARGET).sum()
    return kl.clamp_min(TARGET / kl.shape[-1]).sum()


@pytest.mark.parametrize("whole", [True, False])
def test_hinge_gradient_matches_autograd(whole: bool) -> None:
    q = DiagonalGaussian(CODES.clone().requires_grad_(), SPREAD.clone().requires_grad_())
    kl = q.kl_by_dimension()
    hinge = hinge_of(kl.detach(), whole)
    expected = torch.autograd.grad(sum_of_maxima(kl, whole), list(q))
    plain = q.kl_gradient()
    torch.testing.assert_close(hinge * plain.mean, expected[0])
    torch.testing.assert_close(hinge * plain.log_variance, expected[1])
    assert set(hinge.flatten().tolist()) == {0.0, 1.0}, "the test needs both sides of the target"


def test_hinge_applies_to_sentences_or_dimensions() -> None:
    kl = torch.tensor([[1.6, 0.0, 0.0], [0.4, 0.4, 0.4]]).double()
    assert hinge_of(kl, True).tolist() == [[1, 1, 1], [0, 0, 0]]
    assert hinge_of(kl, False).tolist() == [[1, 0, 0], [0, 0, 0]]


@pytest.mark.parametrize(("start", "ramp"), [(0.0, 0.0), (1.0, 0.5)])
def test_kl_weight_is_one_without_a_ramp(start: float, ramp: float) -> None:
    method = build_method(RunConfig("vae-cyclical", cycles=CyclesConfig(3, start, ramp)), 9)
    assert isinstance(method, EncoderMethod)
    assert {method.kl_weight(Clock(0, 0, 0, step / 10)) for step in range(11)} == {1.0}
    assert method.settled_at() == 0
