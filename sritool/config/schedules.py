"""Schedules as values: a quantity as a function of the completed share of the planned epochs."""

from __future__ import annotations

import math
from typing import Annotated, Literal

from pydantic import BeforeValidator

from sritool.config.validation import Number, PositiveCount, Share, settings

_STEEPNESS = 12.0  # of the logistic curve: unscaled, its ends are 0.25 % off, as with the published constants


@settings
class Ramp:
    """A ramp: `start` until `begin`, `end` from `finish` on; in steps of `quantum` if that is not 0.

    `begin` and `finish` are shares of the planned epochs, so that a short plan runs the whole schedule. Between them
    the value goes from `start` to `end` once, or `cycles` times in a row: linearly, along half a cosine, or along a
    logistic curve shifted and scaled to reach both ends.
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
        """Return the value after the share `progress` of the planned epochs."""
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
        """Share of the planned epochs after which the value is constant."""
        return self.finish if self.start != self.end else 0.0

    @property
    def last_begin(self) -> float:
        """Share of the planned epochs at which the last ramp from `start` to `end` begins."""
        return self.finish - (self.finish - self.begin) / self.cycles


def constant(value: float) -> Ramp:
    """Return a constant schedule."""
    return Ramp(value, value)


def rise(start: float, share: float, shape: Literal["linear", "sigmoid"] = "linear") -> Ramp:
    """Return a ramp from `start` up to 1 over this share of the planned epochs (Bowman et al. 2016)."""
    return Ramp(start if share else 1.0, 1.0, finish=share, shape=shape)


Schedule = Annotated[
    Ramp,
    BeforeValidator(lambda value: {"start": value, "end": value} if type(value) in (int, float) else value),
]
"""A schedule; a plain number stands for a constant one."""
