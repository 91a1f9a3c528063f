"""The fast path of log p(x|z) and its gradient in z against the generator's plain form and autograd."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from torch import Tensor

from sritool.config.settings import GeneratorConfig
from sritool.data.batches import Batch, collate
from sritool.data.tokenizer import FIRST_PREDICTED
from sritool.model import conditional, output_layer
from sritool.model import hessian as curvature
from sritool.model.conditional import Conditional, Weights
from sritool.model.dropout import Dropout, Masks
from sritool.model.generator import Generator
from sritool.model.random import Stream
from sritool.model.recurrence import lstm
from sritool.model.workspace import Workspace

LENGTHS = {"padded": (6, 3, 1, 5), "even": (4, 4, 4), "one": (5,), "one token": (1, 1)}


def codes(size: int, latent: int = 3, seed: int = 5, draws: tuple[int, ...] = ()) -> Tensor:
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(*draws, size, latent, generator=generator, dtype=torch.float64)


def oracle(generator: Generator, batch: Batch, z: Tensor, masks: Masks | None = None) -> Tensor:
    """log p(x|z) [batch] from plain operations, each factor of dropout where DESIGN puts it."""
    if masks is None:
        return generator.log_likelihood(batch.inputs, batch.targets, z)
    embedded = generator.embedding[batch.inputs] * masks.embedding
    gates = embedded @ generator.words_to_gates.t() + generator.gate_bias + z @ generator.latent_to_gates.t()
    hidden = lstm(gates, generator.layers[0].initial_hidden(z), generator.recurrent) * masks.hidden[0]
    logits = hidden @ generator.output.t() + generator.output_bias
    total = torch.zeros(z.shape[0], dtype=z.dtype)
    for time, row in enumerate(batch.targets.tolist()):
        for sentence, target in enumerate(row):
            if target >= FIRST_PREDICTED:
                scores = logits[time, sentence]
                total[sentence] = total[sentence] + scores[target - FIRST_PREDICTED] - scores.logsumexp(0)
    return total


@pytest.mark.parametrize("static", [False, True], ids=["", "static"])
@pytest.mark.parametrize("lengths", LENGTHS.values(), ids=LENGTHS.keys())
def test_value_and_gradient_agree_with_autograd(
    make_generator: Callable[..., Generator],
    make_batch: Callable[..., Batch],
    lengths: tuple[int, ...],
    static: bool,
) -> None:
    generator, batch = make_generator(), make_batch(lengths)
    z = codes(len(lengths)).requires_grad_()
    expected = oracle(generator, batch, z)
    (slope,) = torch.autograd.grad(expected.sum(), z)
    fast = Conditional(Weights(generator), batch, static)
    value, gradient = fast.evaluate(z.detach())
    torch.testing.assert_close(value, expected.detach(), rtol=1e-11, atol=1e-11)
    torch.testing.assert_close(gradient, slope, rtol=1e-10, atol=1e-11)
    if not static:
        found = fast.log_likelihood(z.detach())
        torch.testing.assert_close(found, expected.detach(), rtol=1e-11, atol=1e-11)


@pytest.mark.parametrize("lengths", [LENGTHS["padded"], LENGTHS["even"]], ids=["padded", "even"])
def test_masks_fall_on_embeddings_and_outputs(
    make_generator: Callable[..., Generator], make_batch: Callable[..., Batch], lengths: tuple[int, ...]
) -> None:
    generator, batch = make_generator(), make_batch(lengths)
    drawn = Dropout.draw(generator.config, batch, Stream(0, "dropout"), (3,)).masks(0)
    assert drawn is not None
    masks = Masks(drawn.embedding.double(), drawn.hidden.double())
    z = codes(len(lengths)).requires_grad_()
    expected = oracle(generator, batch, z, masks)
    (slope,) = torch.autograd.grad(expected.sum(), z)
    value, gradient = Conditional(Weights(generator), batch).evaluate(z.detach(), masks)
    torch.testing.assert_close(value, expected.detach(), rtol=1e-11, atol=1e-11)
    torch.testing.assert_close(gradient, slope, rtol=1e-10, atol=1e-11)
    without = oracle(generator, batch, z.detach()).detach()
    assert float((value - without).abs().max()) > 1e-3, "the masks have no effect"


@pytest.mark.parametrize("leading", [(5,), (2, 3)])
def test_many_draws_agree_with_one_by_one(
    make_generator: Callable[..., Generator], make_batch: Callable[..., Batch], leading: tuple[int, ...]
) -> None:
    fast = Conditional(Weights(make_generator()), make_batch(LENGTHS["padded"]))
    z = codes(4, draws=leading)
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
    make_generator: Callable[..., Generator],
    make_batch: Callable[..., Batch],
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
        for part, all_of_them in zip(evaluated(order), whole, strict=True):
            torch.testing.assert_close(part, all_of_them[order], rtol=1e-11, atol=1e-11)


def test_masks_of_a_sentence_do_not_depend_on_its_batch(make_split: Callable[..., object]) -> None:
    split = make_split([[3, 4, 2], [5, 6, 7, 8, 2], [9, 9, 2]])
    config = GeneratorConfig(embedding=4, hidden=3, latent=2, dropout=0.5)

    def masks(order: list[int]) -> Masks:
        found = Dropout.draw(config, collate(split, order), Stream(1, "dropout"), (0,)).masks(0)  # type: ignore[arg-type]
        assert found is not None
        return found

    alone, together = masks([2]), masks([1, 2])
    assert together.embedding.shape == (5, 2, 4)
    assert together.hidden.shape == (1, 5, 2, 3)
    assert torch.equal(together.embedding[:3, 1], alone.embedding[:, 0])
    assert torch.equal(together.hidden[:, :3, 1], alone.hidden[:, :, 0])
    other = Dropout.draw(config, collate(split, [2]), Stream(1, "dropout"), (1,)).masks(0)  # type: ignore[arg-type]
    assert other is not None
    assert not torch.equal(other.embedding, alone.embedding)


def test_no_masks_without_dropout(make_batch: Callable[..., Batch]) -> None:
    assert (
        Dropout.draw(GeneratorConfig(dropout=0.0), make_batch((3,)), Stream(0, "dropout"), (0,)).masks(0)
        is None
    )


@pytest.mark.parametrize(("precision", "bound"), [("float32", 1e-5), ("bfloat16", 2e-2)])
def test_rounding_of_the_gradient(
    make_generator: Callable[..., Generator], make_batch: Callable[..., Batch], precision: str, bound: float
) -> None:
    sizes = {"vocabulary": 300, "embedding": 16, "hidden": 32, "latent": 8, "scale": 0.3}
    batch = make_batch((9, 7, 8, 3, 12, 12), vocabulary=300)
    z = codes(6, 8)
    exact = Conditional(Weights(make_generator(**sizes)), batch).evaluate(z)
    rounded = Conditional(Weights(make_generator(**sizes, dtype=torch.float32), precision), batch)
    value, gradient = rounded.evaluate(z.float())
    assert gradient.dtype == torch.float32
    error = (gradient.double() - exact.gradient).norm(dim=1) / exact.gradient.norm(dim=1)
    assert float(error.max()) < bound
    assert float(((value.double() - exact.log_likelihood) / exact.log_likelihood).abs().max()) < bound
    if precision == "bfloat16":
        assert float(error.max()) > 1e-5, "bfloat16 was asked for and not used"


@pytest.mark.parametrize("lengths", [LENGTHS["padded"], LENGTHS["even"]], ids=["padded", "even"])
def test_chunks_of_the_logits_change_nothing(
    make_generator: Callable[..., Generator],
    make_batch: Callable[..., Batch],
    monkeypatch: pytest.MonkeyPatch,
    lengths: tuple[int, ...],
) -> None:
    batch = make_batch(lengths * 25)
    generator, z = make_generator(), codes(len(batch.lengths), draws=(3,))

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
    assert largest == output_layer._LEAST, "the buffer is not bounded"


def test_an_impossible_word_costs_much_and_stays_finite(
    make_generator: Callable[..., Generator], make_batch: Callable[..., Batch]
) -> None:
    generator = make_generator(dtype=torch.float32)
    with torch.no_grad():
        generator.output_bias[:] = 0
        generator.output_bias[3] = 500.0  # every other word has probability 0 in float32
    fast = Conditional(Weights(generator), make_batch((4, 4)))
    value, gradient = fast.evaluate(codes(2).float())
    assert bool(torch.isfinite(value).all())
    assert bool(torch.isfinite(gradient).all())
    assert float(value.max()) < -80
