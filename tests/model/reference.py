"""The generator written out with torch's own LSTM and cross-entropy, and a check of all gradients against it."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from sritool.data.batches import Batch
from sritool.data.tokenizer import BOS, FIRST_PREDICTED, UNK
from sritool.model.conditional import Conditional, Weights
from sritool.model.dropout import Dropout, Masks
from sritool.model.generator import Generator
from sritool.model.random import Stream
from sritool.model.second_order import hessian_vector_product
from sritool.model.theta_gradient import ThetaGradient
from sritool.model.word_subset import WordSubset, draw_subsets, inclusion

MakeGenerator = Callable[..., Generator]
MakeBatch = Callable[..., Batch]
LENGTHS = {"padded": (6, 3, 1, 5), "even": (4, 4, 4)}


def codes(*size: int, latent: int = 3, seed: int = 5) -> Tensor:
    random = torch.Generator().manual_seed(seed)
    return torch.randn(*size, latent, generator=random, dtype=torch.float64)


def masks_of(generator: Generator, batch: Batch, place: int = 0) -> Masks | None:
    """Dropout masks in float64."""
    masks = Dropout.draw(generator.config, batch, Stream(2, "dropout"), (place,)).masks(0)
    if masks is None:
        return None
    return Masks(
        *(mask.double() if mask is not None and mask.is_floating_point() else mask for mask in masks)
    )


def hidden_of(generator: Generator, inputs: Tensor, z: Tensor, masks: Masks) -> tuple[Tensor, Tensor]:
    """Word embeddings and states of the last layer. Each layer is a torch.nn.LSTM, as dropout comes in between."""
    if masks.word is not None:
        inputs = torch.where(masks.word, inputs, UNK)
    embedded = generator.embedding[inputs]
    if masks.embedding is not None:
        embedded = embedded * masks.embedding
    states = embedded
    hidden = generator.config.hidden
    order = torch.cat(
        [torch.arange(4 * hidden).chunk(4)[gate] for gate in (1, 2, 3, 0)]
    )  # to torch's i, f, g, o
    parameters = dict(generator.named_parameters())
    for number in range(generator.config.layers):
        prefix = "" if number == 0 else f"upper.{number - 1}."
        recurrent = parameters[f"{prefix}recurrent"]
        from_below = parameters["words_to_gates" if number == 0 else f"{prefix}inputs_to_gates"]
        if number == 0:
            states = torch.cat([states, z.expand(len(inputs), -1, -1)], -1)
            from_below = torch.cat([from_below, generator.latent_to_gates], 1)
        if masks.recurrent is not None:
            recurrent = recurrent * masks.recurrent[number]
        weights = {
            "weight_ih_l0": from_below[order],
            "weight_hh_l0": recurrent[order],
            "bias_ih_l0": parameters[f"{prefix}gate_bias"][order],
            "bias_hh_l0": torch.zeros(4 * hidden, dtype=z.dtype),
        }
        initial = z @ parameters[f"{prefix}latent_to_initial"].t() + parameters[f"{prefix}initial_bias"]
        start = (initial[None], torch.zeros_like(initial)[None])
        lstm = torch.nn.LSTM(states.shape[-1], hidden).double()
        states, _ = torch.func.functional_call(lstm, weights, (states, start))
        if masks.hidden is not None:
            states = states * masks.hidden[number]
    return embedded, states


def logits_of(generator: Generator, inputs: Tensor, z: Tensor, masks: Masks | None = None) -> Tensor:
    embedded, features = hidden_of(generator, inputs, z, masks or Masks())
    if generator.hidden_to_embedding is not None:
        features = features @ generator.hidden_to_embedding.t()
    if generator.embedding_to_output is not None:
        features = features + embedded @ generator.embedding_to_output.t()
    rows = generator.embedding[FIRST_PREDICTED:] if generator.config.tied_embeddings else generator.output
    return features @ rows.t() + generator.output_bias


def log_p(
    generator: Generator, batch: Batch, z: Tensor, masks: Masks | None = None, raised: Tensor | float = 0.0
) -> Tensor:
    """log p(x|z) [batch], with `raised` added to all logits."""
    logits = logits_of(generator, batch.inputs, z, masks) + raised
    targets = batch.targets - FIRST_PREDICTED
    loss = torch.nn.functional.cross_entropy(
        logits.permute(0, 2, 1), targets, ignore_index=-FIRST_PREDICTED, reduction="none"
    )
    return -loss.sum(0)


def next_word_logits(generator: Generator, words: list[int], code: Tensor) -> Tensor:
    """Logits [words] after a prefix, by the generator's plain form without tied embeddings or a residual."""
    hidden = generator.hidden_states(torch.tensor([BOS, *words])[:, None], code[None])[-1, 0]
    return (hidden @ generator.output.t() + generator.output_bias).detach()


def word_subset(
    batch: Batch, words: int, count: int, dtype: torch.dtype = torch.float64
) -> tuple[WordSubset, Tensor]:
    """A random subset of the words, and what it adds to the logits: −log π, or −∞ for words left out."""
    rows = (batch.targets.flatten() - FIRST_PREDICTED).clamp_min(0)
    mass = torch.linspace(1, 3, words, dtype=dtype)
    uniforms = Stream(1, "words").uniform(torch.arange(1), words)
    subset = draw_subsets(inclusion(mass / mass.sum(), count), rows, uniforms)[0]
    assert len(subset.words) < words
    raised = torch.full((words,), -torch.inf, dtype=dtype)
    return subset, raised.index_copy(0, subset.words, -subset.log_inclusion)


def assert_gradients_agree(generator: Generator, batch: Batch, masks: Masks | None = None) -> None:
    """Compare log p, its gradients in z and θ, and the derivatives of the z-gradient along a direction."""
    size = len(batch.lengths)
    z, direction = codes(size).requires_grad_(), codes(size, seed=6)
    expected = log_p(generator, batch, z, masks)
    names, parameters = zip(*generator.named_parameters(), strict=True)
    of_code, *slopes = torch.autograd.grad(expected.sum(), (z, *parameters), create_graph=True)

    theta = ThetaGradient(generator)
    theta.weight = 0.5
    value, gradient = Conditional(Weights(generator), batch).evaluate(z.detach(), masks, theta)
    torch.testing.assert_close(value, expected.detach(), rtol=1e-11, atol=1e-11)
    torch.testing.assert_close(gradient, of_code.detach(), rtol=1e-10, atol=1e-11)
    assert set(theta.sums) == set(names)
    for name, slope in zip(names, slopes, strict=True):
        assert float(slope.detach().abs().max()) > 1e-6, name
        torch.testing.assert_close(theta.sums[name], -0.5 * slope.detach(), rtol=1e-10, atol=1e-11, msg=name)

    second = torch.autograd.grad((of_code * direction).sum(), (z, *parameters), materialize_grads=True)
    found = hessian_vector_product(generator, batch, masks, z.detach(), direction)
    torch.testing.assert_close(found.of_code, second[0], rtol=1e-9, atol=1e-11)
    assert set(found.of_parameters) == set(names)
    for name, slope in zip(names, second[1:], strict=True):
        assert float(slope.abs().max()) > 1e-6, name
        torch.testing.assert_close(found.of_parameters[name], slope, rtol=1e-9, atol=1e-11, msg=name)
    assert all(parameter.grad is None for parameter in parameters)
