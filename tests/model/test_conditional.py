"""The fast path of log p(x|z) and its gradient in z, against torch's LSTM and autograd."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from torch import Tensor

from model import reference
from model.reference import MakeBatch, MakeGenerator, codes, log_p
from sritool.data.batches import collate
from sritool.model import conditional, output_layer
from sritool.model import hessian as curvature
from sritool.model.conditional import Conditional, Weights
from sritool.model.workspace import Workspace

LENGTHS = {**reference.LENGTHS, "one sentence": (5,), "one token": (1, 1)}
each_length = pytest.mark.parametrize("lengths", reference.LENGTHS.values(), ids=reference.LENGTHS.keys())


@pytest.mark.parametrize("static", [False, True], ids=["", "static"])
@pytest.mark.parametrize("lengths", LENGTHS.values(), ids=LENGTHS.keys())
def test_value_and_gradient_agree_with_autograd(
    make_generator: MakeGenerator,
    make_batch: MakeBatch,
    lengths: tuple[int, ...],
    static: bool,
) -> None:
    generator, batch = make_generator(), make_batch(lengths)
    z = codes(len(lengths)).requires_grad_()
    expected = log_p(generator, batch, z)
    (slope,) = torch.autograd.grad(expected.sum(), z)
    fast = Conditional(Weights(generator), batch, static)
    value, gradient = fast.evaluate(z.detach())
    torch.testing.assert_close(value, expected.detach(), rtol=1e-11, atol=1e-11)
    torch.testing.assert_close(gradient, slope, rtol=1e-10, atol=1e-11)
    if not static:
        found = fast.log_likelihood(z.detach())
        torch.testing.assert_close(found, expected.detach(), rtol=1e-11, atol=1e-11)


@pytest.mark.parametrize("leading", [(5,), (2, 3)])
def test_many_draws_agree_with_single_draws(
    make_generator: MakeGenerator, make_batch: MakeBatch, leading: tuple[int, ...]
) -> None:
    fast = Conditional(Weights(make_generator()), make_batch(LENGTHS["padded"]))
    z = codes(*leading, 4)
    values, gradients = fast.evaluate(z)
    assert values.shape == (*leading, 4)
    together = fast.log_likelihood(z)
    assert together.shape == (*leading, 4)
    for index in torch.cartesian_prod(*(torch.arange(n) for n in leading)).view(-1, len(leading)):
        value, gradient = fast.evaluate(z[tuple(index)])
        torch.testing.assert_close(values[tuple(index)], value, rtol=1e-12, atol=1e-12)
        torch.testing.assert_close(gradients[tuple(index)], gradient, rtol=1e-12, atol=1e-12)
        torch.testing.assert_close(together[tuple(index)], value, rtol=1e-11, atol=1e-11)


def test_padding_and_order_change_nothing(
    make_generator: MakeGenerator,
    make_batch: MakeBatch,
    make_split: Callable[..., object],
) -> None:
    sentences = [[3, 4, 5, 2], [7, 2], [9, 10, 3, 3, 8, 2]]
    split, z = make_split(sentences), codes(3)
    weights = Weights(make_generator())

    def evaluated(order: list[int]) -> list[Tensor]:
        fast = Conditional(weights, collate(split, order))  # type: ignore[arg-type]
        found = fast.evaluate(z[order])
        return [*found, fast.log_likelihood(z[order]), fast.hessian(z[order])]

    whole = evaluated([0, 1, 2])
    for order in ([2, 0, 1], [1], [0], [1, 0]):
        for part, full in zip(evaluated(order), whole, strict=True):
            torch.testing.assert_close(part, full[order], rtol=1e-11, atol=1e-11)


@pytest.mark.parametrize(("precision", "bound"), [("float32", 1e-5), ("bfloat16", 2e-2)])
def test_rounding_of_the_gradient(
    make_generator: MakeGenerator, make_batch: MakeBatch, precision: str, bound: float
) -> None:
    sizes = {"vocabulary": 300, "embedding": 16, "hidden": 32, "latent": 8, "scale": 0.3}
    batch = make_batch((9, 7, 8, 3, 12, 12), vocabulary=300)
    z = codes(6, latent=8)
    exact = Conditional(Weights(make_generator(**sizes)), batch).evaluate(z)
    rounded = Conditional(Weights(make_generator(**sizes, dtype=torch.float32), precision), batch)
    value, gradient = rounded.evaluate(z.float())
    assert gradient.dtype == torch.float32
    error = (gradient.double() - exact.gradient).norm(dim=1) / exact.gradient.norm(dim=1)
    assert float(error.max()) < bound
    assert float(((value.double() - exact.log_likelihood) / exact.log_likelihood).abs().max()) < bound
    if precision == "bfloat16":
        assert float(error.max()) > 1e-5, "bfloat16 was not used"


@each_length
def test_chunks_of_the_logits_change_nothing(
    make_generator: MakeGenerator,
    make_batch: MakeBatch,
    monkeypatch: pytest.MonkeyPatch,
    lengths: tuple[int, ...],
) -> None:
    batch = make_batch(lengths * 25)
    generator, z = make_generator(), codes(3, len(batch.lengths))

    def evaluated() -> list[Tensor]:
        fast = Conditional(Weights(generator), batch)
        return [*fast.evaluate(z), fast.log_likelihood(z), fast.hessian(z[0])]

    whole = evaluated()
    monkeypatch.setattr(output_layer, "_LOGITS", 70)
    monkeypatch.setattr(curvature, "_BUFFER_ELEMENTS", 70)
    monkeypatch.setattr(conditional, "_STATE_ELEMENTS", 1)
    largest = 0
    take = Workspace.take

    def spied(self: Workspace, name: str, shape: tuple[int, ...], like: Tensor) -> Tensor:
        nonlocal largest
        largest = max(largest, shape[0])
        return take(self, name, shape, like)

    monkeypatch.setattr(Workspace, "take", spied)
    for part, expected in zip(evaluated(), whole, strict=True):
        torch.testing.assert_close(part, expected, rtol=1e-11, atol=1e-11)
    assert largest == output_layer._LEAST, "the buffer is larger than the bound"


def test_impossible_word_gives_finite_values(make_generator: MakeGenerator, make_batch: MakeBatch) -> None:
    generator = make_generator(dtype=torch.float32)
    with torch.no_grad():
        generator.output_bias[:] = 0
        generator.output_bias[3] = 500.0  # every other word has probability 0 in float32
    fast = Conditional(Weights(generator), make_batch((4, 4)))
    value, gradient = fast.evaluate(codes(2).float())
    assert bool(torch.isfinite(value).all())
    assert bool(torch.isfinite(gradient).all())
    assert float(value.max()) < -80
