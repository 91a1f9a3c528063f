"""`vae-anneal`: a variational autoencoder whose KL term comes in slowly (Bowman et al. 2016)."""

from __future__ import annotations

from sritool.methods.encoding import EncoderMethod


class AnnealedVae(EncoderMethod):
    """The ELBO, its KL weighted from 0 up to 1 over the first epochs."""

    name = "vae-anneal"
