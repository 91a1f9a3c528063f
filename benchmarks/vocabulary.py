"""How time and memory of a training step, and of the likelihood, grow with the vocabulary.

Measures a whole step of sri (with drawn words in its chain, and with all words), of vae-anneal and of the language
model, and the `adaptive` likelihood of some sentences, in turn, at the shape ptb with larger and larger
vocabularies. Memory is the peak above what is resident with the model, its gradients and the optimiser in place,
each in a process of its own. The note gives the size of a [tokens, vocabulary] matrix of a training step for
comparison.
"""

from __future__ import annotations

import argparse
from dataclasses import replace
from typing import Any

import torch

from benchmarks import child
from benchmarks.compared import ALL_WORDS, OURS, VAE, Variant, config_of
from benchmarks.evaluate import Ours
from benchmarks.growth import slope_of
from benchmarks.options import Context, add_common, add_precision, add_shapes, add_steps, add_timing
from benchmarks.ours import OurStep
from benchmarks.report import Report
from benchmarks.shapes import Shape
from benchmarks.timing import Run, alternate
from sritool.cli.formats import Table

ADAPTIVE = "adaptive likelihood"
KINDS = ("preconditioned", ALL_WORDS, VAE, "lm", ADAPTIVE)
SENTENCES = 4  # for the likelihood
VOCABULARIES = (10_000, 30_000, 100_000)


def build(variant: Variant, shape: Shape, precision: str, device: torch.device, steps: int | None) -> Run:
    """Build a whole step, or the likelihood of some sentences, and run it once to allocate what stays in memory."""
    kind = variant[1]
    if kind == ADAPTIVE:
        run: Run = Ours(shape, SENTENCES, device).adaptive
    else:
        run = OurStep(config_of(kind, shape, precision, steps), shape, device)
    run()
    return run


def add_options(parser: argparse.ArgumentParser) -> None:
    """Add the options of this benchmark."""
    add_common(parser)
    add_shapes(parser, ("ptb",))
    add_precision(parser)
    add_timing(parser, rounds=5)
    add_steps(parser)
    parser.add_argument("--vocabulary", type=int, nargs="+", default=list(VOCABULARIES), metavar="WORDS")
    parser.add_argument("--kind", nargs="+", choices=KINDS, default=list(KINDS), help="kinds of step")


def run(context: Context, arguments: argparse.Namespace) -> Report:
    """Measure all shapes."""
    sizes = sorted(arguments.vocabulary)
    settings = context.settings(vocabularies=sizes, steps=arguments.steps)
    report = Report("vocabulary", settings, {"steps": []})
    for shape in context.shapes:
        shapes, precision = [replace(shape, vocabulary=size) for size in sizes], context.precision_of(shape)
        records = [measure(kind, shapes, precision, context, arguments) for kind in arguments.kind]
        report.results["steps"] += records
        report.tables.append(table_of(shape, sizes, precision, records))
    return report


def measure(
    kind: str, shapes: list[Shape], precision: str, context: Context, arguments: argparse.Namespace
) -> dict[str, Any]:
    """Measure the least ms per step and the peak memory at each size, and the slope."""
    steps, device, sizes = arguments.steps, context.device, [each.vocabulary for each in shapes]
    runs = {each.vocabulary: build((OURS, kind), each, precision, device, steps) for each in shapes}
    seconds = alternate(runs, context.rounds, device, context.most_seconds)
    times = [1000 * min(seconds[size]) for size in sizes]
    runs.clear()
    memory = None
    if device.type == "cpu" and not arguments.no_memory:
        memory = [child.ask("vocabulary", (OURS, kind), each, precision, steps) for each in shapes]
    slope, name = slope_of(sizes, times) if len(sizes) > 1 else None, shapes[0].name
    return {"shape": name, "step": kind, "sizes": sizes, "ms": times, "slope": slope, "memory": memory}


def table_of(shape: Shape, sizes: list[int], precision: str, records: list[dict[str, Any]]) -> Table:
    """Make a table for people."""
    rows = []
    for record in records:
        slope = record["slope"] and round(record["slope"]["exponent"], 2)
        peaks = [found and round(found["peak MiB"]) for found in record["memory"] or [None] * len(sizes)]
        rows.append((record["step"], *(round(ms, 1) for ms in record["ms"]), slope, *peaks))
    times, memory = ([f"{what}, {size:,}" for size in sizes] for what in ("ms", "peak MiB"))
    whole = ", ".join(f"{shape.tokens * size * 4 / (1 << 20):,.0f}" for size in sizes)
    note = f"{shape.sizes} but V; output layer in {precision}; [tokens, vocabulary] would take {whole} MiB"
    return Table(f"vocabulary, {shape.name}", ("step", *times, "slope", *memory), rows, note)
