"""The plain loop that sritool is timed against, against sritool itself: they compute the same."""

from __future__ import annotations

import math
from dataclasses import replace

import pytest
import torch
from torch import Tensor

from benchmarks.chain_jacobian import chain_with_graph, log_density
from benchmarks.ours import CLOCK, method_of, run_config
from benchmarks.reference import (
    Reference,
    langevin_chain,
    reference_of,
    train_step,
    train_step_lm,
    translated,
)
from benchmarks.shapes import SHAPES, Shape, random_batch
from sritool.data.batches import Batch
from sritool.inference.chain_density import chain_density
from sritool.inference.langevin import Dynamics, langevin_step, log_joint_of, log_prior, short_run
from sritool.methods.sri import ShortRunInference
from sritool.model.generator import Generator

MICRO = SHAPES["micro"]
CPU = torch.device("cpu")
STEP_SIZES = (0.3, 0.1, 0.05)


def pair(shape: Shape = MICRO, padded: bool = True) -> tuple[Generator, Reference, Batch, Tensor]:
    """Generator and reference with the same weights in float64, a batch and codes for it."""
    generator = method_of(run_config(shape), shape, CPU).generator.double()
    generator.initialise(0.7, seed=3)
    code = torch.randn(
        shape.batch, shape.latent, generator=torch.Generator().manual_seed(1), dtype=torch.float64
    )
    return generator, reference_of(generator), random_batch(shape, padded), code


def oracle(generator: Generator, batch: Batch, z: Tensor) -> Tensor:
    return -generator.log_likelihood(batch.inputs, batch.targets, z)


def gradients(generator: Generator, total: Tensor) -> dict[str, Tensor]:
    """Gradients of the generator's parameters in the reference's layout, without the LSTM's second bias."""
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
def test_value_and_gradients_match_the_generator(padded: bool) -> None:
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


def test_chain_moves_and_sums_gradients_as_short_run() -> None:
    generator, reference, batch, start = pair()
    noise = torch.randn(3, *start.shape, dtype=torch.float64, generator=torch.Generator().manual_seed(2))
    end = langevin_chain(reference, batch, start, STEP_SIZES, noise, 0.4, dropout=False)
    z, total = start, torch.zeros((), dtype=torch.float64)
    for step_size, draw in zip(STEP_SIZES, noise, strict=True):
        total = total + oracle(generator, batch, z).sum()
        code = z.clone().requires_grad_()
        (slope,) = torch.autograd.grad(oracle(generator, batch, code).sum(), code)
        z = langevin_step(z, -slope - z, step_size, draw, 0.4 * math.sqrt(2 * step_size))
    torch.testing.assert_close(end, z, rtol=1e-10, atol=1e-11)
    close(reference, gradients(generator, total))


@pytest.mark.parametrize("frugal", [False, True])
@pytest.mark.parametrize("sampler", ["paper", "authors", "preconditioned", "exponential"])
def test_training_step_has_the_same_gradient(sampler: str, frugal: bool) -> None:
    """With the same noise and no dropout; the Fisher information changes equally."""
    shape = replace(MICRO, dropout=0.0)
    method = method_of(run_config(shape, sampler=sampler, steps=4, all_words=True), shape, CPU)
    assert isinstance(method, ShortRunInference)
    method.modules.double()
    method.generator.initialise(0.7, seed=3)
    reference, batch = reference_of(method.generator), random_batch(shape, padded=True)
    settings, clock = method.sampler, CLOCK._replace(progress=1.0)
    tau = settings.temperature.at(clock.progress)
    fisher = None
    if method.preconditioner is not None:
        method.preconditioner.fisher.copy_(torch.diag(torch.arange(4.0)) + 0.1)
        fisher = method.preconditioner.fisher.clone()
    start, noise = method._draw(batch, clock.stream("chain"), 1)
    draws = torch.cat((start, noise[:, 0]))
    found = method.gradients(batch, clock)
    method.after_update()
    settings = replace(settings, evaluation_temperature=tau)
    optimizer = torch.optim.SGD(reference.parameters(), lr=0.0)
    loss = train_step(reference, optimizer, batch, settings, fisher, frugal, draws, clip=1e9)
    weight = settings.weight_at_end(MICRO.batch) if settings.theta_gradient == "path" else 1 / MICRO.batch
    assert loss == pytest.approx(weight * found["recon"], rel=1e-9)
    slopes = {n: p.grad for n, p in method.generator.named_parameters() if p.grad is not None}
    expected = translated(slopes)
    del expected["lstm.bias_hh_l0"]
    close(reference, expected)
    if method.preconditioner is not None:
        torch.testing.assert_close(fisher, method.preconditioner.fisher, rtol=1e-9, atol=1e-11)


def test_language_model_step_has_the_same_gradient() -> None:
    shape = replace(MICRO, dropout=0.0)
    method = method_of(run_config(shape, "lm"), shape, CPU)
    method.modules.double()
    reference, batch = reference_of(method.generator), random_batch(shape)
    method.gradients(batch, CLOCK)
    train_step_lm(reference, torch.optim.SGD(reference.parameters(), lr=0.0), batch, clip=1e9)
    slopes = {n: p.grad for n, p in method.generator.named_parameters() if p.grad is not None}
    for name, slope in translated(slopes).items():
        if slope.numel() and name not in ("lstm.bias_hh_l0", "initial_bias"):
            torch.testing.assert_close(reference.get_parameter(name).grad, slope, rtol=1e-9, atol=1e-11)


@pytest.mark.parametrize("form", ["autocast", "cast"])
def test_bfloat16_output_layer_only_rounds(form: str) -> None:
    generator, _, batch, code = pair()
    reference = reference_of(generator.float())
    expected = reference.nll(batch, code.float())
    reference.output.form = form
    found = reference.nll(batch, code.float())
    torch.testing.assert_close(found, expected, rtol=2e-2, atol=2e-2)
    assert not torch.equal(found, expected)


def test_authors_density_matches_chain_density() -> None:
    generator, reference, batch, start = pair()
    noise = torch.randn(3, *start.shape, dtype=torch.float64, generator=torch.Generator().manual_seed(4))
    code = start.clone().requires_grad_()
    end = chain_with_graph(reference, batch, code, STEP_SIZES, noise, 0.4)
    method = method_of(run_config(MICRO), MICRO, CPU)
    method.modules.double()
    method.generator.load_state_dict(generator.state_dict())
    conditional = method.conditional(batch)
    chain = short_run(log_joint_of(conditional), start, noise, Dynamics(STEP_SIZES, 0.4), keep_path=True)
    torch.testing.assert_close(end.detach(), chain.end, rtol=1e-9, atol=1e-10)
    theirs = log_density(code, end)
    torch.testing.assert_close(theirs, chain_density(conditional, chain).log_density, rtol=1e-8, atol=1e-9)
    assert float((theirs - log_prior(start)).abs().min()) > 0.1  # the chain does change volumes
