"""How the time of a Langevin step, and of a chain, grows with each size while the others stay fixed.

Each size of a middle shape is varied from a quarter to four times its value, in five steps; the slope is that of
log time on log size. The sampler is the paper's; the floor of matrix products is measured for comparison.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
import torch
from scipy.stats import linregress

from benchmarks.floor import langevin_floor
from benchmarks.options import Context, add_common, add_precision, add_shapes, add_timing
from benchmarks.ours import our_chain, run_config
from benchmarks.report import Report
from benchmarks.shapes import Shape
from benchmarks.timing import Run, alternate, spread
from sritool.cli.formats import Table

FACTORS = (0.25, 0.5, 1.0, 2.0, 4.0)
SIZES = ("batch", "length", "vocabulary", "hidden")


def our_steps(shape: Shape, precision: str, device: torch.device, steps: int) -> Run:
    """Build sritool's chain of `steps` steps with the paper's sampler."""
    return our_chain(run_config(shape, sampler="paper", steps=steps, precision=precision), shape, device)


WHO: dict[str, Callable[[Shape, str, torch.device, int], Run]] = {"ours": our_steps, "floor": langevin_floor}


def grown(size: int) -> list[int]:
    """Return sizes from a quarter of this one to four times as much."""
    return [max(1, round(factor * size)) for factor in FACTORS]


def measure(shape: Shape, precision: str, context: Context, steps: int) -> list[dict[str, Any]]:
    """Measure one record per varied size, variant and quantity."""
    device, records = context.device, []

    def medians(points: Mapping[int, Run]) -> dict[int, float]:
        """Return the median ms of each size."""
        most_seconds = context.most_seconds / (len(WHO) * (len(SIZES) + 1))
        seconds = alternate(points, context.rounds, device, most_seconds)
        return {size: 1000 * spread(times).median for size, times in seconds.items()}

    def add(who: str, name: str, what: str, ms: Mapping[int, float]) -> None:
        sizes, values = list(ms), list(ms.values())
        record = {"shape": shape.name, "precision": precision, "variant": who, "grows": name, "time of": what}
        records.append({**record, "sizes": sizes, "ms": values, "slope": slope_of(sizes, values)})

    for who, build in WHO.items():
        for name in SIZES:
            shapes = {size: Shape(**vars(shape) | {name: size}) for size in grown(getattr(shape, name))}
            chains = medians({size: build(one, precision, device, steps) for size, one in shapes.items()})
            add(who, name, "step", {size: ms / steps for size, ms in chains.items()})
        chains = medians({length: build(shape, precision, device, length) for length in grown(steps)})
        add(who, "K", "step", {length: ms / length for length, ms in chains.items()})
        add(who, "K", "chain", chains)
    return records


def slope_of(sizes: Sequence[float], values: Sequence[float]) -> dict[str, float]:
    """Fit log value on log size: over all sizes, with the standard error, and between the two largest only."""
    x, y = np.log(sizes), np.log(values)
    line = linregress(x, y)
    last = (y[-1] - y[-2]) / (x[-1] - x[-2])
    return {"exponent": line.slope, "standard_error": line.stderr, "last_doubling": last}


def add_options(parser: argparse.ArgumentParser) -> None:
    """Add the options of this benchmark."""
    add_common(parser)
    add_shapes(parser, ("middle",))
    add_precision(parser)
    add_timing(parser, rounds=9)
    parser.add_argument(
        "--steps", type=int, default=20, help="Langevin steps of a chain while another size is varied"
    )


def run(context: Context, arguments: argparse.Namespace) -> Report:
    """Measure all shapes."""
    report = Report("growth", context.settings(steps=arguments.steps), {"slopes": []})
    for shape in context.shapes:
        precision = context.precision_of(shape)
        records = measure(shape, precision, context, arguments.steps)
        report.results["slopes"] += records
        report.tables.append(table_of(shape, precision, records))
    return report


def table_of(shape: Shape, precision: str, records: list[dict[str, Any]]) -> Table:
    """Make a table for people."""
    rows = []
    for record in records:
        sizes, ms, slope = record["sizes"], record["ms"], record["slope"]
        what = (
            record["variant"],
            record["grows"],
            f"{sizes[0]}–{sizes[-1]}",
            record["time of"],
            ms[0],
            ms[-1],
        )
        exponent = f"{slope['exponent']:.2f} ± {slope['standard_error']:.2f}"
        rows.append((*what, exponent, f"{slope['last_doubling']:.2f}"))
    columns = ("variant", "grows", "from–to", "time of", "ms, first", "ms, last", "slope", "last doubling")
    note = f"about {shape.sizes}; output layer in {precision}; slope of log time on log size, medians"
    return Table(f"growth, {shape.name}", columns, rows, note)
