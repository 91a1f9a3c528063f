"""The weight of the KL term in an encoder method's objective: it rises once, or again and again."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal, Protocol

_STEEPNESS = 12.0  # of the logistic curve: 0.25 % of the way at its ends, as with the published constants


class KlSchedule(Protocol):
    """The weight over the planned epochs."""

    @property
    def settled_at(self) -> float:
        """Share of the planned epochs after which the weight is 1 for good."""

    def at(self, progress: float) -> float:
        """The weight when this share of the planned epochs is done."""


@dataclass(frozen=True)
class Rise:
    """From `start` up to 1 over the first epochs, and then 1 (Bowman et al. 2016)."""

    start: float
    settled_at: float  # share of the planned epochs
    shape: Literal["linear", "sigmoid"] = "linear"

    def at(self, progress: float) -> float:
        """The weight when this share of the planned epochs is done."""
        if progress >= self.settled_at:
            return 1.0
        share = progress / self.settled_at
        return self.start + (1.0 - self.start) * (_sigmoid(share) if self.shape == "sigmoid" else share)


@dataclass(frozen=True)
class Cycles:
    """Equal cycles: from `start` up to 1 in the first part of each, and 1 in the rest (Fu et al. 2019)."""

    start: float  # in each cycle
    count: int  # in the planned epochs
    ramp: float  # share of a cycle in which the weight rises, in a line

    @property
    def settled_at(self) -> float:
        """When the last cycle has risen."""
        return (self.count - 1 + self.ramp) / self.count

    def at(self, progress: float) -> float:
        """The weight when this share of the planned epochs is done."""
        if progress >= 1.0:
            return 1.0
        return Rise(self.start, self.ramp).at(progress * self.count % 1.0)


def _sigmoid(share: float) -> float:
    """The logistic curve, moved and stretched to go from 0 at 0 to 1 at 1."""
    low = _logistic(-_STEEPNESS / 2)
    return (_logistic(_STEEPNESS * (share - 0.5)) - low) / (1.0 - 2.0 * low)


def _logistic(x: float) -> float:
    return 1.0 / (1.0 + math.exp(-x))
