"""The plain loop that sritool is timed against computes what sritool computes."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from torch import Tensor

from benchmarks.chain_jacobian import chain_with_graph, log_density
from benchmarks.ours import OurChain, method_of, run_config
from benchmarks.reference import Reference, langevin_chain, reference_of, train_step, translated
from benchmarks.shapes import SHAPES, Shape, random_batch
from sritool.core.density import chain_density
from sritool.core.generator import Generator
from sritool.core.langevin import langevin_step, log_prior, short_run
from sritool.corpus.batches import Batch

MICRO = SHAPES["micro"]
STEP_SIZES = (0.3, 0.1, 0.05)


def pair(shape: Shape = MICRO, padded: bool = True) -> tuple[Generator, Reference, Batch, Tensor]:
    """Generator and reference with the same weights in float64, a batch and codes for it."""
    generator = method_of(run_config(shape), shape, torch.device("cpu")).generator.double()
    generator.initialise(0.7, seed=3)
    code = torch.randn(
        shape.batch, shape.latent, generator=torch.Generator().manual_seed(1), dtype=torch.float64
    )
    return generator, reference_of(generator), random_batch(shape, padded), code


def oracle(generator: Generator, batch: Batch, z: Tensor) -> Tensor:
    return -generator.log_likelihood(batch.inputs, batch.targets, z)


def gradients(generator: Generator, total: Tensor) -> dict[str, Tensor]:
    """Of the generator's parameters, in the reference's layout, but for the LSTM's second bias."""
    names, parameters = zip(*generator.named_parameters(), strict=True)
    found = dict(zip(names, torch.autograd.grad(total, parameters), strict=True))
    return {name: g for name, g in translated(found).items() if name != "lstm.bias_hh_l0"}


def close(found: Reference, expected: dict[str, Tensor]) -> None:
    for name, slope in expected.items():
        grad = found.get_parameter(name).grad
        assert grad is not None
        assert float(slope.abs().max()) > 0, name
        assert torch.allclose(grad, slope, rtol=1e-9, atol=1e-11), name


@pytest.mark.parametrize("padded", [False, True])
def test_value_and_all_gradients_are_the_oracles(padded: bool) -> None:
    generator, reference, batch, code = pair(padded=padded)
    ours, theirs = code.clone().requires_grad_(), code.clone().requires_grad_()
    expected, found = oracle(generator, batch, ours), reference.nll(batch, theirs)
    torch.testing.assert_close(found, expected, rtol=1e-11, atol=1e-11)
    found.sum().backward()
    (slope,) = torch.autograd.grad(expected.sum(), ours, retain_graph=True)
    assert theirs.grad is not None
    torch.testing.assert_close(theirs.grad, slope, rtol=1e-9, atol=1e-11)
    close(reference, gradients(generator, expected.sum()))


def test_given_dropout_factors_are_used() -> None:
    generator, reference, batch, code = pair()
    time, size = batch.targets.shape
    words = torch.full((time, size, MICRO.embedding), 2.0, dtype=torch.float64)
    outputs = torch.full((time, size, MICRO.hidden), 0.5, dtype=torch.float64)
    found = reference.nll(batch, code, (words, outputs))
    with torch.no_grad():
        generator.embedding.mul_(2.0)
        generator.output.mul_(0.5)
    torch.testing.assert_close(found, oracle(generator, batch, code), rtol=1e-11, atol=1e-11)


def test_a_chain_moves_as_short_run_does_and_leaves_every_steps_gradient() -> None:
    generator, reference, batch, start = pair()
    noise = torch.randn(3, *start.shape, dtype=torch.float64, generator=torch.Generator().manual_seed(2))
    end = langevin_chain(reference, batch, start, STEP_SIZES, noise, 0.4, dropout=False)
    z, total = start, torch.zeros((), dtype=torch.float64)
    for step_size, draw in zip(STEP_SIZES, noise, strict=True):
        total = total + oracle(generator, batch, z).sum()
        code = z.clone().requires_grad_()
        (slope,) = torch.autograd.grad(oracle(generator, batch, code).sum(), code)
        z = langevin_step(z, -slope - z, step_size, draw, 0.4)
    torch.testing.assert_close(end, z, rtol=1e-10, atol=1e-11)
    close(reference, gradients(generator, total))


@pytest.mark.parametrize("theta_gradient", ["end", "path"])
def test_a_training_step_moves_every_parameter(theta_gradient: str) -> None:
    reference = Reference(run_config(MICRO).generator, MICRO.vocabulary)
    batch = random_batch(replace(MICRO, batch=40))  # every word somewhere
    before = {name: p.detach().clone() for name, p in reference.named_parameters()}
    optimizer = torch.optim.SGD(reference.parameters(), lr=0.1)
    loss = train_step(reference, optimizer, batch, STEP_SIZES, theta_gradient, chain_dropout=True)
    assert 0 < loss < 10 * MICRO.length
    for name, parameter in reference.named_parameters():
        assert not torch.equal(parameter, before[name]), name


def test_only_path_keeps_what_the_chain_left() -> None:
    """Clipped to 1 by the norm: `end` is the gradient at z_K, which one SGD step of rate 1 shows."""
    generator, reference, batch, _ = pair(padded=False)
    optimizer = torch.optim.SGD(reference.parameters(), lr=1.0)
    torch.manual_seed(0)
    before = reference.output.weight.detach().clone()
    reference.config = replace(reference.config, dropout=0.0)
    torch.set_default_dtype(torch.float64)
    try:
        train_step(reference, optimizer, batch, STEP_SIZES, "end", chain_dropout=False, clip=1e9)
        torch.manual_seed(0)
        draws = torch.randn(len(STEP_SIZES) + 1, MICRO.batch, MICRO.latent)
    finally:
        torch.set_default_dtype(torch.float32)
    other = reference_of(generator)
    end = langevin_chain(other, batch, draws[0], STEP_SIZES, draws[1:], 0.2, dropout=False)
    expected = gradients(generator, oracle(generator, batch, end).mean())
    torch.testing.assert_close(before - reference.output.weight, expected["output.weight"])


def test_the_authors_density_is_the_product_of_the_steps() -> None:
    generator, reference, batch, start = pair()
    noise = torch.randn(3, *start.shape, dtype=torch.float64, generator=torch.Generator().manual_seed(4))
    code = start.clone().requires_grad_()
    end = chain_with_graph(reference, batch, code, STEP_SIZES, noise, 0.4)
    method = method_of(run_config(MICRO), MICRO, torch.device("cpu"))
    method.modules.double()
    method.generator.load_state_dict(generator.state_dict())
    conditional = method.conditional(batch)

    def log_joint(z: Tensor, step: int) -> tuple[Tensor, Tensor]:
        value, gradient = conditional.evaluate(z)
        return value + log_prior(z), gradient - z

    chain = short_run(log_joint, start, STEP_SIZES, noise, 0.4, keep_path=True)
    torch.testing.assert_close(end.detach(), chain.end, rtol=1e-9, atol=1e-10)
    theirs = log_density(code, end)
    torch.testing.assert_close(theirs, chain_density(conditional, chain).log_density, rtol=1e-8, atol=1e-9)
    assert float((theirs - log_prior(start)).abs().min()) > 0.1  # the chain does change volumes


def test_our_chain_and_its_pass_with_theta_run_as_asked() -> None:
    chain = OurChain(MICRO, "float32", torch.device("cpu"))
    first, end, with_path = (chain.run(1), chain.run(4), chain.run(4, path=True))
    assert isinstance(first, Tensor)
    assert isinstance(end, Tensor)
    assert isinstance(with_path, Tensor)
    assert first.shape == end.shape == (MICRO.batch, MICRO.latent)
    assert float((end - first).norm(dim=-1).min()) > 0
    assert torch.equal(with_path, end)  # θ's gradient on the way moves nothing
    norms = []
    for path in (False, True):
        method = chain.with_theta(4, path)
        grads = [p.grad for p in method.generator.parameters()]
        norms.append(sum(float(grad.norm()) for grad in grads if grad is not None))
    assert norms[1] > norms[0] > 0  # batch sums at four more places against a batch mean
