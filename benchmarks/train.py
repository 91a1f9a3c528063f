"""Time and memory of a whole training step: the plain reference, sritool, and the bare matrix products.

A step is collation, the chain, θ's gradient, clipping and the optimiser: `end` under the paper's sampler (no
dropout in the chain), `path` under the authors' (with it), the language model's and the annealed VAE's. The
reference steps with PyTorch's fused Adam; "default Adam" is the same loop with the Adam that one gets unasked. Also
where sritool's own step goes, and how long the first step in a process takes. The measurement of unstable steps,
which training makes once in fifty steps, is left out.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from typing import Any

import torch

from benchmarks import child
from benchmarks.chain import ratio_text, reference_steps
from benchmarks.options import Context, add_common, add_precision, add_shapes, add_timing
from benchmarks.report import Report
from benchmarks.shapes import PRESET_SHAPES, Shape
from benchmarks.timing import alternate, fitting_count, ratio, spread
from benchmarks.train_steps import KINDS, SAMPLERS, VARIANTS, build, parts
from sritool.cli.render import Table

__all__ = ["build", "measure", "measure_parts", "run"]

COLD = ("import", "build", "first step", "later step")  # seconds, of a process of its own
MOST_SECONDS_A_STEP = (
    12.0  # of the reference; where 20 Langevin steps would take longer, the chain is shorter
)


def chain_length_for(shape: Shape, device: torch.device, wanted: int) -> int:
    """`wanted`, or fewer Langevin steps where the reference's training step would take too long."""
    steps = reference_steps(True, True)(shape, "float32", device)
    return fitting_count(lambda: steps(1), wanted, MOST_SECONDS_A_STEP, device)


def measure(
    shape: Shape,
    precision: str,
    device: torch.device,
    rounds: int,
    most_seconds: float = float("inf"),
    chain_length: int = 20,
    kinds: Sequence[str] = KINDS,
    most_others: float = float("inf"),
) -> list[dict[str, Any]]:
    """One record a variant: ms a step, tokens a second, ratios within each round.

    Args: precision: "float32" or "bfloat16", as resolved; most_others: as in `alternate`.
    """
    chosen = [name for name, variant in VARIANTS.items() if variant.kind in kinds]
    runs = {name: build(name, shape, precision, device, chain_length) for name in chosen}
    seconds = alternate(runs, rounds, device, most_seconds, most_others)
    records = []
    for name, times in seconds.items():
        kind = VARIANTS[name].kind
        records.append(
            {
                "shape": shape.name,
                "variant": name,
                "precision": precision,
                "chain length": chain_length if kind in SAMPLERS else 0,
                "rounds": len(times),
                "ms": spread(times).scaled(1000)._asdict(),
                "tokens a second": shape.tokens / spread(times).median,
                "reference / this": ratio(seconds[f"reference, {kind}"], times)._asdict(),
                "this / floor": ratio(times, seconds[f"floor, {kind}"])._asdict(),
            }
        )
    return records


def measure_parts(
    shape: Shape,
    precision: str,
    device: torch.device,
    rounds: int,
    most_seconds: float,
    chain_length: int,
    kinds: Sequence[str] = KINDS,
) -> list[dict[str, Any]]:
    """Where sritool's own step goes: ms of each part, run in turn, and its share of the whole step."""
    records = []
    for kind in kinds:
        seconds = alternate(
            parts(kind, shape, precision, device, chain_length), rounds, device, most_seconds / len(kinds)
        )
        for name, times in seconds.items():
            share = ratio(times, seconds["whole step"])
            records.append(
                {
                    "shape": shape.name,
                    "kind": kind,
                    "part": name,
                    "ms": spread(times).scaled(1000)._asdict(),
                    "share": share._asdict(),
                }
            )
    return records


def add_options(parser: argparse.ArgumentParser) -> None:
    """Options of this benchmark."""
    add_common(parser)
    add_shapes(parser, PRESET_SHAPES)
    add_precision(parser)
    add_timing(parser)
    parser.add_argument("--steps", type=int, default=20, help="Langevin steps of a chain, at most")
    parser.add_argument("--kind", nargs="+", choices=KINDS, default=list(KINDS), help="of training step")
    parser.add_argument(
        "--most-others",
        type=float,
        default=float("inf"),
        metavar="CORES",
        help="leave out rounds of whole steps in which others took more than this, until --most-seconds is up",
    )
    parser.add_argument("--no-memory", action="store_true", help="leave out peaks of memory and cold starts")
    parser.add_argument("--no-parts", action="store_true", help="leave out the parts of a step")


def run(context: Context, arguments: argparse.Namespace) -> Report:
    """All shapes."""
    report = Report("train", {**context.settings(), "steps": arguments.steps}, {"steps": [], "parts": []})
    for shape in context.shapes:
        precision = context.precision_of(shape)
        kinds, length = arguments.kind, 0
        if set(kinds) & set(SAMPLERS):
            length = chain_length_for(shape, context.device, arguments.steps)
        size = (context.rounds, context.most_seconds, length, kinds)
        records = measure(shape, precision, context.device, *size, arguments.most_others)
        for record in records:
            record["cold"] = None
            measured = not arguments.no_memory and context.device.type == "cpu"
            if measured and not record["variant"].startswith("floor"):
                threads = torch.get_num_threads()
                record["cold"] = child.ask("train", record["variant"], shape, precision, threads, length)
        report.results["steps"] += records
        report.tables += tables_of(shape, precision, records)
        if not arguments.no_parts:
            pieces = measure_parts(shape, precision, context.device, *size)
            report.results["parts"] += pieces
            report.tables.append(parts_table(shape, pieces))
    return report


def tables_of(shape: Shape, precision: str, records: list[dict[str, Any]]) -> list[Table]:
    """For people: the step's time and memory, and the cold start where it was measured."""
    rows = [
        (
            record["shape"],
            record["variant"],
            record["chain length"],
            record["ms"]["minimum"],
            record["ms"]["median"],
            round(record["tokens a second"]),
            ratio_text(record["reference / this"]),
            ratio_text(record["this / floor"]),
            record.get("cold") and record["cold"]["peak MiB"],
        )
        for record in records
    ]
    columns = (
        "shape", "variant", "K", "ms min", "ms median", "tokens/s", "reference ÷ this", "this ÷ floor",
        "peak MiB",
    )  # fmt: skip
    note = f"{shape.sizes}; output layer in {precision}; {records[0]['rounds']} rounds"
    tables = [Table(f"training step, {shape.name}", columns, rows, note)]
    cold = [
        (record["shape"], record["variant"], *(record["cold"][key] for key in COLD))
        for record in records
        if record.get("cold")
    ]
    if cold:
        named = ("shape", "variant", *(f"{key} s" for key in COLD))
        tables.append(Table(f"cold start, {shape.name}", named, cold))
    return tables


def parts_table(shape: Shape, pieces: list[dict[str, Any]]) -> Table:
    """For people."""
    rows = [
        (
            piece["shape"],
            piece["kind"],
            piece["part"],
            piece["ms"]["minimum"],
            piece["ms"]["median"],
            ratio_text(piece["share"]),
        )
        for piece in pieces
    ]
    columns = ("shape", "kind", "part", "ms min", "ms median", "share of the step")
    return Table(f"parts of sritool's training step, {shape.name}", columns, rows)
