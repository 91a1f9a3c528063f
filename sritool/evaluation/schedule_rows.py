"""Schedules of step sizes side by side: a row each, and remarks on what the table hides."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import NamedTuple

from torch import Tensor

from sritool.evaluation.metrics import mean_and_error
from sritool.inference.step_search import Candidate, Values, same_schedule
from sritool.inference.step_size import Sides


class Figure(NamedTuple):
    """A mean over sentences in nats, with its standard error."""

    value: float
    error: float

    @classmethod
    def of(cls, values: Tensor) -> Figure:
        """Compute it from one number per sentence: [sentences]."""
        return cls(*mean_and_error(values.numpy()))

    def __str__(self) -> str:
        return f"{self.value:+z.2f}" + (f" ± {self.error:.2f}" if math.isfinite(self.error) else "")


class Row(NamedTuple):
    """One schedule, measured."""

    label: str
    values: Values | None  # as in `Candidate`
    schedule: Values
    upper: Figure  # at least Q̃, per sentence
    lower: Figure  # at most Q̃ where nothing folds
    upper_gain: Figure  # over the chosen schedule, on the same sentences and noise: its error is small
    lower_gain: Figure
    recon: Figure
    kl: Figure  # given noise
    folded: float  # share of steps
    unstable: float
    acceptance: float
    chosen: bool
    present: bool  # whether the model has this schedule

    def gain(self, objective: str) -> Figure:
        """Gain over the chosen schedule on the side that decides."""
        return self.upper_gain if objective == "entropy" else self.lower_gain


def rows_of(candidates: Sequence[Candidate], sides: Sequence[Sides], chosen: int, base: Values) -> list[Row]:
    """Return a row per candidate; `chosen` is the chosen one's position, `base` the model's own schedule."""
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
    """Notes on what is easily overlooked in the table."""
    diverging = [row.label for row in rows if not math.isfinite(row.recon.value)]
    notes = [f"the chains of {', '.join(diverging)} diverge"] if diverging else []
    (chosen,) = (row for row in rows if row.chosen)
    for present in (row for row in rows if row.present and not row.chosen):
        if math.isfinite(present.gain(objective).value):
            notes.append(
                f"the checkpoint's own schedule: {present.gain(objective)} nats relative to the choice"
            )
    folding = [row for row in rows if row.folded > chosen.folded and row.values is not None]
    better = max(folding, key=lambda row: row.upper_gain.value, default=None)
    if objective == "entropy" and better and better.upper_gain.value > 2 * better.upper_gain.error:
        notes.append(
            f"{better.label} has {better.upper_gain} nats on the upper side but folds; "
            "--allow-folded would choose it"
        )
    tried = sorted(row.values[0] for row in rows if row.values is not None and len(row.values) == 1)
    if len(tried) > 1 and chosen.values is not None and chosen.values[0] in (tried[0], tried[-1]):
        end = "smallest" if chosen.values[0] == tried[0] else "largest"
        notes.append(f"the choice is the {end} that was tried: widen --range or --grid")
    return notes
