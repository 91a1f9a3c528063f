"""Schedules as values: a quantity as a function of the share of the planned epochs that is done."""

from __future__ import annotations

import math
from typing import Annotated, Literal

from pydantic import BeforeValidator

from sritool.config.validation import Number, PositiveCount, Share, settings

_STEEPNESS = 12.0  # of the logistic curve: 0.25 % of the way at its ends, as with the published constants


@settings
class Ramp:
    """`start` until `begin`, `end` from `finish` on, and a way between; in stairs of `quantum` if that is not 0.

    begin and finish are shares of the planned epochs, so that a short plan runs the whole schedule. Between them the
    way goes from `start` to `end` once, or `cycles` times one after the other: in a line, along half a cosine, or
    along a logistic curve, moved and stretched to reach both ends.
    """

    start: Number
    end: Number
    begin: Share = 0.0
    finish: Share = 1.0
    quantum: Number = 0.0
    shape: Literal["linear", "cosine", "sigmoid"] = "linear"
    cycles: PositiveCount = 1

    def __post_init__(self) -> None:
        if self.begin > self.finish:
            raise ValueError(f"it runs from {self.begin} to {self.finish}; give 0 <= begin <= finish")

    def at(self, progress: float) -> float:
        """Return the value when the share `progress` of the planned epochs is done."""
        if progress <= self.begin:
            return self.start
        if progress >= self.finish:
            return self.end
        share = (progress - self.begin) / (self.finish - self.begin) * self.cycles % 1.0
        if self.shape == "cosine":
            share = 0.5 - 0.5 * math.cos(math.pi * share)
        elif self.shape == "sigmoid":
            share = 0.5 + 0.5 * math.tanh(_STEEPNESS * (share - 0.5) / 2) / math.tanh(_STEEPNESS / 4)
        value = self.start + share * (self.end - self.start)
        if self.quantum:
            stairs = math.floor(abs(value - self.start) / self.quantum + 1e-9)
            value = self.start + math.copysign(stairs * self.quantum, self.end - self.start)
        return value

    @property
    def settled_at(self) -> float:
        """Share of the planned epochs after which it moves no more."""
        return self.finish if self.start != self.end else 0.0

    @property
    def last_begin(self) -> float:
        """Share of the planned epochs after which it goes from `start` to `end` for the last time."""
        return self.finish - (self.finish - self.begin) / self.cycles


def constant(value: float) -> Ramp:
    """Return a schedule that never moves."""
    return Ramp(value, value)


def rise(start: float, share: float, shape: Literal["linear", "sigmoid"] = "linear") -> Ramp:
    """Return a way from `start` up to 1 in this share of the planned epochs (Bowman et al. 2016)."""
    return Ramp(start if share else 1.0, 1.0, finish=share, shape=shape)


Schedule = Annotated[
    Ramp,
    BeforeValidator(lambda value: {"start": value, "end": value} if type(value) in (int, float) else value),
]
"""A number stands for a schedule that never moves."""
