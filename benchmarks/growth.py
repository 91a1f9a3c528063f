"""How the time of a Langevin step, and of a chain, grows with each size while the others stay.

Five sizes a quarter to four times those of a middle shape, in turn; the slope is that of log time on log size.
The sampler is the paper's; beside it stands the floor of matrix products.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import torch
from scipy.stats import linregress

from benchmarks.chain import Steps, floor_steps, our_steps
from benchmarks.options import Context, add_common, add_precision, add_shapes, add_timing
from benchmarks.report import Report
from benchmarks.shapes import Shape
from benchmarks.timing import Run, alternate, spread
from sritool.cli.formats import Table

FACTORS = (0.25, 0.5, 1.0, 2.0, 4.0)
SIZES = ("batch", "length", "vocabulary", "hidden")
WHO: dict[str, Steps] = {"ours": our_steps, "floor": floor_steps}

Points = dict[int, Run]
"""Runs by size."""


def of_shape(
    shape: Shape, name: str, who: str, precision: str, device: torch.device, steps: int
) -> Callable[[], Points]:
    """Chains of `steps` steps on shapes in which one size differs."""

    def build() -> Points:
        points: Points = {}
        for factor in FACTORS:
            size = max(1, round(factor * getattr(shape, name)))
            points[size] = WHO[who](replace(shape, **{name: size}), precision, device, steps)
        return points

    return build


def of_chain(
    shape: Shape, who: str, precision: str, device: torch.device, steps: int
) -> Callable[[], Points]:
    """Chains of different lengths on one shape."""

    def build() -> Points:
        lengths = [max(1, round(factor * steps)) for factor in FACTORS]
        return {length: WHO[who](shape, precision, device, length) for length in lengths}

    return build


def measure(
    shape: Shape, precision: str, device: torch.device, rounds: int, most_seconds: float, steps: int
) -> list[dict[str, Any]]:
    """One record a size that grows, a variant and a quantity of time."""
    records = []
    for who in WHO:
        for name in SIZES:
            points = of_shape(shape, name, who, precision, device, steps)()
            times = _medians(points, rounds, device, most_seconds)
            records.append(
                _record(shape, precision, who, name, "step", [(size, t / steps) for size, t in times])
            )
        chains = _medians(of_chain(shape, who, precision, device, steps)(), rounds, device, most_seconds)
        records.append(_record(shape, precision, who, "K", "step", [(size, t / size) for size, t in chains]))
        records.append(_record(shape, precision, who, "K", "chain", chains))
    return records


def _medians(
    points: Points, rounds: int, device: torch.device, most_seconds: float
) -> list[tuple[int, float]]:
    """(size, ms), in rising order."""
    seconds = alternate({str(size): run for size, run in points.items()}, rounds, device, most_seconds)
    return sorted((int(size), 1000 * spread(times).median) for size, times in seconds.items())


def _record(
    shape: Shape, precision: str, who: str, name: str, what: str, times: list[tuple[int, float]]
) -> dict[str, Any]:
    sizes, values = zip(*times, strict=True)
    return {
        "shape": shape.name,
        "precision": precision,
        "variant": who,
        "grows": name,
        "time of": what,
        "sizes": sizes,
        "ms": values,
        "slope": slope_of(sizes, values),
    }


def slope_of(sizes: Sequence[float], values: Sequence[float]) -> dict[str, float]:
    """Of log time on log size: over all sizes, with its standard error, and between the two largest alone."""
    x, y = np.log(sizes), np.log(values)
    line = linregress(x, y)
    last = (y[-1] - y[-2]) / (x[-1] - x[-2])
    return {"exponent": line.slope, "standard_error": line.stderr, "last_doubling": last}


def add_options(parser: argparse.ArgumentParser) -> None:
    """Options of this benchmark."""
    add_common(parser)
    add_shapes(parser, ("middle",))
    add_precision(parser)
    add_timing(parser, rounds=9)
    parser.add_argument(
        "--steps", type=int, default=20, help="Langevin steps of a chain, where they do not grow"
    )


def run(context: Context, arguments: argparse.Namespace) -> Report:
    """All shapes."""
    report = Report("growth", {**context.settings(), "steps": arguments.steps}, {"slopes": []})
    for shape in context.shapes:
        precision = context.precision_of(shape)
        part = context.most_seconds / (len(WHO) * (len(SIZES) + 1))
        records = measure(shape, precision, context.device, context.rounds, part, arguments.steps)
        report.results["slopes"] += records
        report.tables.append(table_of(shape, precision, records))
    return report


def table_of(shape: Shape, precision: str, records: list[dict[str, Any]]) -> Table:
    """For people."""
    rows = [
        (
            record["variant"],
            record["grows"],
            f"{record['sizes'][0]}–{record['sizes'][-1]}",
            record["time of"],
            record["ms"][0],
            record["ms"][-1],
            f"{record['slope']['exponent']:.2f} ± {record['slope']['standard_error']:.2f}",
            f"{record['slope']['last_doubling']:.2f}",
        )
        for record in records
    ]
    columns = ("variant", "grows", "from–to", "time of", "ms, first", "ms, last", "slope", "last doubling")
    note = f"about {shape.sizes}; output layer in {precision}; slope of log time on log size, medians"
    return Table(f"growth, {shape.name}", columns, rows, note)
