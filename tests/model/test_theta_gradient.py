"""Parameter gradients of the fast path: weighted sums, rounding and reused memory, against autograd."""

from __future__ import annotations

import pytest
import torch

from model.reference import LENGTHS, MakeBatch, MakeGenerator, codes, log_p, masks_of
from sritool.model.conditional import Conditional, Weights
from sritool.model.theta_gradient import ThetaGradient
from sritool.model.workspace import Workspace


@pytest.mark.parametrize("lengths", LENGTHS.values(), ids=LENGTHS.keys())
@pytest.mark.parametrize("dropout", [0.0, 0.5, 0.3])
def test_weighted_sum_of_two_passes_agrees_with_autograd(
    make_generator: MakeGenerator,
    make_batch: MakeBatch,
    lengths: tuple[int, ...],
    dropout: float,
) -> None:
    generator, batch = make_generator(dropout=dropout), make_batch(lengths)
    fast, theta = Conditional(Weights(generator), batch), ThetaGradient(generator)
    total = torch.zeros((), dtype=torch.float64)
    for index, weight in enumerate((1.0, 0.25)):
        masks, z = masks_of(generator, batch, index), codes(len(lengths), seed=index)
        total = total - weight * log_p(generator, batch, z, masks).sum()
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


def test_gradients_of_a_generator_without_z(make_generator: MakeGenerator, make_batch: MakeBatch) -> None:
    generator, batch = make_generator(latent=0), make_batch(LENGTHS["padded"])
    z = torch.zeros(4, 0, dtype=torch.float64)
    theta = ThetaGradient(generator)
    value, _ = Conditional(Weights(generator), batch).evaluate(z, None, theta)
    total = -log_p(generator, batch, z).sum()
    torch.testing.assert_close(-value.sum(), total.detach(), rtol=1e-11, atol=1e-11)
    used = {name: p for name, p in generator.named_parameters() if p.numel()}
    for (name, _), slope in zip(used.items(), torch.autograd.grad(total, list(used.values())), strict=True):
        torch.testing.assert_close(theta.sums[name], slope, rtol=1e-10, atol=1e-11)


@pytest.mark.parametrize("tied", [False, True], ids=["", "tied"])
@pytest.mark.parametrize(("precision", "bound"), [("float32", 1e-5), ("bfloat16", 2e-2)])
def test_rounding_of_parameter_gradients(
    make_generator: MakeGenerator, make_batch: MakeBatch, precision: str, bound: float, tied: bool
) -> None:
    sizes = {"vocabulary": 200, "embedding": 8, "hidden": 16, "scale": 0.3, "tied_embeddings": tied}
    batch, z = make_batch((9, 7, 8, 3, 12, 12) * 4, vocabulary=200), codes(24)
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
def test_reused_memory_changes_nothing(
    make_generator: MakeGenerator, make_batch: MakeBatch, precision: str
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
            gradient.fill_(float("nan"))  # clipping and optimisers may overwrite it
    for name, expected in found[0].items():
        assert bool(expected.isfinite().all()), name
        assert torch.equal(found[1][name], expected), name
        assert torch.equal(found[2][name], expected), name
