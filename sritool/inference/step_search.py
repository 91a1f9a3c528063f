"""Search for a schedule of step sizes: candidates, comparison, choice, and stochastic gradient ascent.

Source: Pang et al. 2021, section 2.5: a grid search, or gradient ascent in the step size.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import NamedTuple

from sritool.errors import UsageError
from sritool.inference.step_size import geometric

NAMES = {"checkpoint": ("factor",), "constant": ("s",), "geometric": ("s_0", "s_K")}
"""Shape of a schedule -> names of the numbers that define one."""
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
_SPAN = 0.1  # in the logarithm, to either side: the ascent's finite difference
_RATE = 0.3  # in the logarithm: the ascent's first step

Values = tuple[float, ...]


class Candidate(NamedTuple):
    """A schedule to measure."""

    label: str
    values: Values | None  # the numbers that define it; None if it is only there for comparison
    schedule: Values


@dataclass(frozen=True)
class Family:
    """Schedules of one shape and length, each defined by a few positive numbers.

    checkpoint: a factor on the schedule `base`; constant: s; geometric: s_0 and s_{steps−1}.
    """

    shape: str
    base: Values  # the present schedule

    def __post_init__(self) -> None:
        if self.shape not in NAMES:
            *most, last = NAMES
            raise UsageError(f"unknown shape {self.shape!r}; give {', '.join(most)} or {last}")

    def candidate(self, values: Values, how: str = "") -> Candidate:
        """Return the schedule s_k, k = 0 … steps − 1, of these numbers, each s_k to six significant digits."""
        sizes: Sequence[float] = [values[0]] * len(self.base)
        if self.shape == "checkpoint":
            sizes = [values[0] * size for size in self.base]
        elif self.shape == "geometric":
            sizes = geometric(values[0], values[1], len(self.base))
        shown = ("× " if self.shape == "checkpoint" else "") + " to ".join(f"{value:.4g}" for value in values)
        return Candidate(shown + how, values, tuple(float(f"{size:.6g}") for size in sizes))

    def candidates(self, numbers: Sequence[float]) -> list[Candidate]:
        """Return a schedule for each number, smallest first; if geometric, for each pair with s_{steps−1} ≤ s_0.

        The present schedule comes last, for comparison, if it is not among them.

        Raises:
            UsageError: There is no number, or one is not positive.
        """
        ordered = sorted(set(numbers))
        if not ordered or not all(0 < number < math.inf for number in ordered):
            raise UsageError(f"step sizes {list(numbers)} cannot be tried; give positive numbers")
        values: list[Values] = [(number,) for number in ordered]
        if self.shape == "geometric":
            pairs = [(first, last) for first in ordered for last in ordered if last <= first]
            values = [pair for pair in pairs if len(self.base) > 1 or pair[0] == pair[1]]
        found = [self.candidate(each) for each in values]
        known = any(same_schedule(each.schedule, self.base) for each in found)
        return found if known else [*found, Candidate("checkpoint", None, self.base)]


def same_schedule(one: Values, other: Values) -> bool:
    """Whether two schedules are equal up to rounding."""
    return all(math.isclose(a, b, rel_tol=1e-5) for a, b in zip(one, other, strict=True))


class Choice(NamedTuple):
    """The schedule to take among those measured."""

    position: int
    folds: bool  # whether every schedule folds


def choose(objective: Sequence[float], folded: Sequence[float], allow_folded: bool = False) -> Choice | None:
    """Choose the highest objective among the schedules that fold least, or with `allow_folded` among all.

    Objectives are NaN for chains that diverged. Returns None if those of all schedules did.
    """
    finite = [k for k, value in enumerate(objective) if math.isfinite(value)]
    if not finite:
        return None
    least = min(folded[k] for k in finite)
    allowed = finite if allow_folded else [k for k in finite if folded[k] == least]
    best = max(allowed, key=lambda k: objective[k])
    return Choice(best, folds=least > 0 and not allow_folded)


def ascend(objective: Callable[[Values, int], float], start: Values, steps: int) -> Values:
    """Climb by stochastic gradient ascent in the logarithm of each number; return the mean over the second half.

    The derivative is a central difference of two measurements with the same noise, which is new at each step. (A
    pathwise derivative would need third derivatives of log p(x|z) for the determinants.) Steps are scaled by the
    running mean square of the derivative, and shrink as 1/√n. The objective is (numbers, index of the noise) → nats,
    −inf or NaN where the schedule is not allowed.
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
    """Central difference in one logarithm; ±inf towards the allowed side if only one is."""

    def at(shift: float) -> float:
        values = [math.exp(log + (shift if j == i else 0.0)) for j, log in enumerate(logs)]
        return objective(tuple(values), index)

    above, below = at(_SPAN), at(-_SPAN)
    if math.isfinite(above) and math.isfinite(below):
        return (above - below) / (2 * _SPAN)
    # If neither side is allowed, go to smaller steps, which neither fold nor diverge.
    return math.inf if math.isfinite(above) else -math.inf
