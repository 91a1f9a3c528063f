"""sritool's fast path against plain autograd in float64: gradients along one plain chain, and whole chains.

The chain is run by `Generator.log_likelihood` and autograd in float64. At every z that it visits, the fast path
computes its gradient in float32 and in bfloat16. Rounding errors grow along a chain, so whole chains are compared
only in float64. The exit code is 1 if a bound is broken.
"""

from __future__ import annotations

import argparse
from typing import Any

import torch
from torch import Tensor

from benchmarks.options import Context, add_common, add_shapes
from benchmarks.ours import method_of, run_config
from benchmarks.report import Report
from benchmarks.shapes import Shape, random_batch
from sritool.cli.formats import Table
from sritool.data.batches import Batch
from sritool.inference.langevin import Chain, Dynamics, evaluated, log_joint_of, short_run, with_prior
from sritool.methods.base import Method
from sritool.model.generator import Generator
from sritool.model.random import Stream

# Relative error of the batch's gradient at any step.
BOUNDS = {"float32": 1e-5, "bfloat16": 2e-2, "float64": 1e-10}
CHAIN_BOUND = 1e-9  # relative difference of z_K in float64


def oracle_gradient(generator: Generator, batch: Batch, z: Tensor) -> tuple[Tensor, Tensor]:
    """Return log p(x|z) and its gradient by autograd, both detached."""
    with torch.enable_grad():
        code = z.detach().requires_grad_()
        value = generator.log_likelihood(batch.inputs, batch.targets, code)
        (gradient,) = torch.autograd.grad(value.sum(), code)
    return value.detach(), gradient


def plain_chain(method: Method, batch: Batch, dynamics: Dynamics) -> tuple[Chain, list[Tensor]]:
    """Run a chain by autograd in float64, without dropout; return it with ∇_z log p(x|z) at each z that it visits."""
    visited, count = [], len(dynamics.step_sizes) + 1
    draws = Stream(0, "equality").codes(batch.examples, count, method.latent, torch.float64)

    def log_conditional(z: Tensor, step: int) -> tuple[Tensor, Tensor]:
        value, gradient = oracle_gradient(method.generator, batch, z)
        visited.append(gradient)
        return value, gradient

    log_joint = with_prior(log_conditional)
    return short_run(log_joint, draws[0], draws[1:], dynamics, keep_path=True), visited


def relative(found: Tensor, expected: Tensor) -> float:
    """Return ‖found − expected‖ / ‖expected‖ over the whole tensor."""
    return float((found.double() - expected).norm() / expected.norm())


def drawn(shape: Shape, scale: float, device: torch.device, dtype: torch.dtype) -> Method:
    """Make a method with every parameter from U(−scale, scale), drawn in float32."""
    method = method_of(run_config(shape), shape, device)
    method.generator.initialise(scale, seed=0)
    method.modules.to(dtype)
    return method


def compare(shape: Shape, padded: bool, scale: float, steps: int, device: torch.device) -> dict[str, Any]:
    """Make all comparisons on one batch."""
    dynamics = evaluated(run_config(shape, steps=steps).sampler)
    batch = random_batch(shape, padded).to(device)
    exact = drawn(shape, scale, device, torch.float64)
    plain, expected = plain_chain(exact, batch, dynamics)
    assert plain.path is not None
    errors = {}
    for name in BOUNDS:
        dtype = torch.float64 if name == "float64" else torch.float32
        method = drawn(shape, scale, device, dtype)
        fast = method.conditional(batch, "bfloat16" if name == "bfloat16" else "float32")
        found = (fast.evaluate(z.to(dtype)).gradient for z in plain.path[:-1])
        errors[name] = [relative(*pair) for pair in zip(found, expected, strict=True)]
    log_joint = log_joint_of(exact.conditional(batch))
    fast_end = short_run(log_joint, plain.start, plain.noise, plain.dynamics).end
    difference = relative(fast_end, plain.end)
    # Every comparison is written so that NaN counts as broken.
    within = [error < bound for name, bound in BOUNDS.items() for error in errors[name]]
    held = difference < CHAIN_BOUND and all(within)
    return {
        "shape": shape.name,
        "padded": padded,
        "scale": scale,
        "errors by step": errors,
        "chain difference": difference,
        "moved": float((plain.end - plain.start).norm(dim=-1).mean()),
        "broken": not held,
    }


def add_options(parser: argparse.ArgumentParser) -> None:
    """Add the options of this benchmark."""
    add_common(parser)
    add_shapes(parser, ("ptb", "captions"))
    parser.add_argument("--steps", type=int, default=20, help="Langevin steps of a chain")
    scale = "parameters are drawn from U(−scale, scale)"
    parser.add_argument("--scale", type=float, nargs="+", default=[0.1, 0.3], help=scale)


def run(context: Context, arguments: argparse.Namespace) -> Report:
    """Compare all shapes, even and padded batches, at each scale of the parameters."""
    records = [
        compare(shape, padded, scale, arguments.steps, context.device)
        for shape in context.shapes
        for scale in arguments.scale
        for padded in (False, True)
    ]
    settings = context.settings(bounds={**BOUNDS, "chain in float64": CHAIN_BOUND})
    report = Report("equality", settings, {"comparisons": records})
    report.failed = any(record["broken"] for record in records)
    rows = []
    for record in records:
        batch = (record["shape"], "padded" if record["padded"] else "even", record["scale"])
        errors = [max(record["errors by step"][name]) for name in BOUNDS]
        held = "broken" if record["broken"] else "held"
        rows.append((*batch, *errors, record["chain difference"], record["moved"], held))
    columns = ("shape", "batch", "weights ±", *BOUNDS, "z_K, float64", "‖z_K − z_0‖", "bounds")
    bounds = ", ".join(f"{bound:g} in {name}" for name, bound in BOUNDS.items())
    note = (
        f"largest relative error of the gradient at any of {arguments.steps} steps, and relative difference of z_K; "
        f"bounds {bounds}, {CHAIN_BOUND:g} for z_K"
    )
    report.tables.append(Table("fast path against autograd in float64", columns, rows, note))
    return report
