"""Parameter gradients of the fast path against autograd."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from torch import Tensor

from sritool.data.batches import Batch
from sritool.model.conditional import Conditional, Weights
from sritool.model.dropout import Dropout, Masks
from sritool.model.generator import Generator
from sritool.model.random import Stream
from sritool.model.recurrence import lstm
from sritool.model.theta_gradient import ThetaGradient
from sritool.model.workspace import Workspace

LENGTHS = {"padded": (6, 3, 1, 5), "even": (4, 4, 4)}


def codes(size: int, latent: int = 3, seed: int = 5) -> Tensor:
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(size, latent, generator=generator, dtype=torch.float64)


def masked_nll(generator: Generator, batch: Batch, z: Tensor, masks: Masks | None) -> Tensor:
    """Σ_batch −log p(x|z) by `torch.nn.functional.cross_entropy`, which ignores padding by its own rule."""
    embedded = generator.embedding[batch.inputs]
    embedded = embedded if masks is None else embedded * masks.embedding
    gates = embedded @ generator.words_to_gates.t() + generator.gate_bias + z @ generator.latent_to_gates.t()
    hidden = lstm(gates, generator.layers[0].initial_hidden(z), generator.recurrent)
    hidden = hidden if masks is None else hidden * masks.hidden[0]
    logits = hidden @ generator.output.t() + generator.output_bias
    return torch.nn.functional.cross_entropy(
        logits.flatten(0, 1), batch.targets.flatten() - 2, ignore_index=-2, reduction="sum"
    )


@pytest.mark.parametrize("lengths", LENGTHS.values(), ids=LENGTHS.keys())
@pytest.mark.parametrize("dropout", [0.0, 0.5, 0.3])
def test_every_parameter_gets_its_gradient(
    make_generator: Callable[..., Generator],
    make_batch: Callable[..., Batch],
    lengths: tuple[int, ...],
    dropout: float,
) -> None:
    generator, batch = make_generator(dropout=dropout), make_batch(lengths)
    fast, theta = Conditional(Weights(generator), batch), ThetaGradient(generator)
    total = torch.zeros((), dtype=torch.float64)
    for index, weight in enumerate((1.0, 0.25)):
        drawn = Dropout.draw(generator.config, batch, Stream(2, "dropout"), (index,)).masks(0)
        masks = None if drawn is None else Masks(drawn.embedding.double(), drawn.hidden.double())
        z = codes(len(lengths), seed=index)
        total = total + weight * masked_nll(generator, batch, z, masks)
        theta.weight = weight
        fast.evaluate(z, masks, theta)
    assert all(p.grad is None for p in generator.parameters())
    names, parameters = zip(*generator.named_parameters(), strict=True)
    expected = torch.autograd.grad(total, parameters)
    for name, slope in zip(names, expected, strict=True):
        assert float(slope.abs().max()) > 0, name
        torch.testing.assert_close(
            theta.sums[name], slope, rtol=1e-10, atol=1e-11, msg=lambda text, name=name: f"{name}: {text}"
        )


def test_a_generator_without_z_has_gradients_too(
    make_generator: Callable[..., Generator], make_batch: Callable[..., Batch]
) -> None:
    generator, batch = make_generator(latent=0), make_batch(LENGTHS["padded"])
    z = torch.zeros(4, 0, dtype=torch.float64)
    theta = ThetaGradient(generator)
    value, _ = Conditional(Weights(generator), batch).evaluate(z, None, theta)
    gradients = theta.sums
    total = masked_nll(generator, batch, z, None)
    torch.testing.assert_close(-value.sum(), total.detach(), rtol=1e-11, atol=1e-11)
    used = {name: p for name, p in generator.named_parameters() if p.numel()}
    for (name, _), slope in zip(used.items(), torch.autograd.grad(total, list(used.values())), strict=True):
        torch.testing.assert_close(gradients[name], slope, rtol=1e-10, atol=1e-11)


@pytest.mark.parametrize(("precision", "bound"), [("float32", 1e-5), ("bfloat16", 2e-2)])
def test_rounding_of_parameter_gradients(
    make_generator: Callable[..., Generator], make_batch: Callable[..., Batch], precision: str, bound: float
) -> None:
    sizes = {"vocabulary": 200, "embedding": 8, "hidden": 16, "latent": 4, "scale": 0.3}
    batch, z = make_batch((9, 7, 8, 3, 12, 12) * 4, vocabulary=200), codes(24, 4)
    sums = []
    for dtype, asked in ((torch.float64, "float32"), (torch.float32, precision)):
        generator = make_generator(**sizes, dtype=dtype)
        theta = ThetaGradient(generator)
        Conditional(Weights(generator, asked), batch).evaluate(z.to(dtype), None, theta)
        sums.append(theta.sums)
    for name, exact in sums[0].items():
        assert sums[1][name].dtype == torch.float32
        assert float((sums[1][name].double() - exact).norm() / exact.norm()) < bound, name


@pytest.mark.parametrize("precision", ["float32", "bfloat16"])
def test_what_the_memory_held_before_changes_nothing(
    make_generator: Callable[..., Generator], make_batch: Callable[..., Batch], precision: str
) -> None:
    generator, batch = make_generator(dtype=torch.float32), make_batch(LENGTHS["padded"])
    workspace, z = Workspace(), codes(4).float()
    found = []
    for memory in (None, workspace, workspace):
        theta = ThetaGradient(generator, memory)
        conditional = Conditional(Weights(generator, precision, memory), batch)
        for theta.weight in (1.0, 0.5):
            conditional.evaluate(z, None, theta)
        found.append({name: gradient.clone() for name, gradient in theta.sums.items()})
        for gradient in theta.sums.values():
            gradient.fill_(float("nan"))  # as clipping and optimisers may
    for name, expected in found[0].items():
        assert bool(expected.isfinite().all()), name
        assert torch.equal(found[1][name], expected), name
        assert torch.equal(found[2][name], expected), name
