"""The weight of the KL term in an encoder method's objective: it rises once, or again and again."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, Protocol

from sritool.config.schedules import Ramp


class KlSchedule(Protocol):
    """The weight over the planned epochs."""

    @property
    def settled_at(self) -> float:
        """Share of the planned epochs after which the weight is 1 for good."""

    def at(self, progress: float) -> float:
        """The weight when this share of the planned epochs is done."""


def rise(start: float, share: float, shape: Literal["linear", "sigmoid"] = "linear") -> Ramp:
    """Return a weight from `start` up to 1 in this share of the planned epochs, and then 1 (Bowman et al. 2016)."""
    return Ramp(start if share else 1.0, 1.0, finish=share, shape=shape)


@dataclass(frozen=True)
class Cycles:
    """Equal cycles: from `start` up to 1 in the first part of each, and 1 in the rest (Fu et al. 2019)."""

    start: float  # in each cycle
    count: int  # in the planned epochs
    ramp: float  # share of a cycle in which the weight rises, in a line

    @property
    def settled_at(self) -> float:
        """When the last cycle has risen, if they do rise."""
        moves = rise(self.start, self.ramp).settled_at > 0
        return (self.count - 1 + self.ramp) / self.count if moves else 0.0

    def at(self, progress: float) -> float:
        """The weight when this share of the planned epochs is done."""
        if progress >= 1.0:
            return 1.0
        return rise(self.start, self.ramp).at(progress * self.count % 1.0)
