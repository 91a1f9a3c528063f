"""Several layers and the residual connection, against torch's own LSTM with the same weights."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor

from sritool.data.batches import Batch
from sritool.model.conditional import Conditional, Weights
from sritool.model.decoding import DecodingConfig, decode
from sritool.model.dropout import Dropout, Masks
from sritool.model.generator import Generator
from sritool.model.random import Stream
from sritool.model.rollout import Rollout
from sritool.model.second_order import along
from sritool.model.theta_gradient import ThetaGradient
from sritool.model.word_subset import draw_subsets, inclusion

MakeGenerator = Callable[..., Generator]
MakeBatch = Callable[..., Batch]
LENGTHS = (6, 3, 1, 5)
SETTINGS: dict[str, dict[str, Any]] = {
    "two layers": {"layers": 2},
    "residual": {"residual": True},
    "residual, tied, one width": {"residual": True, "tied_embeddings": True, "embedding": 7},
    "three layers, residual, tied": {"layers": 3, "residual": True, "tied_embeddings": True},
}
MASKS: dict[str, dict[str, Any]] = {
    "none": {"dropout": 0.0},
    "a mask a word": {"dropout": 0.5},
    "a mask a sentence": {"dropout": 0.3, "input_dropout": 0.5, "dropout_mask": "sentence"},
    "weights": {"dropout": 0.0, "weight_drop": 0.4},
    "all": {"dropout": 0.5, "dropout_mask": "sentence", "weight_drop": 0.25, "word_dropout": 0.4},
}
each_setting = pytest.mark.parametrize("settings", SETTINGS.values(), ids=SETTINGS.keys())


def codes(size: int, seed: int = 5) -> Tensor:
    return torch.randn(size, 3, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def masks_of(generator: Generator, batch: Batch) -> Masks | None:
    masks = Dropout.draw(generator.config, batch, Stream(2, "dropout"), (0,)).masks(0)
    if masks is None:
        return None
    return Masks(
        *(each.double() if each is not None and each.is_floating_point() else each for each in masks)
    )


def hidden_by_torch(generator: Generator, inputs: Tensor, z: Tensor, masks: Masks) -> tuple[Tensor, Tensor]:
    """The words' embeddings and the last layer's states: one torch.nn.LSTM a layer, as dropout is between them."""
    embedded = generator.embedding[masks.inputs(inputs)]
    if masks.embedding is not None:
        embedded = embedded * masks.embedding
    states = embedded = embedded.expand(*inputs.shape, -1)
    order = torch.cat([torch.arange(28).chunk(4)[gate] for gate in (1, 2, 3, 0)])  # to torch's i, f, g, o
    parameters = dict(generator.named_parameters())
    for number in range(generator.config.layers):
        of = "" if number == 0 else f"upper.{number - 1}."
        recurrent = parameters[f"{of}recurrent"]
        from_below = parameters["words_to_gates" if number == 0 else f"{of}inputs_to_gates"]
        if number == 0:
            states = torch.cat([states, z.expand(len(inputs), -1, -1)], -1)
            from_below = torch.cat([from_below, generator.latent_to_gates], 1)
        if masks.recurrent is not None:
            recurrent = recurrent * masks.recurrent[number]
        weights = {
            "weight_ih_l0": from_below[order],
            "weight_hh_l0": recurrent[order],
            "bias_ih_l0": parameters[f"{of}gate_bias"][order],
            "bias_hh_l0": torch.zeros(28, dtype=z.dtype),
        }
        initial = z @ parameters[f"{of}latent_to_initial"].t() + parameters[f"{of}initial_bias"]
        start = (initial[None], torch.zeros_like(initial)[None])
        lstm = torch.nn.LSTM(states.shape[-1], 7).double()
        states, _ = torch.func.functional_call(lstm, weights, (states, start))
        if masks.hidden is not None:
            states = states * masks.hidden[number]
    return embedded, states


def logits_by_torch(generator: Generator, inputs: Tensor, z: Tensor, masks: Masks | None = None) -> Tensor:
    embedded, features = hidden_by_torch(generator, inputs, z, masks or Masks())
    if generator.hidden_to_embedding is not None:
        features = features @ generator.hidden_to_embedding.t()
    if generator.embedding_to_output is not None:
        features = features + embedded @ generator.embedding_to_output.t()
    rows = generator.embedding[2:] if generator.config.tied_embeddings else generator.output
    return features @ rows.t() + generator.output_bias


def by_torch(
    generator: Generator, batch: Batch, z: Tensor, masks: Masks | None = None, raised: Tensor | float = 0.0
) -> Tensor:
    """log p(x|z) [batch], with something added to all logits."""
    logits = logits_by_torch(generator, batch.inputs, z, masks) + raised
    loss = torch.nn.functional.cross_entropy(
        logits.permute(0, 2, 1), batch.targets - 2, ignore_index=-2, reduction="none"
    )
    return -loss.sum(0)


def test_two_layers_are_torchs_lstm_of_two_layers(
    make_generator: MakeGenerator, make_batch: MakeBatch
) -> None:
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
    masks, z, u = masks_of(generator, batch), codes(4).requires_grad_(), codes(4, seed=6)
    expected = by_torch(generator, batch, z, masks)
    names, parameters = zip(*generator.named_parameters(), strict=True)
    of_code, *slopes = torch.autograd.grad(expected.sum(), (z, *parameters), create_graph=True)

    theta, fast = ThetaGradient(generator), Conditional(Weights(generator), batch)
    theta.weight = 0.5
    value, gradient = fast.evaluate(z.detach(), masks, theta)
    torch.testing.assert_close(value, expected.detach(), rtol=1e-11, atol=1e-11)
    torch.testing.assert_close(gradient, of_code.detach(), rtol=1e-10, atol=1e-11)
    assert set(theta.sums) == set(names)
    for name, slope in zip(names, slopes, strict=True):
        assert float(slope.detach().abs().max()) > 1e-6, name
        torch.testing.assert_close(theta.sums[name], -0.5 * slope.detach(), rtol=1e-10, atol=1e-11)

    found = along(generator, batch, masks, z.detach(), u)
    second = torch.autograd.grad((of_code * u).sum(), (z, *parameters), materialize_grads=True)
    torch.testing.assert_close(found.of_code, second[0], rtol=1e-9, atol=1e-11)
    for name, slope in zip(names, second[1:], strict=True):
        torch.testing.assert_close(found.of_parameters[name], slope, rtol=1e-9, atol=1e-11)


@each_setting
def test_likelihood_and_hessian_of_many_draws_agree_with_autograd(
    make_generator: MakeGenerator, make_batch: MakeBatch, settings: dict[str, Any]
) -> None:
    generator, batch = make_generator(**settings), make_batch(LENGTHS)
    draws = torch.stack([codes(4, seed) for seed in (5, 6)])
    fast = Conditional(Weights(generator), batch)
    values, hessians, gradients = (
        fast.log_likelihood(draws),
        fast.hessian(draws),
        fast.evaluate(draws).gradient,
    )
    for z, value, hessian, slope in zip(draws, values, hessians, gradients, strict=True):
        code = z.clone().requires_grad_()
        expected = by_torch(generator, batch, code)
        (gradient,) = torch.autograd.grad(expected.sum(), code, create_graph=True)
        rows = [torch.autograd.grad(gradient[:, k].sum(), code, retain_graph=True)[0] for k in range(3)]
        torch.testing.assert_close(value, expected.detach(), rtol=1e-11, atol=1e-11)
        torch.testing.assert_close(slope, gradient.detach(), rtol=1e-10, atol=1e-11)
        torch.testing.assert_close(hessian, -torch.stack(rows, 1), rtol=1e-9, atol=1e-10)
        plain = generator.log_likelihood(batch.inputs, batch.targets, z)
        torch.testing.assert_close(plain, expected, rtol=1e-11, atol=1e-11)


@pytest.mark.parametrize("static", [False, True])
def test_a_subset_of_the_words(make_generator: MakeGenerator, make_batch: MakeBatch, static: bool) -> None:
    generator = make_generator(vocabulary=40, layers=2, residual=True, tied_embeddings=True)
    batch, z = make_batch(LENGTHS, 40), codes(4).requires_grad_()
    rows = (batch.targets.flatten() - 2).clamp_min(0)
    pi = inclusion(torch.linspace(1, 3, 38).double() / 76, 12)
    subset = draw_subsets(pi, rows, Stream(1, "words").uniform(torch.arange(1), 38))[0]
    raised = torch.full((38,), -torch.inf).double()
    raised[subset.words] = -subset.log_inclusion
    expected = by_torch(generator, batch, z, None, raised)
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
def test_word_by_word_is_the_whole_pass(
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
        expected = logits_by_torch(generator, batch.inputs, z)
    torch.testing.assert_close(torch.stack(found), expected, rtol=1e-11, atol=1e-11)
    rollout.require_finite()


@each_setting
def test_decoding_finds_the_words_that_torch_does(
    make_generator: MakeGenerator, settings: dict[str, Any]
) -> None:
    generator, z = make_generator(scale=2.0, seed=5, **settings), codes(6)
    greedy = decode(generator, z, DecodingConfig(max_length=6))
    likeliest = decode(generator, z, DecodingConfig(max_length=2, beam=9))  # a beam that holds all hypotheses
    for code, words, pair in zip(z, greedy, likeliest, strict=True):
        logits = logits_by_torch(generator, torch.tensor([1, *words])[:, None], code[None])[:, 0]
        best = (logits.argmax(-1) + 2).tolist()
        assert best[: len(words)] == words
        assert len(words) == 6 or best[len(words)] == 2
        assert pair == likeliest_by_torch(generator, code)


def likeliest_by_torch(generator: Generator, code: Tensor) -> list[int]:
    """Of </s>, one word and </s>, and any two words, by enumeration."""
    firsts = torch.arange(2, 11)
    logits = logits_by_torch(generator, torch.stack([torch.ones(9).long(), firsts]), code.expand(9, -1))
    log_p = torch.log_softmax(logits, -1)
    scores = {(): log_p[0, 0, 0]}
    for first in firsts[1:].tolist():
        for second in firsts.tolist():
            words = (first,) if second == 2 else (first, second)
            scores[words] = log_p[0, 0, first - 2] + log_p[1, first - 2, second - 2]
    return list(max(scores, key=lambda words: scores[words].item()))


def test_every_layer_has_masks_of_its_own_and_they_have_an_effect(
    make_generator: MakeGenerator, make_batch: MakeBatch
) -> None:
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
    for name, of_all in (("hidden", masks.hidden), ("recurrent", masks.recurrent)):
        for number in range(3):
            assert not torch.equal(of_all[number], of_all[number - 1])
            alone = torch.ones_like(of_all)
            alone[number] = of_all[number]
            value = fast.evaluate(z, Masks(**{name: alone})).log_likelihood
            assert float((value - whole).abs().max()) > 1e-3, (name, number)
