"""The output layer's log p and gradients against log_softmax and autograd, also for extreme logits."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from torch import Tensor

from sritool.model import output_layer
from sritool.model.generator import Generator
from sritool.model.output_layer import OutputLayer
from sritool.model.theta_gradient import ThetaGradient
from sritool.model.workspace import Workspace

ROWS = torch.tensor([4, 0, 8, 4, 1, 3])


def plain(generator: Generator, hidden: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """log p of ROWS and the gradients of its sum in the states, the weight and the bias."""
    states = hidden.detach().requires_grad_()
    weight, bias = generator.output, generator.output_bias
    log_p = torch.log_softmax(states @ weight.t() + bias, -1).gather(1, ROWS.unsqueeze(1)).squeeze(1)
    return (log_p.detach(), *torch.autograd.grad(log_p.sum(), (states, weight, bias)))


def states(scale: float = 1.0) -> Tensor:
    generator = torch.Generator().manual_seed(3)
    return torch.randn(len(ROWS), 5, generator=generator, dtype=torch.float64) * scale


@pytest.fixture
def generator(make_generator: Callable[..., Generator]) -> Generator:
    return make_generator(hidden=5)


CASES = {
    "usual": lambda g: None,
    "large bias": lambda g: g.output_bias[2].fill_(80.0),
    "large logits": lambda g: g.output.mul_(300.0),
    "all logits very low": lambda g: g.output_bias.fill_(-25.0).add_(g.output[:, 0]),
}


@pytest.mark.parametrize("case", CASES)
def test_agrees_with_log_softmax(generator: Generator, case: str) -> None:
    with torch.no_grad():
        CASES[case](generator)
    hidden = states()
    layer, theta = OutputLayer(generator, "float32", Workspace()), ThetaGradient(generator)
    expected, in_hidden, in_weight, in_bias = plain(generator, hidden)
    log_p, gradient = layer.gradient(hidden, ROWS, theta)
    torch.testing.assert_close(log_p, expected, rtol=1e-11, atol=1e-11)
    torch.testing.assert_close(gradient, in_hidden, rtol=1e-9, atol=1e-11)
    torch.testing.assert_close(layer.log_likelihood(hidden, ROWS), expected, rtol=1e-11, atol=1e-11)
    torch.testing.assert_close(-theta.sums["output"], in_weight, rtol=1e-9, atol=1e-11)
    torch.testing.assert_close(-theta.sums["output_bias"], in_bias, rtol=1e-9, atol=1e-11)


def test_chunks_add_up(generator: Generator, monkeypatch: pytest.MonkeyPatch) -> None:
    hidden, rows = states().repeat(60, 1), ROWS.repeat(60)
    log_p, in_hidden, in_weight, in_bias = plain(generator, states())
    monkeypatch.setattr(output_layer, "_LOGITS", 1)  # the fewest positions at a time
    layer, theta = OutputLayer(generator, "float32", Workspace()), ThetaGradient(generator)
    found = layer.gradient(hidden, rows, theta)
    torch.testing.assert_close(found[0], log_p.repeat(60), rtol=1e-11, atol=1e-11)
    torch.testing.assert_close(found[1], in_hidden.repeat(60, 1), rtol=1e-10, atol=1e-11)
    torch.testing.assert_close(-theta.sums["output"], 60 * in_weight, rtol=1e-10, atol=1e-10)
    torch.testing.assert_close(-theta.sums["output_bias"], 60 * in_bias, rtol=1e-10, atol=1e-10)


def test_nan_weights_give_nan_results(generator: Generator) -> None:
    with torch.no_grad():
        generator.output[1, 1] = float("nan")
    log_p, gradient = OutputLayer(generator, "float32", Workspace()).gradient(states(), ROWS)
    assert not bool(log_p.isfinite().any())
    assert not bool(gradient.isfinite().any())
