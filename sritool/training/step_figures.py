"""Schedules of step sizes side by side: figures with the errors of their differences, and remarks on them."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import NamedTuple

import torch

from sritool.inference.step_search import Values
from sritool.inference.step_size import Sides


class Figure(NamedTuple):
    """A mean over sentences, nats, with its standard error."""

    value: float
    error: float


class Row(NamedTuple):
    """One schedule."""

    label: str
    values: Values | None  # the numbers that name it; None if it is only there to compare with
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


class Tuned(NamedTuple):
    """All schedules measured, and what to make of them."""

    rows: list[Row]
    names: tuple[str, ...]  # of the numbers that name a schedule
    objective: str
    temperature: float
    sentences: int
    chains: int
    notes: list[str]
    seconds: float

    @property
    def chosen(self) -> Row:
        return next(row for row in self.rows if row.chosen)

    def record(self) -> dict[str, object]:
        """The choice and its cost as plain values, for a log."""
        chosen, present = self.chosen, next(row for row in self.rows if row.present)
        return {
            "step_sizes": list(chosen.schedule),
            "choice": chosen.label,
            "upper": chosen.upper.value,
            "lower": chosen.lower.value,
            "gain": -present.upper_gain.value,  # over the schedule before
            "gain se": present.upper_gain.error,
            "folded": chosen.folded,
            "temperature": self.temperature,
            "tuning_seconds": round(self.seconds, 2),
        }

    def in_a_line(self) -> str:
        """What was chosen, and what is gained over the schedule before."""
        chosen, present = self.chosen, next(row for row in self.rows if row.present)
        first, last = chosen.schedule[0], chosen.schedule[-1]
        sizes = f"{first:.4g}" if first == last else f"{first:.4g} to {last:.4g}"
        if chosen.present:
            return f"step sizes stay {sizes}"
        gain = Figure(-present.upper_gain.value, present.upper_gain.error)
        if not math.isfinite(gain.value):
            return f"step sizes {chosen.label}, now {sizes}: the chains of those before diverge"
        return f"step sizes {chosen.label}, now {sizes}: {_shown(gain)} nats a sentence"


class Candidate(NamedTuple):
    """A schedule to measure; `values` as in Row."""

    values: Values | None
    schedule: Values
    label: str


def rows_of(candidates: Sequence[Candidate], sides: Sequence[Sides], chosen: int, base: Values) -> list[Row]:
    """A row a candidate, with the position of the chosen one and the model's own schedule."""
    best = sides[chosen]
    return [
        Row(
            label=candidate.label,
            values=candidate.values,
            schedule=candidate.schedule,
            upper=_figure(side.upper),
            lower=_figure(side.lower),
            upper_gain=_figure(side.upper - best.upper),
            lower_gain=_figure(side.lower - best.lower),
            recon=_figure(side.recon),
            kl=_figure(side.kl),
            folded=float(side.folded.mean()),
            unstable=float(side.unstable.mean()),
            acceptance=float(side.acceptance.mean()),
            chosen=k == chosen,
            present=same_schedule(candidate.schedule, base),
        )
        for k, (candidate, side) in enumerate(zip(candidates, sides, strict=True))
    ]


def same_schedule(one: Values, other: Values) -> bool:
    """Equal but for the rounding of a schedule's numbers."""
    return all(math.isclose(a, b, rel_tol=1e-5) for a, b in zip(one, other, strict=True))


def _figure(values: torch.Tensor) -> Figure:
    count = len(values)
    error = float(values.std()) / math.sqrt(count) if count > 1 else math.nan
    return Figure(float(values.mean()), error)


def remarks(rows: Sequence[Row], objective: str) -> list[str]:
    """What the table says that is easily overlooked."""
    diverging = [row.label for row in rows if not math.isfinite(row.recon.value)]
    notes = [f"the chains of {', '.join(diverging)} diverge"] if diverging else []
    chosen = next(row for row in rows if row.chosen)
    present = next((row for row in rows if row.present), None)

    def gain(row: Row) -> Figure:
        return row.upper_gain if objective == "entropy" else row.lower_gain

    if present is not None and not present.chosen and math.isfinite(gain(present).value):
        notes.append(f"the checkpoint's own schedule: {_shown(gain(present))} nats against the choice")
    folding = [row for row in rows if row.folded > chosen.folded and row.values is not None]
    better = max(folding, key=lambda row: row.upper_gain.value, default=None)
    if objective == "entropy" and better and better.upper_gain.value > 2 * better.upper_gain.error:
        notes.append(
            f"{better.label} has {_shown(better.upper_gain)} nats on the upper side but folds; "
            "--allow-folded would take it"
        )
    tried = sorted(row.values[0] for row in rows if row.values is not None and len(row.values) == 1)
    if len(tried) > 1 and chosen.values is not None and chosen.values[0] in (tried[0], tried[-1]):
        end = "smallest" if chosen.values[0] == tried[0] else "largest"
        notes.append(f"the choice is the {end} that was tried: widen --range or --grid")
    return notes


def _shown(difference: Figure) -> str:
    value, error = difference
    return f"{value:+z.2f}" + (f" ± {error:.2f}" if math.isfinite(error) else "")
