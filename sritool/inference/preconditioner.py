"""The preconditioner of the Langevin chain: one matrix P for all sentences, from the Fisher information of z.

The curvature of U(z) = −log p(x, z) differs by direction, and the sharpest direction limits a step size for all.
With F ≈ E ∇_z log p(x|z) ∇_zᵀ log p(x|z), the Fisher information of z, P = (I + F)⁻¹ approximates the
posterior's covariance, and the steps

    z_{k+1} = z_k + s P ∇ log p(x, z_k) + τ √(2s) L ε_k,    P = L Lᵀ,

contract every direction by about the same factor 1 − s. At τ = 1 and small s they sample the same density as steps
without P do.

Source: preconditioned Langevin dynamics as in Girolami and Calderhead 2011, whose metric is also the
Fisher information; here it is one constant matrix, the mean over sentences, so its derivative is not needed.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

_RATE = 0.05  # of the running mean: it covers about twenty updates


class Preconditioner(nn.Module):
    """The running mean F: a buffer, so that checkpoints keep it; evaluation does not change it."""

    fisher: Tensor  # F  [latent, latent]

    def __init__(self, latent: int) -> None:
        super().__init__()
        self.register_buffer("fisher", torch.zeros(latent, latent))

    @torch.no_grad()
    def update(self, products: Tensor, sentences: int) -> None:
        """Add Σ g gᵀ [latent, latent] over these sentences to the mean, g = ∇_z log p(x|z) at their chains' ends."""
        self.fisher.lerp_(products / sentences, _RATE)

    @torch.no_grad()
    def root(self) -> Tensor:
        """Return L = (I + F)^(−1/2), symmetric: [latent, latent]."""
        eigenvalues, vectors = torch.linalg.eigh(self.fisher.double().cpu())  # small: a GPU is slower
        scale = (1.0 + eigenvalues.clamp_min(0.0)).rsqrt()  # a mean of g gᵀ has none below 0, up to rounding
        root: Tensor = (vectors * scale) @ vectors.t()
        return root.to(self.fisher)
