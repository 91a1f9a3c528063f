"""Several layers, tied embeddings and the residual connection, against torch's own LSTM with the same weights."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor

from model.reference import (
    MakeBatch,
    MakeGenerator,
    assert_gradients_agree,
    codes,
    log_p,
    logits_of,
    masks_of,
    word_subset,
)
from sritool.model.conditional import Conditional, Weights
from sritool.model.decoding import DecodingConfig, decode
from sritool.model.dropout import Masks
from sritool.model.generator import Generator
from sritool.model.rollout import Rollout
from sritool.model.theta_gradient import ThetaGradient

LENGTHS = (6, 3, 1, 5)
SETTINGS: dict[str, dict[str, Any]] = {
    "two layers": {"layers": 2},
    "tied, one width": {"tied_embeddings": True, "embedding": 7},
    "tied, two widths": {"tied_embeddings": True},
    "residual": {"residual": True},
    "residual, tied, one width": {"residual": True, "tied_embeddings": True, "embedding": 7},
    "three layers, residual, tied": {"layers": 3, "residual": True, "tied_embeddings": True},
}
MASKS: dict[str, dict[str, Any]] = {
    "none": {"dropout": 0.0},
    "a mask per word": {"dropout": 0.5},
    "a mask per sentence": {"dropout": 0.3, "input_dropout": 0.5, "dropout_mask": "sentence"},
    "weights": {"dropout": 0.0, "weight_drop": 0.4},
    "all": {"dropout": 0.5, "dropout_mask": "sentence", "weight_drop": 0.25, "word_dropout": 0.4},
}
each_setting = pytest.mark.parametrize("settings", SETTINGS.values(), ids=SETTINGS.keys())


def test_two_layers_match_torchs_two_layer_lstm(make_generator: MakeGenerator, make_batch: MakeBatch) -> None:
    generator, batch, z = make_generator(layers=2), make_batch(LENGTHS), codes(4)
    order = torch.cat([torch.arange(28).chunk(4)[gate] for gate in (1, 2, 3, 0)])
    first, second = generator.layers
    from_below = torch.cat([first.inputs_to_gates, generator.latent_to_gates], 1), second.inputs_to_gates
    weights = {
        name: value
        for number, layer in enumerate((first, second))
        for name, value in (
            (f"weight_ih_l{number}", from_below[number][order]),
            (f"weight_hh_l{number}", layer.recurrent[order]),
            (f"bias_ih_l{number}", layer.gate_bias[order]),
            (f"bias_hh_l{number}", torch.zeros(28).double()),
        )
    }
    initial = torch.stack([layer.initial_hidden(z) for layer in (first, second)])
    inputs = torch.cat([generator.embedding[batch.inputs], z.expand(len(batch.inputs), -1, -1)], -1)
    lstm = torch.nn.LSTM(5 + 3, 7, num_layers=2).double()
    hidden, _ = torch.func.functional_call(lstm, weights, (inputs, (initial, torch.zeros_like(initial))))
    logits = hidden @ generator.output.t() + generator.output_bias
    loss = torch.nn.functional.cross_entropy(
        logits.permute(0, 2, 1), batch.targets - 2, ignore_index=-2, reduction="none"
    )
    found = Conditional(Weights(generator), batch).log_likelihood(z)
    torch.testing.assert_close(found, -loss.sum(0).detach(), rtol=1e-11, atol=1e-11)


@each_setting
@pytest.mark.parametrize("dropout", MASKS.values(), ids=MASKS.keys())
def test_gradients_agree_with_autograd(
    make_generator: MakeGenerator, make_batch: MakeBatch, settings: dict[str, Any], dropout: dict[str, Any]
) -> None:
    generator, batch = make_generator(**settings, **dropout), make_batch(LENGTHS)
    assert_gradients_agree(generator, batch, masks_of(generator, batch))


@each_setting
def test_many_draws_and_hessian_agree_with_autograd(
    make_generator: MakeGenerator, make_batch: MakeBatch, settings: dict[str, Any]
) -> None:
    generator, batch = make_generator(**settings), make_batch(LENGTHS)
    draws = torch.stack([codes(4, seed=seed) for seed in (5, 6)])
    fast = Conditional(Weights(generator), batch)
    values, hessians, gradients = (
        fast.log_likelihood(draws),
        fast.hessian(draws),
        fast.evaluate(draws).gradient,
    )
    for z, value, hessian, slope in zip(draws, values, hessians, gradients, strict=True):
        code = z.clone().requires_grad_()
        expected = log_p(generator, batch, code)
        (gradient,) = torch.autograd.grad(expected.sum(), code, create_graph=True)
        rows = [torch.autograd.grad(gradient[:, k].sum(), code, retain_graph=True)[0] for k in range(3)]
        torch.testing.assert_close(value, expected.detach(), rtol=1e-11, atol=1e-11)
        torch.testing.assert_close(slope, gradient.detach(), rtol=1e-10, atol=1e-11)
        torch.testing.assert_close(hessian, -torch.stack(rows, 1), rtol=1e-9, atol=1e-10)
        plain = generator.log_likelihood(batch.inputs, batch.targets, z)
        torch.testing.assert_close(plain, expected, rtol=1e-11, atol=1e-11)


@pytest.mark.parametrize("static", [False, True], ids=["", "static"])
@each_setting
def test_gradients_on_a_word_subset_agree_with_autograd(
    make_generator: MakeGenerator, make_batch: MakeBatch, settings: dict[str, Any], static: bool
) -> None:
    generator, batch = make_generator(vocabulary=40, **settings), make_batch(LENGTHS, 40)
    z, (subset, raised) = codes(4).requires_grad_(), word_subset(batch, 38, 12)
    expected = log_p(generator, batch, z, raised=raised)
    names, parameters = zip(*generator.named_parameters(), strict=True)
    of_code, *slopes = torch.autograd.grad(expected.sum(), (z, *parameters))
    theta = ThetaGradient(generator)
    found = Conditional(Weights(generator), batch, static).evaluate(z.detach(), None, theta, subset)
    torch.testing.assert_close(found.log_likelihood, expected.detach(), rtol=1e-11, atol=1e-11)
    torch.testing.assert_close(found.gradient, of_code, rtol=1e-10, atol=1e-11)
    for name, slope in zip(names, slopes, strict=True):
        torch.testing.assert_close(theta.sums[name], -slope, rtol=1e-10, atol=1e-11)


@each_setting
@pytest.mark.parametrize("sentences", [1, 20], ids=["few", "many"])
def test_rollout_agrees_with_the_whole_pass(
    make_generator: MakeGenerator, make_batch: MakeBatch, settings: dict[str, Any], sentences: int
) -> None:
    generator, batch, z = make_generator(**settings), make_batch((6, 6, 6, 6)), codes(4)
    rollout, found = Rollout(generator, sentences), []
    with torch.no_grad():
        state = rollout.start(z)
        for position in range(6):
            found.append(rollout.logits(state.features)[:, :9].clone())
            if position < 5:
                state = rollout.advance(state, batch.inputs[position + 1])
        expected = logits_of(generator, batch.inputs, z)
    torch.testing.assert_close(torch.stack(found), expected, rtol=1e-11, atol=1e-11)
    rollout.require_finite()


@each_setting
def test_decoding_finds_the_same_words_as_torch(
    make_generator: MakeGenerator, settings: dict[str, Any]
) -> None:
    generator, z = make_generator(scale=2.0, seed=5, **settings), codes(6)
    greedy = decode(generator, z, DecodingConfig(max_length=6))
    likeliest = decode(generator, z, DecodingConfig(max_length=2, beam=9))  # holds all hypotheses
    for code, words, pair in zip(z, greedy, likeliest, strict=True):
        logits = logits_of(generator, torch.tensor([1, *words])[:, None], code[None])[:, 0]
        best = (logits.argmax(-1) + 2).tolist()
        assert best[: len(words)] == words
        assert len(words) == 6 or best[len(words)] == 2
        assert pair == likeliest_sentence(generator, code)


def likeliest_sentence(generator: Generator, code: Tensor) -> list[int]:
    """The likeliest of the empty sentence, one word, and any two words without </s>, by enumeration."""
    firsts = torch.arange(2, 11)
    logits = logits_of(generator, torch.stack([torch.ones(9).long(), firsts]), code.expand(9, -1))
    log_p = torch.log_softmax(logits, -1)
    scores = {(): log_p[0, 0, 0]}
    for first in firsts[1:].tolist():
        for second in firsts.tolist():
            words = (first,) if second == 2 else (first, second)
            scores[words] = log_p[0, 0, first - 2] + log_p[1, first - 2, second - 2]
    return list(max(scores, key=lambda words: scores[words].item()))


def test_each_layer_has_its_own_masks(make_generator: MakeGenerator, make_batch: MakeBatch) -> None:
    settings: dict[str, Any] = {"layers": 3, "dropout": 0.5, "weight_drop": 0.5, "dropout_mask": "sentence"}
    generator, batch = make_generator(hidden=64, **settings), make_batch(LENGTHS)
    masks, z = masks_of(generator, batch), codes(4)
    assert masks is not None
    assert masks.hidden is not None
    assert masks.recurrent is not None
    assert masks.hidden.shape == (3, 1, 4, 64)
    assert masks.recurrent.shape == (3, 4 * 64, 64)
    fast = Conditional(Weights(generator), batch)
    whole = fast.evaluate(z).log_likelihood
    for name, mask in (("hidden", masks.hidden), ("recurrent", masks.recurrent)):
        for number in range(3):
            assert not torch.equal(mask[number], mask[number - 1])
            alone = torch.ones_like(mask)
            alone[number] = mask[number]
            value = fast.evaluate(z, Masks(**{name: alone})).log_likelihood
            assert float((value - whole).abs().max()) > 1e-3, (name, number)
