"""How a time grows with a size: the exponent of a power law, fitted in logarithms."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np


class PowerLaw(NamedTuple):
    """time ≈ scale · size^exponent."""

    exponent: float
    standard_error: float  # of the exponent, from the scatter about the line; NaN for two sizes
    scale: float
    last_doubling: float  # exponent between the two largest sizes alone, where fixed costs weigh least


def power_law(sizes: Sequence[float], times: Sequence[float]) -> PowerLaw:
    """Least squares of log time on log size.

    Args:   sizes and times: positive, of at least two different sizes, in rising order.
    Raises: ValueError otherwise.
    """
    if len(sizes) != len(times) or len(sizes) < 2 or list(sizes) != sorted(set(sizes)):
        raise ValueError(f"no power law from sizes {list(sizes)} and {len(times)} times")
    x, y = np.log(np.asarray(sizes, dtype=float)), np.log(np.asarray(times, dtype=float))
    centred = x - x.mean()
    squares = float(centred @ centred)
    exponent = float(centred @ y) / squares
    constant = float(y.mean() - exponent * x.mean())
    residual = y - constant - exponent * x
    freedom = len(x) - 2
    error = math.sqrt(float(residual @ residual) / freedom / squares) if freedom else math.nan
    last = float((y[-1] - y[-2]) / (x[-1] - x[-2]))
    return PowerLaw(exponent, error, math.exp(constant), last)
