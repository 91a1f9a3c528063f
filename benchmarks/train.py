"""Time and memory of a whole training step, against plain PyTorch loops and against `vae-anneal`.

A step is collation, the chain, the gradient for θ, clipping and the optimiser: PyTorch's fused Adam, except in the
authors' loop. The measurement of unstable steps, which training makes once in fifty steps, is left out.
"""

from __future__ import annotations

import argparse

import torch

from benchmarks.compared import AUTHORS, OURS, OURS_ALONE, SAMPLERS, VAE, Variant, config_of, report_of
from benchmarks.options import Context, add_common, add_precision, add_shapes, add_steps, add_timing
from benchmarks.ours import OurStep, batches
from benchmarks.reference import Reference, fastest_form, train_step, train_step_lm
from benchmarks.reference_vae import ReferenceVae, train_step_vae
from benchmarks.report import Report
from benchmarks.shapes import PRESET_SHAPES, Shape
from benchmarks.timing import Run

KINDS = (*SAMPLERS, *OURS_ALONE, "lm", VAE)


def build(variant: Variant, shape: Shape, precision: str, device: torch.device, steps: int | None) -> Run:
    """Build one whole step of a variant."""
    who, kind = variant
    config = config_of(kind, shape, precision, steps)
    if who == OURS:
        return OurStep(config, shape, device)
    frugal = who != AUTHORS
    model = (ReferenceVae if kind == VAE else Reference)(config.generator, shape.vocabulary).to(device)
    optimizer = torch.optim.Adam(
        model.parameters(), lr=config.optimizer.learning_rate, fused=True if frugal else None
    )
    decoder = model.decoder if isinstance(model, ReferenceVae) else model
    decoder.output.form = fastest_form(shape, precision, device) if frugal else "float32"
    following, clip, sampler = batches(shape, device), config.optimizer.clip, config.sampler
    if isinstance(model, ReferenceVae):
        return lambda: train_step_vae(model, optimizer, following(), 1.0, clip)
    if kind not in SAMPLERS:
        return lambda: train_step_lm(model, optimizer, following(), clip)
    fisher = torch.zeros(shape.latent, shape.latent, device=device) if sampler.preconditioned else None
    return lambda: train_step(model, optimizer, following(), sampler, fisher, frugal, clip=clip)


def add_options(parser: argparse.ArgumentParser) -> None:
    """Add the options of this benchmark."""
    add_common(parser)
    add_shapes(parser, PRESET_SHAPES)
    add_precision(parser)
    add_timing(parser)
    add_steps(parser)
    parser.add_argument(
        "--kind", nargs="+", choices=KINDS, default=list(KINDS), help="kinds of training step"
    )


def run(context: Context, arguments: argparse.Namespace) -> Report:
    """Measure all shapes."""
    return report_of("train", "training step", build, arguments.kind, context, arguments)
