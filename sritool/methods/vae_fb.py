"""`vae-fb`: a pretrained encoder, then a variational autoencoder with free bits for each dimension.

Source: Li et al. 2019, "A surprisingly effective fix for deep latent variable modeling of text".
"""

from __future__ import annotations

from torch import Tensor

from sritool.methods import free_bits
from sritool.methods.encoding import EncoderMethod


class FreeBitsVae(EncoderMethod):
    """First an autoencoder; then, its generator drawn anew, the ELBO with a hinge on each dimension's KL."""

    name = "vae-fb"
    sections = frozenset({"kl", "free_bits", "pretraining"})
    pretrains = True

    def hinge(self, kl: Tensor) -> Tensor:
        """0 where the KL has not reached its target, else 1."""
        return free_bits.per_dimension(kl, self.config.free_bits.target)
