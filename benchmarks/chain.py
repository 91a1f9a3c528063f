"""Time and memory of a Langevin step: the plain reference, sritool, and the bare matrix products.

"authors" variants draw fresh dropout masks at every step, "plain" ones have no dropout. What sritool does once a
chain (noise, casts, the words' projection) is counted in its steps. Memory is the peak of a process of its own.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable
from typing import Any, NamedTuple

import torch

from benchmarks import child
from benchmarks.floor import floor_of
from benchmarks.options import Context, add_common, add_precision, add_shapes, add_timing
from benchmarks.ours import OurChain, run_config
from benchmarks.reference import Reference, langevin_chain
from benchmarks.report import Report
from benchmarks.shapes import PRESET_SHAPES, Shape, random_batch
from benchmarks.timing import Run, alternate, fitting_count, ratio, spread
from sritool.cli.render import Table

RUN_SECONDS = 2.5  # a run is a whole chain, or as much of it as takes this long

Steps = Callable[[int], object]
"""Runs so many Langevin steps."""


class Variant(NamedTuple):
    """One way to run a chain, and what it is held against."""

    build: Callable[[Shape, str, torch.device], Steps]
    baseline: str
    floor: str


def reference_steps(dropout: bool, theta: bool) -> Callable[[Shape, str, torch.device], Steps]:
    """The plain loop; without `theta` its parameters take no gradients."""

    def build(shape: Shape, precision: str, device: torch.device) -> Steps:
        config = run_config(shape)
        model = Reference(config.generator, shape.vocabulary).to(device).requires_grad_(theta)
        batch = random_batch(shape).to(device)
        schedule = config.sampler.schedule()

        def steps(count: int) -> None:
            model.zero_grad()
            draws = torch.randn(count + 1, shape.batch, shape.latent, device=device)
            sizes = [schedule[min(k, len(schedule) - 1)] for k in range(count)]
            langevin_chain(model, batch, draws[0], sizes, draws[1:], 0.2, dropout)

        return steps

    return build


def our_steps(sampler: str, path: bool) -> Callable[[Shape, str, torch.device], Steps]:
    """sritool's chain."""

    def build(shape: Shape, precision: str, device: torch.device) -> Steps:
        chain = OurChain(shape, precision, device, sampler)
        return lambda count: chain.run(count, path)

    return build


def floor_steps(product: str, float32: bool = False) -> Callable[[Shape, str, torch.device], Steps]:
    """Matrix products alone."""

    def build(shape: Shape, precision: str, device: torch.device) -> Steps:
        once: Run = getattr(floor_of(shape, "float32" if float32 else precision, device), product)

        def steps(count: int) -> None:
            for _ in range(count):
                once()

        return steps

    return build


VARIANTS: dict[str, Variant] = {
    "reference, authors": Variant(reference_steps(True, True), "reference, authors", "floor"),
    "ours, authors": Variant(our_steps("authors", False), "reference, authors", "floor"),
    "floor": Variant(floor_steps("langevin_step"), "reference, authors", "floor"),
    "ours, authors path": Variant(our_steps("authors", True), "reference, authors", "floor path"),
    "floor path": Variant(floor_steps("theta_step"), "reference, authors", "floor path"),
    "reference, plain": Variant(reference_steps(False, True), "reference, plain", "floor"),
    "ours, plain": Variant(our_steps("paper", False), "reference, plain", "floor"),
    "reference, plain, z only": Variant(reference_steps(False, False), "reference, plain", "floor"),
    "floor float32": Variant(floor_steps("langevin_step", float32=True), "reference, authors", "floor"),
}
COLUMNS = (
    "shape", "variant", "steps", "ms min", "ms median", "reference ÷ this", "this ÷ floor", "peak MiB",
)  # fmt: skip


def build(variant: str, shape: Shape, precision: str, device: torch.device, steps: int) -> Run:
    """One run of a variant, for `child`."""
    run = VARIANTS[variant].build(shape, precision, device)
    return lambda: run(steps)


def used_variants(precision: str) -> dict[str, Variant]:
    """All but the float32 floor where that is the floor anyhow."""
    return {k: v for k, v in VARIANTS.items() if precision == "bfloat16" or k != "floor float32"}


def measure(
    shape: Shape,
    precision: str,
    device: torch.device,
    rounds: int,
    most_seconds: float = float("inf"),
    chain_length: int = 20,
) -> list[dict[str, Any]]:
    """One record a variant: steps a run, ms a step, and ratios within each round to its baseline and floor.

    Args: precision: "float32" or "bfloat16", as resolved.
    """
    variants = used_variants(precision)
    counts, runs = {}, {}
    for name, variant in variants.items():
        steps = variant.build(shape, precision, device)
        counts[name] = fitting_count(lambda s=steps: s(1), chain_length, RUN_SECONDS, device)  # type: ignore[misc]
        runs[name] = lambda s=steps, n=counts[name]: s(n)
    seconds = alternate(runs, rounds, device, most_seconds)
    each = {name: [1000 * t / counts[name] for t in times] for name, times in seconds.items()}
    return [
        {
            "shape": shape.name,
            "variant": name,
            "precision": precision,
            "steps a run": counts[name],
            "rounds": len(each[name]),
            "ms": spread(each[name])._asdict(),
            "reference / this": ratio(each[variant.baseline], each[name])._asdict(),
            "baseline": variant.baseline,
            "this / floor": ratio(each[name], each[variant.floor])._asdict(),
            "floor": variant.floor,
        }
        for name, variant in variants.items()
    ]


def ratio_text(figures: dict[str, float]) -> str:
    """Median and quartiles of a ratio."""
    return f"{figures['median']:.2f} ({figures['lower']:.2f}–{figures['upper']:.2f})"


def add_options(parser: argparse.ArgumentParser) -> None:
    """Options of this benchmark."""
    add_common(parser)
    add_shapes(parser, PRESET_SHAPES)
    add_precision(parser)
    add_timing(parser)
    parser.add_argument("--steps", type=int, default=20, help="Langevin steps of a chain")
    parser.add_argument("--no-memory", action="store_true", help="leave out the peaks of memory")


def run(context: Context, arguments: argparse.Namespace) -> Report:
    """All shapes."""
    report = Report("chain", {**context.settings(), "steps": arguments.steps}, {"steps": []})
    for shape in context.shapes:
        precision = context.precision_of(shape)
        records = measure(
            shape, precision, context.device, context.rounds, context.most_seconds, arguments.steps
        )
        for record in records:
            record["memory"] = None
            measured = not arguments.no_memory and context.device.type == "cpu"
            if measured and not record["variant"].startswith("floor"):
                threads = torch.get_num_threads()
                record["memory"] = child.ask("chain", record["variant"], shape, precision, threads, 2)
        report.results["steps"] += records
        report.tables.append(table_of(shape, precision, records))
    return report


def table_of(shape: Shape, precision: str, records: list[dict[str, Any]]) -> Table:
    """For people."""
    rows = [
        (
            record["shape"],
            record["variant"],
            record["steps a run"],
            record["ms"]["minimum"],
            record["ms"]["median"],
            ratio_text(record["reference / this"]),
            ratio_text(record["this / floor"]),
            record.get("memory") and record["memory"]["peak MiB"],
        )
        for record in records
    ]
    note = (
        f"{shape.sizes}; output layer in {precision}; {records[0]['rounds']} rounds; ratios: median and quartiles"
        " of those within each round, plain against plain and the rest against authors"
    )
    return Table(f"Langevin step, {shape.name}", COLUMNS, rows, note)
