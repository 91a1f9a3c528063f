"""Which schedules to try, which of those measured to take, and the way up by stochastic gradient.

Source: Pang et al. 2021, section 2.5: a grid search, or gradient ascent in the step size.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import NamedTuple

from sritool.errors import UsageError
from sritool.inference.step_size import geometric

SHAPES = ("checkpoint", "constant", "geometric")
DEFAULT_GRIDS = {
    "checkpoint": (1 / 16, 1 / 8, 1 / 4, 1 / 2, 1.0, 2.0),
    "constant": (0.001, 0.003, 0.01, 0.03, 0.1, 0.3),
    "geometric": (0.003, 0.01, 0.03, 0.1),
}
# A preconditioned step of 1 is Newton's.
PRECONDITIONED_GRIDS = {
    "checkpoint": (1 / 8, 1 / 4, 1 / 2, 3 / 4, 1.0, 1.25),
    "constant": (0.05, 0.1, 0.2, 0.35, 0.5, 0.7, 0.9),
    "geometric": (0.05, 0.1, 0.2, 0.4, 0.9),
}
_SPAN = 0.1  # in the logarithm, on either side: the finite difference of the ascent
_RATE = 0.3  # in the logarithm: the ascent's first step

Values = tuple[float, ...]


@dataclass(frozen=True)
class Family:
    """Schedules of one shape and length; a few positive numbers name one of them.

    checkpoint: a factor on the schedule `base`; constant: s; geometric: s_0 and s_{steps−1}.
    """

    shape: str
    steps: int
    base: Values  # the schedule that there is

    def __post_init__(self) -> None:
        if self.shape not in SHAPES:
            raise UsageError(f"unknown shape {self.shape!r}; give {', '.join(SHAPES[:-1])} or {SHAPES[-1]}")

    def schedule(self, values: Values) -> Values:
        """s_k for k = 0 … steps − 1, each to six significant digits."""
        sizes: Sequence[float]
        if self.shape == "checkpoint":
            sizes = [values[0] * size for size in self.base]
        elif self.shape == "constant":
            sizes = [values[0]] * self.steps
        else:
            sizes = geometric(values[0], values[1], self.steps)
        return tuple(float(f"{size:.6g}") for size in sizes)

    def label(self, values: Values) -> str:
        """How a table names the schedule."""
        shown = " to ".join(f"{value:.4g}" for value in values)
        return f"× {shown}" if self.shape == "checkpoint" else shown

    def grid(self, numbers: Sequence[float]) -> list[Values]:
        """Return a schedule for each number, smallest first; if geometric, for each pair with s_{steps−1} ≤ s_0.

        Raises:
            UsageError: There is no number, or one that is not positive.
        """
        ordered = sorted(set(numbers))
        if not ordered or not all(0 < number < math.inf for number in ordered):
            raise UsageError(f"step sizes {list(numbers)} cannot be tried; give positive numbers")
        if self.shape == "geometric" and self.steps > 1:
            return [(first, last) for first in ordered for last in ordered if last <= first]
        return [(number,) * (2 if self.shape == "geometric" else 1) for number in ordered]


class Choice(NamedTuple):
    """The schedule to take among those measured."""

    position: int
    folds: bool  # none that does not fold was there to take


def choose(objective: Sequence[float], folded: Sequence[float], allow_folded: bool = False) -> Choice | None:
    """Choose the highest objective among schedules that fold nowhere, else among those that fold least.

    Args:
        objective: Mean of a side in nats, NaN for chains that diverged.
        folded: Share of steps that fold.
        allow_folded: Choose among all.

    Returns:
        None if the chains of all of them diverged.
    """
    there = [k for k, value in enumerate(objective) if math.isfinite(value)]
    if not there:
        return None
    least = min(folded[k] for k in there)
    allowed = there if allow_folded else [k for k in there if folded[k] == least]
    best = max(allowed, key=lambda k: objective[k])
    return Choice(best, folds=least > 0 and not allow_folded)


def ascend(objective: Callable[[Values, int], float], start: Values, steps: int) -> Values:
    """Climb by stochastic gradient ascent in the logarithm of each number; return the mean of its second half.

    The derivative is a central difference of two measurements with the same noise, new at each step. (The
    pathwise one would need the third derivatives of log p(x|z) for the determinants.) Steps are as long as the
    derivative's size allows by its running mean square, and shrink as 1/√n.

    Args:
        objective: (numbers, index of the noise) → nats, −inf or NaN where the schedule is not allowed.
        start: The numbers to begin at.
        steps: Of the ascent.
    """
    logs = [math.log(value) for value in start]
    scale = [0.0] * len(logs)
    visited = []
    for n in range(steps):
        slopes = [_slope(objective, logs, i, n) for i in range(len(logs))]
        for i, slope in enumerate(slopes):
            rate = _RATE / math.sqrt(1 + n)
            if math.isinf(slope):  # only one side is allowed: go there
                logs[i] += math.copysign(rate, slope)
                continue
            scale[i] += 0.3 * (slope**2 - scale[i]) if scale[i] else slope**2
            logs[i] += rate * max(-1.0, min(1.0, slope / (math.sqrt(scale[i]) or 1.0)))
        visited.append(list(logs))
    kept = visited[len(visited) // 2 :] or [logs]
    return tuple(math.exp(sum(column) / len(kept)) for column in zip(*kept, strict=True))


def _slope(objective: Callable[[Values, int], float], logs: Sequence[float], i: int, index: int) -> float:
    """Central difference in one logarithm; ±inf towards the side that is allowed."""

    def at(shift: float) -> float:
        values = [math.exp(log + (shift if j == i else 0.0)) for j, log in enumerate(logs)]
        return objective(tuple(values), index)

    above, below = at(_SPAN), at(-_SPAN)
    if math.isfinite(above) and math.isfinite(below):
        return (above - below) / (2 * _SPAN)
    # Where neither is allowed smaller steps are: they neither fold nor diverge.
    return math.inf if math.isfinite(above) else -math.inf
