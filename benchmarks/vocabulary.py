"""How time and memory of a training step, and of the likelihood, grow with the vocabulary.

A whole step of sri, with drawn words in its chain and with all words, of vae-anneal and of the language model, and
the `adaptive` likelihood of some sentences, at the shape ptb with larger and larger vocabularies, in turn. Memory is
the peak above what is resident with the model, its gradients and the optimiser in place, each in a process of its
own; what a [tokens, vocabulary] matrix of a training step would take stands beside it.
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
from benchmarks.options import Context, add_common, add_precision, add_shapes, add_timing
from benchmarks.ours import OurStep
from benchmarks.report import Report
from benchmarks.shapes import Shape
from benchmarks.timing import Run, alternate, spread
from sritool.cli.formats import Table

ADAPTIVE = "adaptive likelihood"
KINDS = ("preconditioned", ALL_WORDS, VAE, "lm", ADAPTIVE)
SENTENCES = 4  # that the likelihood is estimated of
VOCABULARIES = (10_000, 30_000, 100_000)


def build(variant: str, shape: Shape, precision: str, device: torch.device, steps: int | None) -> Run:
    """One whole step, or one likelihood of some sentences; a first one, which makes lasting memory, is behind."""
    if Variant.of(variant).kind == ADAPTIVE:
        run = Ours(shape, SENTENCES, device).adaptive
        run()
        return run
    step = OurStep(config_of(Variant.of(variant).kind, shape, precision, steps), shape, device)
    step()
    return step


def add_options(parser: argparse.ArgumentParser) -> None:
    """Options of this benchmark."""
    add_common(parser)
    add_shapes(parser, ("ptb",))
    add_precision(parser)
    add_timing(parser, rounds=5)
    parser.add_argument("--steps", type=int, help="Langevin steps of a chain; the sampler's own by default")
    parser.add_argument("--vocabulary", type=int, nargs="+", default=list(VOCABULARIES), metavar="WORDS")
    parser.add_argument("--kind", nargs="+", choices=KINDS, default=list(KINDS), help="of step")
    parser.add_argument("--no-memory", action="store_true", help="leave out the peaks of memory")


def run(context: Context, arguments: argparse.Namespace) -> Report:
    """All shapes."""
    sizes = sorted(arguments.vocabulary)
    settings = {**context.settings(), "vocabularies": sizes, "steps": arguments.steps}
    report = Report("vocabulary", settings, {"steps": []})
    for shape in context.shapes:
        precision = context.precision_of(shape)
        for kind in arguments.kind:
            record = measure(kind, shape, sizes, precision, context, arguments)
            report.results["steps"].append(record)
        report.tables.append(table_of(shape, sizes, precision, report.results["steps"]))
    return report


def measure(
    kind: str,
    shape: Shape,
    sizes: list[int],
    precision: str,
    context: Context,
    arguments: argparse.Namespace,
) -> dict[str, Any]:
    """Least ms a step and the peak of memory at each size, and the slope."""
    name, shapes = Variant(OURS, kind).name, [replace(shape, vocabulary=size) for size in sizes]
    steps, device = arguments.steps, context.device
    runs = {str(each.vocabulary): build(name, each, precision, device, steps) for each in shapes}
    seconds = alternate(runs, context.rounds, device, context.most_seconds)
    times = [1000 * spread(seconds[str(size)]).minimum for size in sizes]
    runs.clear()
    memory = None
    if device.type == "cpu" and not arguments.no_memory:
        threads = torch.get_num_threads()
        memory = [child.ask("vocabulary", name, each, precision, threads, steps) for each in shapes]
    slope = slope_of(sizes, times) if len(sizes) > 1 else None
    return {"shape": shape.name, "step": kind, "sizes": sizes, "ms": times, "slope": slope, "memory": memory}


def table_of(shape: Shape, sizes: list[int], precision: str, records: list[dict[str, Any]]) -> Table:
    """For people."""
    rows = [
        (
            record["step"],
            *(round(value, 1) for value in record["ms"]),
            record["slope"] and round(record["slope"]["exponent"], 2),
            *(
                found and round(found["peak MiB"])
                for found in (record["memory"] or [None] * len(record["sizes"]))
            ),
        )
        for record in records
        if record["shape"] == shape.name
    ]
    columns = (
        "step",
        *(f"ms, {size:,}" for size in sizes),
        "slope",
        *(f"peak MiB, {size:,}" for size in sizes),
    )
    whole = ", ".join(f"{shape.tokens * size * 4 / (1 << 20):,.0f}" for size in sizes)
    note = f"{shape.sizes} but V; output layer in {precision}; [tokens, vocabulary] would take {whole} MiB"
    return Table(f"vocabulary, {shape.name}", columns, rows, note)
