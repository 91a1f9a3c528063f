"""`vae-cyclical`: a variational autoencoder whose KL weight rises again and again (Fu et al. 2019)."""

from __future__ import annotations

from sritool.config.schedules import cyclical
from sritool.methods.base import Clock
from sritool.methods.encoding import EncoderMethod


class CyclicalVae(EncoderMethod):
    """The ELBO, its KL weighted by equal cycles over the planned epochs."""

    name = "vae-cyclical"
    sections = frozenset({"cycles"})

    def kl_weight(self, clock: Clock) -> float:
        """From 0 to 1 in the first part of a cycle, then 1."""
        cycles = self.config.cycles
        return cyclical(clock.progress, cycles.count, cycles.ramp)

    def settled_at(self) -> float:
        """When the last cycle has risen."""
        cycles = self.config.cycles
        return (cycles.count - 1 + cycles.ramp) / cycles.count
