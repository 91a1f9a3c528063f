"""Simulates what more devices would gain in data-parallel training, from the time of a step on one device.

An update takes `fixed + each × sentences` on one device. Every device works on its share of a batch, all wait for the
slowest, and the gradient is summed over a ring: 2 (N − 1) / N of its bytes pass through every link, in 2 (N − 1)
messages. `fixed` and `each` are measured on this machine unless given; everything else comes from the options. As in
sritool, computation and communication do not overlap.

Source of the ring's cost: Thakur, Rabenseifner and Gropp 2005, "Optimization of collective communication operations
in MPICH".
"""

from __future__ import annotations

import argparse
from dataclasses import dataclass, replace

import numpy as np

from benchmarks.options import Context, add_common, add_precision, add_shapes, add_timing
from benchmarks.ours import OurStep, run_config
from benchmarks.report import Report
from benchmarks.shapes import Shape
from benchmarks.timing import alternate, spread
from sritool.cli.formats import Table

SHARES = (1.0, 0.5, 0.25)  # of the batch; `fixed` and `each` come from a line through the times of these
UPDATES = 2000  # number of simulated updates


@dataclass(frozen=True)
class Cluster:
    """Costs of a step on one device, and of the links between devices."""

    fixed: float  # seconds per update, regardless of the number of sentences
    each: float  # seconds per sentence
    reduced: float  # bytes of the gradient
    bandwidth: float  # bytes per second, of the slowest link of the ring
    latency: float  # seconds per message
    jitter: float  # standard deviation of a device's time, relative to its mean


def ring_seconds(devices: int, cluster: Cluster) -> float:
    """Return the seconds of the sum over all devices."""
    around = devices - 1
    return 2 * around / devices * cluster.reduced / cluster.bandwidth + 2 * around * cluster.latency


def step_seconds(devices: int, batch: int, cluster: Cluster, seed: int = 0) -> float:
    """Return the mean seconds of an update.

    Args:
        devices: Number of devices that share the batch.
        batch: Sentences of all devices together.
        cluster: Costs.
        seed: Seed of the jitter, which has a gamma distribution.
    """
    share = -(-batch // devices)  # all wait for the largest share
    own = cluster.fixed + cluster.each * share
    slowest = 1.0
    if cluster.jitter:
        shape = cluster.jitter**-2
        times = np.random.default_rng(seed).gamma(shape, 1 / shape, (UPDATES, devices))
        slowest = float(times.max(1).mean())
    return own * slowest + (ring_seconds(devices, cluster) if devices > 1 else 0.0)


def measured_line(shape: Shape, method: str, precision: str, context: Context) -> tuple[float, float, int]:
    """Return `fixed` and `each` in seconds, from steps on three batch sizes, and the number of parameters."""
    sizes = [max(1, round(shape.batch * share)) for share in SHARES]
    config = run_config(shape, method, "preconditioned", precision=precision)
    steps = {size: OurStep(config, replace(shape, batch=size), context.device) for size in sizes}
    times = alternate(steps, context.rounds, context.device, context.most_seconds)
    each, fixed = np.polyfit(sizes, [spread(times[size]).median for size in sizes], 1)
    parameters = sum(p.numel() for p in steps[sizes[0]].method.modules.parameters())
    return max(float(fixed), 0.0), float(each), parameters


def add_options(parser: argparse.ArgumentParser) -> None:
    """Add the options of this benchmark."""
    add_common(parser)
    add_shapes(parser, ("ptb",))
    add_precision(parser)
    add_timing(parser, rounds=9)
    parser.add_argument("--method", default="sri", help="method to train with")
    parser.add_argument("--devices", type=int, nargs="+", default=[1, 2, 4, 8, 16, 32, 64])
    parser.add_argument(
        "--batch", type=int, nargs="+", help="global batch sizes; by default the shape's, and 8 times that"
    )
    parser.add_argument("--fixed-ms", type=float, help="fixed ms per update; measured here by default")
    each, link = (
        "ms per sentence of an update; measured here by default",
        "GB per second of the slowest link (10 is an assumption)",
    )
    parser.add_argument("--sentence-ms", type=float, help=each)
    parser.add_argument("--gigabytes", type=float, default=10.0, help=link)
    parser.add_argument("--latency-us", type=float, default=20.0, help="µs per message (20 is an assumption)")
    jitter = "relative standard deviation of a device's time (0.05 is an assumption)"
    parser.add_argument("--jitter", type=float, default=0.05, help=jitter)


def run(context: Context, arguments: argparse.Namespace) -> Report:
    """Measure all shapes."""
    report = Report("scale", context.settings(), {"steps": []})
    for shape in context.shapes:
        fixed, each, parameters = measured_line(shape, arguments.method, context.precision_of(shape), context)
        given = (arguments.fixed_ms, arguments.sentence_ms)
        fixed, each = (
            found if asked is None else asked / 1000
            for found, asked in zip((fixed, each), given, strict=True)
        )
        link = (1e9 * arguments.gigabytes, 1e-6 * arguments.latency_us)
        cluster = Cluster(fixed, each, 4.0 * parameters, *link, arguments.jitter)
        records = [
            {"shape": shape.name, "batch": batch, "devices": devices, **figures_of(devices, batch, cluster)}
            for batch in arguments.batch or (shape.batch, 8 * shape.batch)
            for devices in arguments.devices
            if devices <= batch
        ]
        report.results["steps"] += records
        report.results[shape.name] = vars(cluster)
        sources = ["given" if one is not None else "measured" for one in given]
        note = (
            f"simulated from an update of {1000 * fixed:.1f} ms ({sources[0]}) + {1000 * each:.2f} ms per sentence "
            f"({sources[1]}) on one device; {cluster.reduced / 1e6:.1f} MB reduced over "
            f"{arguments.gigabytes:g} GB/s, {arguments.latency_us:g} µs per message, jitter {arguments.jitter:g}"
        )
        rows = [list(record.values())[1:] for record in records]
        report.tables.append(Table(f"devices, {arguments.method}, {shape.name}", COLUMNS, rows, note))
    return report


COLUMNS = ("batch", "devices", "ms a step", "of it reducing", "speed-up", "efficiency", "sentences/s")


def figures_of(devices: int, batch: int, cluster: Cluster) -> dict[str, float]:
    """Return the figures of one row; the speed-up is over one device with the same batch."""
    seconds, alone = step_seconds(devices, batch, cluster), step_seconds(1, batch, cluster)
    return {
        "ms": round(1000 * seconds, 2),
        "reducing": round(1000 * ring_seconds(devices, cluster), 2) if devices > 1 else 0.0,
        "speed-up": round(alone / seconds, 2),
        "efficiency": round(alone / seconds / devices, 2),
        "sentences/s": round(batch / seconds),
    }
