"""How close K steps of a preconditioned chain come to a Gaussian posterior, in closed form: the best of each kind.

In coordinates in which the mean curvature is 1, sentences have curvatures of 0.4 to 2.5; the chain starts at a
prior whose variance is four times the posterior's. Step sizes fall by equal factors. A random search over the first
and last step size, and over the momentum that an underdamped chain keeps, minimises the mean KL(q_K ‖ p). Every
step of every kind takes one gradient.

Source: averaged noise of Leimkuhler and Matthews 2013; underdamped: position Verlet with partial refreshment of the
momentum, Horowitz 1991.
"""

from __future__ import annotations

import argparse
import math
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

import numpy as np

from benchmarks.options import Context, add_common
from benchmarks.report import Report
from sritool.cli.formats import Table
from sritool.inference.step_size import geometric

CURVATURES = (0.4, 0.7, 1.0, 1.5, 2.5)
WIDER = 4.0  # variance of the start, and mean square of its distance, in variances of the posterior
TRIES = 3000
LENGTHS = (3, 4, 5, 6, 8)

Moments = Callable[[Sequence[float], float, float], tuple[float, float]]
"""(step sizes, curvature, share of momentum kept) → (factor on the distance of the start, variance at the end)."""


def independent(
    sizes: Sequence[float], curvature: float, _: float, is_exponential: bool = False
) -> tuple[float, float]:
    """Langevin steps with fresh noise, by Euler's integrator or by the exponential integrator of N(m, P)."""
    factor, variance = 1.0, WIDER
    for size in sizes:
        shrink = 1 - size * curvature
        noise = size * (2 - size) if is_exponential else 2 * size
        factor, variance = factor * shrink, shrink * shrink * variance + noise
    return factor, variance


def averaged(sizes: Sequence[float], curvature: float, _: float) -> tuple[float, float]:
    """Langevin steps whose noise is the mean of two neighbours."""
    factor, variance, before = 1.0, WIDER, 0.0
    for size in sizes:
        shrink, scale = 1 - size * curvature, math.sqrt(size / 2)
        variance = shrink * shrink * variance + 2 * scale * scale + 2 * shrink * scale * before
        factor, before = factor * shrink, scale
    return factor, variance


def underdamped(sizes: Sequence[float], curvature: float, share: float) -> tuple[float, float]:
    """Half a drift, a kick and half a drift, after a partial refreshment of the momentum; h = √(2 s)."""
    spread, mean = np.diag([WIDER, 1.0]), np.array([1.0, 0.0])
    for size in sizes:
        step = math.sqrt(2 * size)
        refresh = np.diag([1.0, math.sqrt(share)])
        drift = np.array([[1.0, step / 2], [0.0, 1.0]])
        whole = drift @ np.array([[1.0, 0.0], [-step * curvature, 1.0]]) @ drift
        spread = whole @ (refresh @ spread @ refresh + np.diag([0.0, 1 - share])) @ whole.T
        mean = whole @ refresh @ mean
    return float(mean[0]), float(spread[0, 0])


KINDS: dict[str, Moments] = {
    "independent noise": independent,
    "averaged noise": averaged,
    "exponential": partial(independent, is_exponential=True),
    "underdamped": underdamped,
}


def distance(moments: Moments, sizes: Sequence[float], share: float = 0.0) -> float:
    """Return KL(q_K ‖ p) per dimension in nats, averaged over curvatures."""
    total = 0.0
    for curvature in CURVATURES:
        factor, variance = moments(sizes, curvature, share)
        scaled = curvature * variance
        total += 0.5 * (scaled + curvature * factor * factor * WIDER - 1 - math.log(scaled))
    return total / len(CURVATURES)


def best(kind: str, steps: int, constant: bool = False) -> dict[str, Any]:
    """Search the best schedule of `steps` steps."""
    drawn, found = np.random.default_rng(0), {"KL": math.inf}
    for _ in range(TRIES):
        first = drawn.uniform(0.05, 1.1)
        last = first if constant else first * drawn.uniform(0.02, 1.0)
        share = drawn.uniform(0, 0.95) if kind == "underdamped" else 0.0
        value = distance(KINDS[kind], geometric(first, last, steps), share)
        if value < found["KL"]:
            found = {"KL": value, "first": first, "last": last, "kept momentum": share}
    return {"K": steps, "kind": kind + (", constant steps" if constant else ""), **found}


def add_options(parser: argparse.ArgumentParser) -> None:
    """Add the options of this benchmark."""
    add_common(parser)


def run(context: Context, arguments: argparse.Namespace) -> Report:
    """Search every kind at every length."""
    rows = [
        best(kind, steps, constant)
        for steps in LENGTHS
        for kind in KINDS
        for constant in ((True, False) if kind != "underdamped" else (False,))
    ]
    table = Table("nats a dimension from the posterior", tuple(rows[0]), [list(row.values()) for row in rows])
    return Report("schedules", {"tries": TRIES}, {"schedules": rows}, [table])
