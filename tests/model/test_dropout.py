"""What is dropped: which masks there are, with which rates, and that they reach the likelihood and its gradients."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor

from sritool.config.settings import GeneratorConfig
from sritool.data.batches import Batch, collate
from sritool.data.tokenizer import UNK
from sritool.errors import UsageError
from sritool.model.conditional import Conditional, Weights
from sritool.model.dropout import Dropout, Masks
from sritool.model.generator import Generator
from sritool.model.random import Stream
from sritool.model.second_order import along
from sritool.model.theta_gradient import ThetaGradient

LENGTHS = (6, 3, 1, 5)
SETTINGS: dict[str, dict[str, Any]] = {
    "one mask a sentence": {"dropout_mask": "sentence"},
    "two rates": {"dropout": 0.3, "input_dropout": 0.5, "dropout_mask": "sentence"},
    "two rates, a mask a word": {"dropout": 0.5, "input_dropout": 0.2},
    "inputs alone": {"dropout": 0.0, "input_dropout": 0.4},
    "outputs alone": {"input_dropout": 0.0},
    "words alone": {"dropout": 0.0, "word_dropout": 0.4},
    "weights alone": {"dropout": 0.0, "weight_drop": 0.4},
    "half of the weights and the rest": {"weight_drop": 0.5, "dropout_mask": "sentence", "word_dropout": 0.2},
    "words and the rest": {"dropout_mask": "sentence", "word_dropout": 0.4},
}


def masks_of(
    config: GeneratorConfig, batch: Batch, place: int = 0, dtype: torch.dtype = torch.float64
) -> Masks:
    masks = Dropout.draw(config, batch, Stream(2, "dropout"), (0, 1)).masks(place)
    assert masks is not None
    return Masks(
        *(mask.to(dtype) if mask is not None and mask.is_floating_point() else mask for mask in masks)
    )


def codes(size: int) -> Tensor:
    return torch.randn(size, 3, generator=torch.Generator().manual_seed(5), dtype=torch.float64)


def with_unknown(inputs: Tensor, stays: Tensor) -> Tensor:
    shown = inputs.clone()
    for time, sentence in (~stays).nonzero().tolist():
        shown[time, sentence] = UNK
    return shown


def plain(generator: Generator, batch: Batch, z: Tensor, masks: Masks) -> Tensor:
    """Σ log p(x|z) by torch's LSTM and cross-entropy, every factor written out for every place."""
    time, size = batch.inputs.shape
    embedded = generator.embedding[
        batch.inputs if masks.word is None else with_unknown(batch.inputs, masks.word)
    ]
    if masks.embedding is not None:
        embedded = embedded * masks.embedding.expand(time, size, -1)
    order = torch.cat([part for k in (1, 2, 3, 0) for part in torch.arange(4 * 7).chunk(4)[k : k + 1]])
    recurrent = generator.recurrent if masks.recurrent is None else generator.recurrent * masks.recurrent[0]
    weights = {
        "weight_ih_l0": torch.cat([generator.words_to_gates, generator.latent_to_gates], 1)[order],
        "weight_hh_l0": recurrent[order],
        "bias_ih_l0": generator.gate_bias[order],
        "bias_hh_l0": torch.zeros(4 * 7, dtype=z.dtype),
    }
    initial = generator.layers[0].initial_hidden(z)[None]
    inputs = torch.cat([embedded, z.expand(time, -1, -1)], -1)
    lstm = torch.nn.LSTM(5 + 3, 7).double()
    hidden, _ = torch.func.functional_call(lstm, weights, (inputs, (initial, torch.zeros_like(initial))))
    if masks.hidden is not None:
        hidden = hidden * masks.hidden[0].expand(time, size, -1)
    logits = hidden @ generator.output.t() + generator.output_bias
    return -torch.nn.functional.cross_entropy(
        logits.flatten(0, 1), batch.targets.flatten() - 2, ignore_index=-2, reduction="sum"
    )


@pytest.mark.parametrize("settings", SETTINGS.values(), ids=SETTINGS.keys())
def test_gradients_agree_with_autograd_and_have_an_effect(
    make_generator: Callable[..., Generator], make_batch: Callable[..., Batch], settings: dict[str, Any]
) -> None:
    generator, batch = make_generator(**settings), make_batch(LENGTHS)
    masks, z = masks_of(generator.config, batch), codes(4)
    at = z.clone().requires_grad_()
    total = plain(generator, batch, at, masks)
    names, parameters = zip(*generator.named_parameters(), strict=True)
    of_code, *of_parameters = torch.autograd.grad(total, (at, *parameters), create_graph=True)

    theta = ThetaGradient(generator)
    conditional = Conditional(Weights(generator), batch)
    value, gradient = conditional.evaluate(z, masks, theta)
    torch.testing.assert_close(value.sum(), total.detach(), rtol=1e-11, atol=1e-11)
    torch.testing.assert_close(gradient, of_code.detach(), rtol=1e-10, atol=1e-11)
    for name, slope in zip(names, of_parameters, strict=True):
        torch.testing.assert_close(theta.sums[name], -slope.detach(), rtol=1e-10, atol=1e-11)
    assert float((conditional.evaluate(z).log_likelihood - value).abs().max()) > 1e-3, "without effect"

    direction = codes(4).flip(0)
    (expected,) = torch.autograd.grad((of_code * direction).sum(), at)
    found = along(generator, batch, masks, z, direction).of_code
    torch.testing.assert_close(found, expected, rtol=1e-9, atol=1e-11)


def test_one_mask_a_sentence_is_the_same_at_every_word_and_in_every_batch(
    make_split: Callable[..., object],
) -> None:
    split = make_split([[3, 4, 2], [5, 6, 7, 8, 2], [9, 9, 2]])
    config = GeneratorConfig(16, 8, 2, dropout=0.5, dropout_mask="sentence")
    alone, together = (masks_of(config, collate(split, order)) for order in ([2], [1, 2]))  # type: ignore[arg-type]
    assert alone.embedding is not None
    assert together.embedding is not None
    assert together.embedding.shape == (1, 2, 16)
    assert torch.equal(together.embedding[:, 1], alone.embedding[:, 0])
    assert not torch.equal(together.embedding[:, 1], together.embedding[:, 0])


def test_inputs_and_outputs_have_their_own_rates(make_batch: Callable[..., Batch]) -> None:
    batch = make_batch([3] * 100)
    for mask in ("token", "sentence"):
        config = GeneratorConfig(200, 100, 2, dropout=0.5, input_dropout=0.25, dropout_mask=mask)
        masks = masks_of(config, batch)
        for factors, rate in ((masks.embedding, 0.25), (masks.hidden, 0.5)):
            assert factors is not None
            assert factors.unique().tolist() == pytest.approx([0.0, 1 / (1 - rate)])
            assert float((factors == 0).double().mean()) == pytest.approx(rate, abs=0.02)
    one = GeneratorConfig(200, 100, 2, dropout=0.5, input_dropout=0.0)
    assert masks_of(one, batch).embedding is None


def test_dropped_words_go_in_as_unknown_and_the_first_symbol_stays(
    make_split: Callable[..., object], make_batch: Callable[..., Batch]
) -> None:
    config = GeneratorConfig(dropout=0.0, word_dropout=0.25)
    batch = make_batch([20] * 200, vocabulary=500)
    masks = masks_of(config, batch)
    assert (masks.embedding, masks.hidden) == (None, None)
    shown = masks.inputs(batch.inputs)
    assert torch.equal(shown[0], batch.inputs[0])
    changed = (shown != batch.inputs)[1:]
    assert bool((shown[1:][changed] == UNK).all())
    assert float(changed.double().mean()) == pytest.approx(0.25, abs=0.02)
    split = make_split([[3, 4, 2], [5, 6, 7, 8, 2], [9, 9, 2]])
    alone, together = (masks_of(config, collate(split, order)).word for order in ([2], [1, 2]))  # type: ignore[arg-type]
    assert alone is not None
    assert together is not None
    assert torch.equal(together[:3, 1], alone[:, 0])


def test_recurrent_weights_are_dropped_once_a_batch(make_batch: Callable[..., Batch]) -> None:
    config, batch = GeneratorConfig(4, 64, 2, dropout=0.0, weight_drop=0.25), make_batch((4, 3))
    dropout = Dropout.draw(config, batch, Stream(2, "dropout"), (0, 1))
    first, second = (dropout.masks(place) for place in (0, 1))
    assert first is not None
    assert second is not None
    assert first.recurrent is second.recurrent, "the steps of a chain share the mask"
    assert first.recurrent is not None
    assert first.recurrent.shape == (1, 4 * 64, 64)
    assert first.recurrent.unique().tolist() == pytest.approx([0.0, 4 / 3])
    assert float((first.recurrent == 0).double().mean()) == pytest.approx(0.25, abs=0.02)
    assert (first.embedding, first.hidden, first.word) == (None, None, None)
    later = Dropout.draw(config, batch, Stream(2, "dropout", epoch=1), (0,)).recurrent
    other = Dropout.draw(config, collate_reversed(batch), Stream(2, "dropout"), (0,)).recurrent
    assert later is not None
    assert other is not None
    assert not torch.equal(later, first.recurrent)
    assert not torch.equal(other, first.recurrent)


def collate_reversed(batch: Batch) -> Batch:
    return Batch(batch.examples.flip(0), batch.inputs.flip(1), batch.targets.flip(1), batch.lengths.flip(0))


@pytest.mark.parametrize("value", [1.0, -0.1, "other", True])
def test_a_rate_that_is_none_is_refused(value: Any) -> None:
    with pytest.raises(UsageError, match="input_dropout"):
        GeneratorConfig(input_dropout=value)
