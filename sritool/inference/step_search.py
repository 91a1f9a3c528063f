"""Which schedules of step sizes are tried, how they compare, which is taken, and the way up by stochastic gradient.

Source: Pang et al. 2021, section 2.5: a grid search, or gradient ascent in the step size.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import NamedTuple

from torch import Tensor

from sritool.errors import UsageError
from sritool.inference.step_size import Sides, geometric

NAMES = {"checkpoint": ("factor",), "constant": ("s",), "geometric": ("s_0", "s_K")}
"""Shape of a schedule -> what the numbers that name one are called."""
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


class Candidate(NamedTuple):
    """A schedule to measure."""

    label: str
    values: Values | None  # the numbers that name it; None if it is only there to compare with
    schedule: Values


@dataclass(frozen=True)
class Family:
    """Schedules of one shape and length; a few positive numbers name one of them.

    checkpoint: a factor on the schedule `base`; constant: s; geometric: s_0 and s_{steps−1}.
    """

    shape: str
    base: Values  # the schedule that there is

    def __post_init__(self) -> None:
        if self.shape not in NAMES:
            *most, last = NAMES
            raise UsageError(f"unknown shape {self.shape!r}; give {', '.join(most)} or {last}")

    def candidate(self, values: Values, how: str = "") -> Candidate:
        """The schedule s_k for k = 0 … steps − 1 that these numbers name, each s_k to six significant digits."""
        sizes: Sequence[float] = [values[0]] * len(self.base)
        if self.shape == "checkpoint":
            sizes = [values[0] * size for size in self.base]
        elif self.shape == "geometric":
            sizes = geometric(values[0], values[1], len(self.base))
        shown = ("× " if self.shape == "checkpoint" else "") + " to ".join(f"{value:.4g}" for value in values)
        return Candidate(shown + how, values, tuple(float(f"{size:.6g}") for size in sizes))

    def candidates(self, numbers: Sequence[float]) -> list[Candidate]:
        """A schedule for each number, smallest first; if geometric, for each pair with s_{steps−1} ≤ s_0.

        The present schedule comes last, to compare with, if it is not among them.

        Raises:
            UsageError: There is no number, or one that is not positive.
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
    """Equal but for the rounding of a schedule's numbers."""
    return all(math.isclose(a, b, rel_tol=1e-5) for a, b in zip(one, other, strict=True))


class Figure(NamedTuple):
    """A mean over sentences, nats, with its standard error."""

    value: float
    error: float

    @classmethod
    def of(cls, values: Tensor) -> Figure:
        """Of one number a sentence: [sentences]."""
        error = float(values.std()) / math.sqrt(len(values)) if len(values) > 1 else math.nan
        return cls(float(values.mean()), error)

    def __str__(self) -> str:
        return f"{self.value:+z.2f}" + (f" ± {self.error:.2f}" if math.isfinite(self.error) else "")


class Row(NamedTuple):
    """One schedule, measured."""

    label: str
    values: Values | None  # as of a Candidate
    schedule: Values
    upper: Figure  # Q̃ or more, a sentence
    lower: Figure  # Q̃ or less where nothing folds
    upper_gain: Figure  # over the chosen schedule: the same sentences and noise, so that its error is small
    lower_gain: Figure
    recon: Figure
    kl: Figure  # given noise
    folded: float  # share of steps
    unstable: float
    acceptance: float
    chosen: bool
    present: bool  # the schedule that the model has

    def gain(self, objective: str) -> Figure:
        """On the side that decides."""
        return self.upper_gain if objective == "entropy" else self.lower_gain


def rows_of(candidates: Sequence[Candidate], sides: Sequence[Sides], chosen: int, base: Values) -> list[Row]:
    """A row a candidate, with the position of the chosen one and the model's own schedule."""
    best = sides[chosen]
    return [
        Row(
            label=candidate.label,
            values=candidate.values,
            schedule=candidate.schedule,
            upper=Figure.of(side.upper),
            lower=Figure.of(side.lower),
            upper_gain=Figure.of(side.upper - best.upper),
            lower_gain=Figure.of(side.lower - best.lower),
            recon=Figure.of(side.recon),
            kl=Figure.of(side.kl),
            folded=float(side.folded.mean()),
            unstable=float(side.unstable.mean()),
            acceptance=float(side.acceptance.mean()),
            chosen=k == chosen,
            present=same_schedule(candidate.schedule, base),
        )
        for k, (candidate, side) in enumerate(zip(candidates, sides, strict=True))
    ]


def remarks(rows: Sequence[Row], objective: str) -> list[str]:
    """What the table says that is easily overlooked."""
    diverging = [row.label for row in rows if not math.isfinite(row.recon.value)]
    notes = [f"the chains of {', '.join(diverging)} diverge"] if diverging else []
    (chosen,) = (row for row in rows if row.chosen)
    for present in (row for row in rows if row.present and not row.chosen):
        if math.isfinite(present.gain(objective).value):
            notes.append(f"the checkpoint's own schedule: {present.gain(objective)} nats against the choice")
    folding = [row for row in rows if row.folded > chosen.folded and row.values is not None]
    better = max(folding, key=lambda row: row.upper_gain.value, default=None)
    if objective == "entropy" and better and better.upper_gain.value > 2 * better.upper_gain.error:
        notes.append(
            f"{better.label} has {better.upper_gain} nats on the upper side but folds; "
            "--allow-folded would take it"
        )
    tried = sorted(row.values[0] for row in rows if row.values is not None and len(row.values) == 1)
    if len(tried) > 1 and chosen.values is not None and chosen.values[0] in (tried[0], tried[-1]):
        end = "smallest" if chosen.values[0] == tried[0] else "largest"
        notes.append(f"the choice is the {end} that was tried: widen --range or --grid")
    return notes


class Choice(NamedTuple):
    """The schedule to take among those measured."""

    position: int
    folds: bool  # none that does not fold was there to take


def choose(objective: Sequence[float], folded: Sequence[float], allow_folded: bool = False) -> Choice | None:
    """Choose the highest objective among schedules that fold nowhere, else among those that fold least; or among all.

    Objectives are NaN for chains that diverged. None if those of all schedules did.
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
    derivative's size allows by its running mean square, and shrink as 1/√n. The objective is (numbers, index of the
    noise) → nats, −inf or NaN where the schedule is not allowed.
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
