"""Encoder methods that differ only in the weight of the KL term, a hinge on it, or a first stage as an autoencoder.

ae            no KL term; no noise by default
vae-anneal    weight up from 0 to 1 over the first epochs                        Bowman et al. 2016
vae-cyclical  weight up to 1 repeatedly                                          Fu et al. 2019
vae-fb        an autoencoder first, then a hinge on each dimension's KL          Li et al. 2019
vae-fbp       an autoencoder first, then a hinge on a sentence's whole KL        Li et al. 2019
"""

from __future__ import annotations

from torch import Tensor

from sritool.config.schedules import Ramp, rise
from sritool.methods.base import Clock
from sritool.methods.encoder_method import EncoderMethod


class Autoencoder(EncoderMethod):
    """Maximises log p(x|z) alone: no bound on log p(x), and nothing that pulls codes towards the prior."""

    name = "ae"
    sections = frozenset({"autoencoder"})
    chosen_by = "recon"
    validated = ("recon", "permuted", "au")

    @property
    def is_autoencoder(self) -> bool:
        """Always True."""
        return True

    def settled_at(self) -> float:
        """Return 0, as there is no schedule."""
        return 0.0


class AnnealedVae(EncoderMethod):
    """The ELBO, with the weight of the KL rising from 0 to 1 over the first epochs."""

    name = "vae-anneal"


class CyclicalVae(EncoderMethod):
    """The ELBO, with the weight of the KL in equal cycles over the planned epochs, each a rise to 1, then 1."""

    name = "vae-cyclical"
    sections = frozenset({"cycles"})

    @property
    def kl_ramp(self) -> Ramp:
        """Schedule of w within a cycle."""
        return rise(self.config.cycles.start, self.config.cycles.ramp)

    def kl_weight(self, clock: Clock) -> float:
        """Return the weight w of a step; 1 at the end of the plan."""
        within = clock.progress * self.config.cycles.count % 1.0
        return self.kl_ramp.at(within if clock.progress < 1.0 else 1.0)

    def settled_at(self) -> float:
        """Return when the weight reaches 1 in the last cycle; 0 if it never rises."""
        cycles = self.config.cycles
        return (cycles.count - 1 + cycles.ramp) / cycles.count if self.kl_ramp.settled_at else 0.0


class FreeBitsVae(EncoderMethod):
    """First an autoencoder; then, with a new generator, the ELBO with a hinge on each dimension's KL.

    Where KL(q ‖ prior) lies at or below its target, its gradient is left out. The hinge keeps the objective from
    pushing a KL below the target; nothing in it makes the KL reach the target.

    Source: Kingma et al. 2016 for the hinge, Li et al. 2019 for the autoencoder before it.
    """

    name = "vae-fb"
    sections = frozenset({"kl", "free_bits", "pretraining", "autoencoder"})
    pretrains = True

    def hinge(self, kl: Tensor) -> Tensor:
        """Return 1 where a dimension's KL is above its equal part of the target, else 0: [batch, latent] both."""
        return (kl > self.config.free_bits.target / kl.shape[-1]).to(kl.dtype)


class SentenceFreeBitsVae(FreeBitsVae):
    """As `vae-fb`, with one hinge on a sentence's whole KL."""

    name = "vae-fbp"

    def hinge(self, kl: Tensor) -> Tensor:
        """Return 1 where a sentence's whole KL is above the target, else 0: [batch, latent] both."""
        return (kl.sum(-1, keepdim=True) > self.config.free_bits.target).to(kl.dtype).expand_as(kl)
