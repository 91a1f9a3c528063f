"""Time and memory of a Langevin step, against plain PyTorch loops and against a training step of `vae-anneal`.

A whole chain is run, with the gradient for θ at every visited z if the sampler takes it there, and the time is
given per step. It includes what sritool does once per chain: drawing noise and words, casts, and the projection of
the words.
"""

from __future__ import annotations

import argparse

import torch

from benchmarks import train
from benchmarks.compared import AUTHORS, OURS, SAMPLERS, VAE, Variant, config_of, report_of
from benchmarks.options import Context, add_common, add_precision, add_shapes, add_steps, add_timing
from benchmarks.ours import our_chain
from benchmarks.reference import Reference, fastest_form, langevin_chain
from benchmarks.report import Report
from benchmarks.shapes import PRESET_SHAPES, Shape, random_batch
from benchmarks.timing import Run


def build(variant: Variant, shape: Shape, precision: str, device: torch.device, steps: int | None) -> Run:
    """Build one chain of a variant; for `vae-anneal`, a training step."""
    who, kind = variant
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
        draws = torch.randn(sampler.steps + 1, shape.batch, shape.latent, device=device)
        tau, dropout = sampler.evaluation_temperature, sampler.chain_dropout
        langevin_chain(model, batch, draws[0], sizes, draws[1:], tau, dropout, root, sampler.exponential)

    return run


def add_options(parser: argparse.ArgumentParser) -> None:
    """Add the options of this benchmark."""
    add_common(parser)
    add_shapes(parser, PRESET_SHAPES)
    add_precision(parser)
    add_timing(parser)
    add_steps(parser)


def run(context: Context, arguments: argparse.Namespace) -> Report:
    """Measure all shapes."""
    return report_of("chain", "Langevin step", build, SAMPLERS, context, arguments, runs_chains=True)
