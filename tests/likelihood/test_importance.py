"""Figures from weights that are written down by hand."""

from __future__ import annotations

import math

import torch

from sritool.likelihood.importance import CURVE, WeightedDraws, columns, log_mean_weight, resample

WEIGHTS = torch.tensor([[2.0, 1.0], [4.0, 1.0], [1.0, 1.0], [1.0, 5.0], *[[0.5, 2.0]] * 4]).double()
SIGNS = torch.tensor([[1.0, 1.0], [-1.0, 1.0], [1.0, 1.0], [1.0, -1.0], *[[1.0, 1.0]] * 4]).double()
CONDITIONAL = torch.arange(16.0, dtype=torch.float64).view(8, 2)


def drawn(**fields: torch.Tensor) -> WeightedDraws:
    z = torch.arange(8.0, dtype=torch.float64)[:, None, None].expand(8, 2, 3)
    return WeightedDraws(z, CONDITIONAL, WEIGHTS.log() - 40, **fields)


def test_figures_are_means_of_the_first_draws() -> None:
    found = columns(drawn())
    for ending, part in CURVE.items():
        first = WEIGHTS[: 8 // part]
        evidence = first.mean(0).log() - 40
        torch.testing.assert_close(found["log_likelihood" + ending], evidence)
        mean = (first * CONDITIONAL[: 8 // part]).sum(0) / first.sum(0)
        torch.testing.assert_close(found["posterior_kl" + ending], mean - evidence)
    expected = WEIGHTS.sum(0).square() / WEIGHTS.square().sum(0)
    torch.testing.assert_close(found["effective_sample_size"], expected)
    assert not {"sign_ratio", "folded_share", "log_likelihood_signed"} & found.keys()


def test_signs_stand_beside_the_absolute_weights() -> None:
    found = columns(drawn(sign=SIGNS, folded=torch.full((8, 2), 0.25).double()))
    torch.testing.assert_close(found["log_likelihood"], WEIGHTS.mean(0).log() - 40)
    signed = (WEIGHTS * SIGNS).mean(0)
    torch.testing.assert_close(found["log_likelihood_signed"], signed.log() - 40)
    torch.testing.assert_close(found["sign_ratio"], signed / WEIGHTS.mean(0))
    assert found["folded_share"].tolist() == [0.25, 0.25]


def test_signed_weights_that_cancel_have_no_logarithm() -> None:
    found = log_mean_weight(torch.zeros(4, 1), torch.tensor([[1.0], [-1.0], [-1.0], [-1.0]]))
    assert found.tolist() == [-math.inf]


def test_resampling_takes_a_draw_as_often_as_its_weight() -> None:
    one = WeightedDraws(*(tensor[:, :1].expand(-1, 4000, *tensor.shape[2:]) for tensor in drawn()[:3]))
    code, conditional = resample(one, 3, torch.arange(4000))
    share = torch.bincount(code[:, 0].long(), minlength=8) / 4000
    torch.testing.assert_close(share.double(), WEIGHTS[:, 0] / WEIGHTS[:, 0].sum(), atol=0.03, rtol=0)
    torch.testing.assert_close(conditional, CONDITIONAL[code[:, 0].long(), 0])
    again, _ = resample(one, 3, torch.arange(4000).flip(0))
    assert torch.equal(again.flip(0), code)
