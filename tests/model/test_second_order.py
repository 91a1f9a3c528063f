"""The gradients of a slope of log p(x|z) against autograd's, finite differences and the Hessian."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from torch import Tensor

from sritool.data.batches import Batch
from sritool.data.tokenizer import FIRST_PREDICTED
from sritool.model import second_order
from sritool.model.conditional import Conditional, Weights
from sritool.model.dropout import Dropout, Masks
from sritool.model.generator import Generator
from sritool.model.random import Stream
from sritool.model.recurrence import lstm
from sritool.model.second_order import SecondOrder, Slope
from sritool.model.theta_gradient import ThetaGradient

LENGTHS = {"padded": (6, 3, 1, 5), "even": (4, 4, 4)}
MakeGenerator = Callable[..., Generator]
MakeBatch = Callable[..., Batch]


def codes(size: int, seed: int) -> Tensor:
    return torch.randn(size, 3, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def masks_of(generator: Generator, batch: Batch) -> Masks:
    masks = Dropout.draw(generator.config, batch, Stream(0, "dropout"), (0,)).masks(0)
    assert masks is not None
    return Masks(masks.embedding.double(), masks.hidden.double())


def plain(generator: Generator, batch: Batch, z: Tensor, masks: Masks | None) -> Tensor:
    """log p(x|z) by plain operations, with dropout: [batch]."""
    if masks is None:
        return generator.log_likelihood(batch.inputs, batch.targets, z)
    words = (generator.embedding[batch.inputs] * masks.embedding) @ generator.words_to_gates.t()
    gates = words + generator.gate_bias + z @ generator.latent_to_gates.t()
    hidden = lstm(gates, generator.initial_hidden(z), generator.recurrent) * masks.hidden
    log_p = torch.log_softmax(hidden @ generator.output.t() + generator.output_bias, -1)
    rows = (batch.targets - FIRST_PREDICTED).clamp_min(0).unsqueeze(-1)
    return (log_p.gather(-1, rows).squeeze(-1) * (batch.targets >= FIRST_PREDICTED)).sum(0)


def slope_of(
    generator: Generator, batch: Batch, z: Tensor, u: Tensor, masks: Masks | None = None
) -> tuple[Slope, dict[str, Tensor]]:
    """The slope, and its gradient in θ."""
    exact = SecondOrder(Conditional(Weights(generator), batch), masks)
    theta = ThetaGradient(generator)
    theta.weight = -1.0
    found = exact.along(z, u, exact.evaluate(z).of_output, theta)
    return found, theta.gradients()


@pytest.mark.parametrize("dropout", [False, True], ids=["plain", "dropout"])
@pytest.mark.parametrize("lengths", LENGTHS.values(), ids=LENGTHS.keys())
def test_gradients_agree_with_double_backward(
    make_generator: MakeGenerator, make_batch: MakeBatch, lengths: tuple[int, ...], dropout: bool
) -> None:
    generator, batch = make_generator(), make_batch(lengths)
    masks = masks_of(generator, batch) if dropout else None
    z, u = codes(len(lengths), 5), codes(len(lengths), 6)
    found, theta = slope_of(generator, batch, z, u, masks)

    at = z.clone().requires_grad_()
    (gradient,) = torch.autograd.grad(plain(generator, batch, at, masks).sum(), at, create_graph=True)
    names, parameters = zip(*generator.named_parameters(), strict=True)
    slope = (gradient * u).sum(-1)
    # The outer biases enter the slope, but those of an even batch's unseen words do not.
    expected = torch.autograd.grad(slope.sum(), [at, *parameters], materialize_grads=True)
    torch.testing.assert_close(found.value, slope.detach(), rtol=1e-10, atol=1e-12)
    torch.testing.assert_close(found.curvature, expected[0], rtol=1e-10, atol=1e-12)
    assert set(theta) == set(names)
    for name, value in zip(names, expected[1:], strict=True):
        assert float(value.abs().max()) > 1e-3, name
        torch.testing.assert_close(
            theta[name], value, rtol=1e-10, atol=1e-12, msg=lambda m, n=name: f"{n}: {m}"
        )


def test_curvature_agrees_with_the_hessian(make_generator: MakeGenerator, make_batch: MakeBatch) -> None:
    generator, batch, z, u = make_generator(), make_batch((6, 3, 1, 5)), codes(4, 5), codes(4, 6)
    found, _ = slope_of(generator, batch, z, u)
    whole = Conditional(Weights(generator), batch).hessian(z)  # of −log p
    torch.testing.assert_close(
        found.curvature, -(whole @ u.unsqueeze(-1)).squeeze(-1), rtol=1e-10, atol=1e-12
    )


@pytest.mark.parametrize("dropout", [False, True], ids=["plain", "dropout"])
def test_curvature_agrees_with_differences_of_the_gradient(
    make_generator: MakeGenerator, make_batch: MakeBatch, dropout: bool
) -> None:
    generator, batch, z, u, step = make_generator(), make_batch((6, 3, 5)), codes(3, 5), codes(3, 6), 1e-5
    masks = masks_of(generator, batch) if dropout else None
    found, _ = slope_of(generator, batch, z, u, masks)
    fast = Conditional(Weights(generator), batch)
    up, down = (fast.evaluate(z + sign * step * u, masks).gradient for sign in (1, -1))
    torch.testing.assert_close(found.curvature, (up - down) / (2 * step), rtol=1e-6, atol=1e-8)


def test_first_order_is_that_of_the_fast_path(make_generator: MakeGenerator, make_batch: MakeBatch) -> None:
    generator, batch, z = make_generator(), make_batch((6, 3, 1, 5)), codes(4, 5)
    masks, conditional = masks_of(generator, batch), Conditional(Weights(generator), batch)
    found, expected = SecondOrder(conditional, masks).evaluate(z)[:2], conditional.evaluate(z, masks)
    torch.testing.assert_close(found, expected, rtol=1e-12, atol=1e-12)


def test_logits_taken_in_turns_change_nothing(
    make_generator: MakeGenerator, make_batch: MakeBatch, monkeypatch: pytest.MonkeyPatch
) -> None:
    generator, batch = make_generator(), make_batch((30, 25, 40))
    z, u = codes(3, 5), codes(3, 6)
    whole, theta = slope_of(generator, batch, z, u)
    monkeypatch.setattr(second_order, "_BUFFER_ELEMENTS", 1)
    parts, theta_parts = slope_of(generator, batch, z, u)
    torch.testing.assert_close(parts, whole, rtol=1e-11, atol=1e-12)
    torch.testing.assert_close(theta_parts, theta, rtol=1e-11, atol=1e-12)


def test_a_later_call_does_not_change_an_earlier_answer(
    make_generator: MakeGenerator, make_batch: MakeBatch
) -> None:
    exact = SecondOrder(Conditional(Weights(make_generator()), make_batch((6, 3, 5))))
    z, u = codes(3, 5), codes(3, 6)
    value = exact.evaluate(z)
    kept = [part.clone() for part in (*value[:2], *value.of_output)]
    exact.along(z, u, value.of_output)
    exact.evaluate(-z)
    assert all(torch.equal(one, two) for one, two in zip((*value[:2], *value.of_output), kept, strict=True))


@pytest.mark.parametrize("precision", ["float32", "bfloat16"])
def test_single_precision_is_close(
    make_generator: MakeGenerator, make_batch: MakeBatch, precision: str
) -> None:
    exact, batch = make_generator(vocabulary=60), make_batch((6, 3, 1, 5), vocabulary=60)
    z, u = codes(4, 5), codes(4, 6)
    expected, of_theta = slope_of(exact, batch, z, u)
    single = make_generator(vocabulary=60, dtype=torch.float32)
    rough = SecondOrder(Conditional(Weights(single, precision), batch))
    theta = ThetaGradient(single)
    theta.weight = -1.0
    found = rough.along(z.float(), u.float(), rough.evaluate(z.float()).of_output, theta)
    allowed = {"float32": 1e-5, "bfloat16": 2e-2}[precision]
    pairs = {"z": (found.curvature, expected.curvature)}
    pairs |= {name: (value, of_theta[name]) for name, value in theta.gradients().items()}
    for name, (one, two) in pairs.items():
        assert float((one.double() - two).norm() / two.norm()) < allowed, name
