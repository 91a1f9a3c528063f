"""Second derivatives along a direction against autograd of the plain likelihood, differences and the Hessian."""

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
from sritool.model.second_order import along

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
    hidden = lstm(gates, generator.layers[0].initial_hidden(z), generator.recurrent) * masks.hidden[0]
    log_p = torch.log_softmax(hidden @ generator.output.t() + generator.output_bias, -1)
    rows = (batch.targets - FIRST_PREDICTED).clamp_min(0).unsqueeze(-1)
    return (log_p.gather(-1, rows).squeeze(-1) * (batch.targets >= FIRST_PREDICTED)).sum(0)


@pytest.mark.parametrize("dropout", [False, True], ids=["plain", "dropout"])
@pytest.mark.parametrize("lengths", LENGTHS.values(), ids=LENGTHS.keys())
def test_gradients_agree_with_double_backward_through_the_likelihood(
    make_generator: MakeGenerator, make_batch: MakeBatch, lengths: tuple[int, ...], dropout: bool
) -> None:
    generator, batch = make_generator(), make_batch(lengths)
    masks = masks_of(generator, batch) if dropout else None
    z, u = codes(len(lengths), 5), codes(len(lengths), 6)
    found = along(generator, batch, masks, z, u)

    at = z.clone().requires_grad_()
    (gradient,) = torch.autograd.grad(plain(generator, batch, at, masks).sum(), at, create_graph=True)
    names, parameters = zip(*generator.named_parameters(), strict=True)
    # The outer biases enter the slope, but those of an even batch's unseen words do not.
    expected = torch.autograd.grad((gradient * u).sum(), [at, *parameters], materialize_grads=True)
    torch.testing.assert_close(found.of_code, expected[0], rtol=1e-10, atol=1e-12)
    assert set(found.of_parameters) == set(names)
    assert all(parameter.grad is None for parameter in parameters)
    for name, value in zip(names, expected[1:], strict=True):
        assert float(value.abs().max()) > 1e-3, name
        torch.testing.assert_close(
            found.of_parameters[name], value, rtol=1e-10, atol=1e-12, msg=lambda m, n=name: f"{n}: {m}"
        )


def test_curvature_agrees_with_the_hessian(make_generator: MakeGenerator, make_batch: MakeBatch) -> None:
    generator, batch, z, u = make_generator(), make_batch((6, 3, 1, 5)), codes(4, 5), codes(4, 6)
    whole = Conditional(Weights(generator), batch).hessian(z)  # of −log p
    torch.testing.assert_close(
        along(generator, batch, None, z, u).of_code,
        -(whole @ u.unsqueeze(-1)).squeeze(-1),
        rtol=1e-10,
        atol=1e-12,
    )


@pytest.mark.parametrize("dropout", [False, True], ids=["plain", "dropout"])
def test_curvature_agrees_with_differences_of_the_gradient(
    make_generator: MakeGenerator, make_batch: MakeBatch, dropout: bool
) -> None:
    generator, batch, z, u, step = make_generator(), make_batch((6, 3, 5)), codes(3, 5), codes(3, 6), 1e-5
    masks = masks_of(generator, batch) if dropout else None
    fast = Conditional(Weights(generator), batch)
    up, down = (fast.evaluate(z + sign * step * u, masks).gradient for sign in (1, -1))
    found = along(generator, batch, masks, z, u).of_code
    torch.testing.assert_close(found, (up - down) / (2 * step), rtol=1e-6, atol=1e-8)


def test_sentences_taken_in_turns_change_nothing(
    make_generator: MakeGenerator, make_batch: MakeBatch, monkeypatch: pytest.MonkeyPatch
) -> None:
    generator, batch, z, u = make_generator(), make_batch((6, 3, 5)), codes(3, 5), codes(3, 6)
    masks = masks_of(generator, batch)
    whole = along(generator, batch, masks, z, u)
    monkeypatch.setattr(second_order, "_LOGITS", 1)
    parts = along(generator, batch, masks, z, u)
    torch.testing.assert_close(parts.of_code, whole.of_code, rtol=1e-11, atol=1e-12)
    torch.testing.assert_close(parts.of_parameters, whole.of_parameters, rtol=1e-11, atol=1e-12)
