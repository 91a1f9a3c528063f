"""Tied embeddings, with and without a map between the widths, against an output layer written out by hand."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor

from sritool.data.batches import Batch
from sritool.model.conditional import Conditional, Weights
from sritool.model.decoding import DecodingConfig, decode
from sritool.model.generator import Generator
from sritool.model.random import Stream
from sritool.model.second_order import along
from sritool.model.theta_gradient import ThetaGradient
from sritool.model.word_subset import draw_subsets, inclusion

WIDTHS = {"one width": {"embedding": 7, "hidden": 7}, "two widths": {"embedding": 5, "hidden": 7}}
each_width = pytest.mark.parametrize("sizes", WIDTHS.values(), ids=WIDTHS.keys())
MakeGenerator = Callable[..., Generator]
MakeBatch = Callable[..., Batch]


def codes(size: int, seed: int = 5) -> Tensor:
    return torch.randn(size, 3, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def logits_by_hand(generator: Generator, hidden: Tensor) -> Tensor:
    """Each word's score is the product of its own embedding and the state: [..., hidden] → [..., V]."""
    if generator.hidden_to_embedding is not None:
        hidden = torch.nn.functional.linear(hidden, generator.hidden_to_embedding)
    scores = [hidden @ embedding for embedding in generator.embedding[2:]]
    return torch.stack(scores, -1) + generator.output_bias


def by_hand(generator: Generator, batch: Batch, z: Tensor, raised: Tensor | float = 0.0) -> Tensor:
    """log p(x|z) [batch], with something added to all logits."""
    logits = logits_by_hand(generator, generator.hidden_states(batch.inputs, z)) + raised
    loss = torch.nn.functional.cross_entropy(
        logits.permute(0, 2, 1), batch.targets - 2, ignore_index=-2, reduction="none"
    )
    return -loss.sum(0)


@each_width
def test_parameters_are_those_of_the_untied_model_less_the_output_layer(
    make_generator: MakeGenerator, sizes: dict[str, int]
) -> None:
    tied, untied = (make_generator(**sizes, tied_embeddings=choice) for choice in (True, False))
    counts = [sum(p.numel() for p in generator.parameters()) for generator in (tied, untied)]
    added = 0 if sizes["embedding"] == sizes["hidden"] else 5 * 7
    assert counts[1] - counts[0] == 9 * 7 - added
    assert tied.products == 4 * 7 * 7 + 9 * sizes["embedding"] + added
    assert untied.products == 4 * 7 * 7 + 9 * 7


@each_width
@pytest.mark.parametrize("words", [False, True], ids=["all words", "a subset"])
def test_gradients_agree_with_autograd(
    make_generator: MakeGenerator, make_batch: MakeBatch, sizes: dict[str, int], words: bool
) -> None:
    generator, batch = (
        make_generator(vocabulary=40, tied_embeddings=True, **sizes),
        make_batch((6, 3, 1, 5), 40),
    )
    subset, raised = None, torch.zeros(38).double()
    if words:
        rows = (batch.targets.flatten() - 2).clamp_min(0)
        pi = inclusion(torch.linspace(1, 3, 38).double() / 76, 12)
        subset = draw_subsets(pi, rows, Stream(1, "words").uniform(torch.arange(1), 38))[0]
        raised = torch.full((38,), -torch.inf).double()
        raised[subset.words] = -subset.log_inclusion
    theta, z = ThetaGradient(generator), codes(4).requires_grad_()
    theta.weight = 0.5
    fast = Conditional(Weights(generator), batch)
    value, gradient = fast.evaluate(z.detach(), None, theta, subset)
    expected = by_hand(generator, batch, z, raised)
    names, parameters = zip(*generator.named_parameters(), strict=True)
    of_code, *slopes = torch.autograd.grad(expected.sum(), (z, *parameters))
    torch.testing.assert_close(value, expected.detach(), rtol=1e-11, atol=1e-11)
    torch.testing.assert_close(gradient, of_code, rtol=1e-10, atol=1e-11)
    assert set(theta.sums) == set(names)
    for name, slope in zip(names, slopes, strict=True):
        torch.testing.assert_close(theta.sums[name], -0.5 * slope, rtol=1e-10, atol=1e-11)
    if not words:
        torch.testing.assert_close(fast.log_likelihood(z.detach()), expected.detach(), rtol=1e-11, atol=1e-11)
        plain = generator.log_likelihood(batch.inputs, batch.targets, z)
        torch.testing.assert_close(plain, expected, rtol=1e-11, atol=1e-11)


@each_width
def test_second_derivatives_agree_with_autograd(
    make_generator: MakeGenerator, make_batch: MakeBatch, sizes: dict[str, int]
) -> None:
    generator, batch = make_generator(tied_embeddings=True, **sizes), make_batch((6, 3, 5))
    z, u = codes(3).requires_grad_(), codes(3, seed=6)
    (gradient,) = torch.autograd.grad(by_hand(generator, batch, z).sum(), z, create_graph=True)
    hessian = torch.stack(
        [torch.autograd.grad(gradient[:, k].sum(), z, retain_graph=True)[0] for k in range(3)], 1
    )
    found = Conditional(Weights(generator), batch).hessian(z.detach())
    torch.testing.assert_close(found, -hessian, rtol=1e-9, atol=1e-10)

    names, parameters = zip(*generator.named_parameters(), strict=True)
    slopes = torch.autograd.grad((gradient * u).sum(), (z, *parameters), materialize_grads=True)
    slope = along(generator, batch, None, z.detach(), u)
    torch.testing.assert_close(slope.of_code, slopes[0], rtol=1e-9, atol=1e-11)
    for name, expected in zip(names, slopes[1:], strict=True):
        torch.testing.assert_close(slope.of_parameters[name], expected, rtol=1e-9, atol=1e-11)


@each_width
def test_greedy_decoding_takes_the_best_word_by_hand(
    make_generator: MakeGenerator, sizes: dict[str, int]
) -> None:
    generator, z = make_generator(scale=2.0, seed=5, tied_embeddings=True, **sizes), codes(20)
    for words, code in zip(decode(generator, z, DecodingConfig(max_length=6)), z, strict=True):
        inputs = torch.tensor([1, *words])[:, None]
        hidden = generator.hidden_states(inputs, code[None])[:, 0]
        best = (logits_by_hand(generator, hidden).argmax(-1) + 2).tolist()
        assert best[: len(words)] == words
        assert len(words) == 6 or best[len(words)] == 2


@pytest.mark.parametrize(("precision", "bound"), [("float32", 1e-5), ("bfloat16", 2e-2)])
def test_rounding(make_generator: MakeGenerator, make_batch: MakeBatch, precision: str, bound: float) -> None:
    sizes: dict[str, Any] = {
        "vocabulary": 200,
        "embedding": 8,
        "hidden": 16,
        "scale": 0.3,
        "tied_embeddings": True,
    }
    batch, z, sums = make_batch((9, 7, 8, 3, 12, 12) * 4, vocabulary=200), codes(24), []
    for dtype, asked in ((torch.float64, "float32"), (torch.float32, precision)):
        generator = make_generator(**sizes, dtype=dtype)
        theta = ThetaGradient(generator)
        Conditional(Weights(generator, asked), batch).evaluate(z.to(dtype), None, theta)
        sums.append(theta.sums)
    for name, exact in sums[0].items():
        assert sums[1][name].dtype == torch.float32
        assert float((sums[1][name].double() - exact).norm() / exact.norm()) < bound, name
