"""Time and memory of a Langevin step, against plain PyTorch loops and against a training step of `vae-anneal`.

A whole chain is run, with θ's gradient at every visited z where the sampler wants that, and the time of one of its
steps is told. What sritool does once a chain (noise, words drawn, casts, the words' projection) is counted in.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable

import torch

from benchmarks import train
from benchmarks.compared import (
    AUTHORS,
    OURS,
    SAMPLERS,
    VAE,
    Variant,
    add_memory,
    config_of,
    measure,
    table_of,
)
from benchmarks.floor import Floor
from benchmarks.options import Context, add_common, add_precision, add_shapes, add_timing
from benchmarks.ours import our_chain, run_config
from benchmarks.reference import Reference, draw_noise, fastest_form, langevin_chain
from benchmarks.report import Report
from benchmarks.shapes import PRESET_SHAPES, Shape, random_batch
from benchmarks.timing import Run

Steps = Callable[[Shape, str, torch.device, int], Run]
"""A chain of so many steps."""


def build(variant: str, shape: Shape, precision: str, device: torch.device, steps: int | None) -> Run:
    """One chain of a variant; for `vae-anneal` a training step."""
    who, kind = Variant.of(variant)
    if kind == VAE:
        return train.build(variant, shape, precision, device, steps)
    config = config_of(kind, shape, precision, steps)
    if who == OURS:
        return our_chain(config, shape, device)
    sampler, frugal = config.sampler, who != AUTHORS
    model = Reference(config.generator, shape.vocabulary).to(device)
    model.output.form = fastest_form(shape, precision, device) if frugal else "float32"
    model.requires_grad_(not frugal or sampler.theta_gradient == "path")
    batch, sizes = random_batch(shape).to(device), sampler.schedule()
    root = torch.eye(shape.latent, device=device) if sampler.preconditioned else None

    def run() -> None:
        model.zero_grad()
        draws = draw_noise(sampler, shape.batch, shape.latent, device)
        tau, dropout = sampler.evaluation_temperature, sampler.chain_dropout
        langevin_chain(model, batch, draws[0], sizes, draws[1:], tau, dropout, root, sampler.exponential)

    return run


def our_steps(shape: Shape, precision: str, device: torch.device, steps: int) -> Run:
    """sritool's chain under the paper's sampler."""
    return our_chain(run_config(shape, sampler="paper", steps=steps, precision=precision), shape, device)


def floor_steps(shape: Shape, precision: str, device: torch.device, steps: int) -> Run:
    """Its matrix products alone."""
    floor = Floor(shape, precision, device)

    def run() -> None:
        for _ in range(steps):
            floor.langevin_step()

    return run


def add_options(parser: argparse.ArgumentParser) -> None:
    """Options of this benchmark."""
    add_common(parser)
    add_shapes(parser, PRESET_SHAPES)
    add_precision(parser)
    add_timing(parser)
    parser.add_argument("--steps", type=int, help="Langevin steps of a chain; the sampler's own by default")
    parser.add_argument("--no-memory", action="store_true", help="leave out the peaks of memory")


def run(context: Context, arguments: argparse.Namespace) -> Report:
    """All shapes."""
    report = Report("chain", {**context.settings(), "steps": arguments.steps}, {"steps": []})
    for shape in context.shapes:
        precision, device = context.precision_of(shape), context.device
        size = (context.rounds, context.most_seconds, arguments.steps)
        records = measure(build, SAMPLERS, shape, precision, device, *size, runs_chains=True)
        if not arguments.no_memory:
            add_memory("chain", records, shape, context, arguments.steps)
        report.results["steps"] += records
        note = f"{shape.sizes}; output layer in {precision}; {records[0]['rounds']} rounds"
        report.tables.append(table_of(f"Langevin step, {shape.name}", records, note))
    return report
