"""Dropout: the masks and their rates, and their effect on the likelihood and its gradients against autograd."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch

from model.reference import LENGTHS, MakeBatch, MakeGenerator, assert_gradients_agree, codes, masks_of
from sritool.config.settings import GeneratorConfig
from sritool.data.batches import Batch, collate
from sritool.data.tokenizer import UNK
from sritool.errors import UsageError
from sritool.model.conditional import Conditional, Weights
from sritool.model.dropout import Dropout, Masks
from sritool.model.random import Stream

SETTINGS: dict[str, dict[str, Any]] = {
    "one mask per sentence": {"dropout_mask": "sentence"},
    "two rates": {"dropout": 0.3, "input_dropout": 0.5, "dropout_mask": "sentence"},
    "two rates, a mask per word": {"dropout": 0.5, "input_dropout": 0.2},
    "inputs": {"dropout": 0.0, "input_dropout": 0.4},
    "outputs": {"input_dropout": 0.0},
    "words": {"dropout": 0.0, "word_dropout": 0.4},
    "weights": {"dropout": 0.0, "weight_drop": 0.4},
    "all, half of the weights": {"weight_drop": 0.5, "dropout_mask": "sentence", "word_dropout": 0.2},
    "all but weights": {"dropout_mask": "sentence", "word_dropout": 0.4},
}


def draw(config: GeneratorConfig, batch: Batch, place: int = 0) -> Masks:
    masks = Dropout.draw(config, batch, Stream(2, "dropout"), (place,)).masks(0)
    assert masks is not None
    return masks


@pytest.mark.parametrize("settings", SETTINGS.values(), ids=SETTINGS.keys())
def test_gradients_under_dropout_agree_with_autograd(
    make_generator: MakeGenerator, make_batch: MakeBatch, settings: dict[str, Any]
) -> None:
    generator, batch = make_generator(**settings), make_batch(LENGTHS["padded"])
    masks = masks_of(generator, batch)
    assert_gradients_agree(generator, batch, masks)
    conditional, z = Conditional(Weights(generator), batch), codes(4)
    difference = conditional.evaluate(z).log_likelihood - conditional.evaluate(z, masks).log_likelihood
    assert float(difference.abs().max()) > 1e-3, "the masks have no effect"


@pytest.mark.parametrize("kind", ["token", "sentence"])
def test_masks_of_a_sentence_do_not_depend_on_its_batch(make_split: Callable[..., Any], kind: str) -> None:
    split = make_split([[3, 4, 2], [5, 6, 7, 8, 2], [9, 9, 2]])
    config = GeneratorConfig(16, 8, 2, dropout=0.5, dropout_mask=kind, word_dropout=0.5)
    alone, together = (draw(config, collate(split, order)) for order in ([2], [1, 2]))
    time = 5 if kind == "token" else 1
    assert together.embedding.shape == (time, 2, 16)
    assert together.hidden.shape == (1, time, 2, 8)
    assert torch.equal(together.embedding[:3, 1], alone.embedding[:, 0])
    assert torch.equal(together.hidden[:, :3, 1], alone.hidden[:, :, 0])
    assert torch.equal(together.word[:3, 1], alone.word[:, 0])
    assert not torch.equal(together.embedding[:, 1], together.embedding[:, 0])
    assert not torch.equal(draw(config, collate(split, [2]), place=1).embedding, alone.embedding)


def test_inputs_and_outputs_have_their_own_rates(make_batch: MakeBatch) -> None:
    batch = make_batch([3] * 100)
    for kind in ("token", "sentence"):
        masks = draw(GeneratorConfig(200, 100, 2, dropout=0.5, input_dropout=0.25, dropout_mask=kind), batch)
        for factors, rate in ((masks.embedding, 0.25), (masks.hidden, 0.5)):
            assert factors.unique().tolist() == pytest.approx([0.0, 1 / (1 - rate)])
            assert float((factors == 0).double().mean()) == pytest.approx(rate, abs=0.02)
    assert draw(GeneratorConfig(200, 100, 2, dropout=0.5, input_dropout=0.0), batch).embedding is None


def test_no_masks_without_dropout(make_batch: MakeBatch) -> None:
    nothing = Dropout.draw(GeneratorConfig(dropout=0.0), make_batch((3,)), Stream(0, "dropout"), (0,))
    assert nothing.masks(0) is None


def test_dropped_words_become_unknown_except_the_first(make_batch: MakeBatch) -> None:
    batch = make_batch([20] * 200, vocabulary=500)
    masks = draw(GeneratorConfig(dropout=0.0, word_dropout=0.25), batch)
    assert (masks.embedding, masks.hidden) == (None, None)
    inputs = masks.inputs(batch.inputs)
    assert torch.equal(inputs[0], batch.inputs[0])
    changed = (inputs != batch.inputs)[1:]
    assert bool((inputs[1:][changed] == UNK).all())
    assert float(changed.double().mean()) == pytest.approx(0.25, abs=0.02)


def test_recurrent_weights_are_dropped_once_per_batch(make_batch: MakeBatch) -> None:
    config, batch = GeneratorConfig(4, 64, 2, dropout=0.0, weight_drop=0.25), make_batch((4, 3))
    dropout = Dropout.draw(config, batch, Stream(2, "dropout"), (0, 1))
    first, second = (dropout.masks(place) for place in (0, 1))
    assert first is not None
    assert second is not None
    assert first.recurrent is second.recurrent, "the steps of a chain must share the mask"
    assert first.recurrent.shape == (1, 4 * 64, 64)
    assert first.recurrent.unique().tolist() == pytest.approx([0.0, 4 / 3])
    assert float((first.recurrent == 0).double().mean()) == pytest.approx(0.25, abs=0.02)
    assert (first.embedding, first.hidden, first.word) == (None, None, None)
    reversed_batch = Batch(
        batch.examples.flip(0), batch.inputs.flip(1), batch.targets.flip(1), batch.lengths.flip(0)
    )
    for other_batch, epoch in ((batch, 1), (reversed_batch, 0)):
        other = Dropout.draw(config, other_batch, Stream(2, "dropout", epoch=epoch), (0,)).recurrent
        assert not torch.equal(other, first.recurrent)


@pytest.mark.parametrize("value", [1.0, -0.1, "other", True])
def test_invalid_rate_is_refused(value: Any) -> None:
    with pytest.raises(UsageError, match="input_dropout"):
        GeneratorConfig(input_dropout=value)
