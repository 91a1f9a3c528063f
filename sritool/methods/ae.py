"""`ae`: an autoencoder, whose z is the encoder's mean, without noise and without a KL term."""

from __future__ import annotations

from sritool.methods.encoding import EncoderMethod


class Autoencoder(EncoderMethod):
    """Maximises log p(x|z) alone: no bound of log p(x), and nothing that draws codes to the prior."""

    name = "ae"
    sections = frozenset()
    chosen_by = "recon"
    validated = ("recon", "permuted", "au")

    @property
    def is_point(self) -> bool:
        """Always."""
        return True

    def settled_at(self) -> float:
        """There is no schedule."""
        return 0.0
