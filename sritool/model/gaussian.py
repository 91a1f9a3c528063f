"""A normal distribution with a diagonal covariance for each sentence: an encoder's q_φ(z|x)."""

from __future__ import annotations

import math
from typing import NamedTuple

from torch import Tensor

from sritool.model.random import Stream


class DiagonalGaussian(NamedTuple):
    """N(mean, diag exp(log_variance)); both [batch, latent]."""

    mean: Tensor
    log_variance: Tensor

    def sample(self, stream: Stream, examples: Tensor, draws: int) -> Tensor:
        """Draw z [draws, batch, latent]; a draw depends only on (stream, example, index of the draw)."""
        return self.at(stream.codes(examples, draws, self.mean.shape[1], self.mean.dtype))

    def log_density(self, z: Tensor) -> Tensor:
        """log q(z) in nats: [draws, batch, latent] → [draws, batch]."""
        distance = (z - self.mean).square() * (-self.log_variance).exp()
        return -0.5 * (distance + self.log_variance + math.log(2.0 * math.pi)).sum(-1)

    def kl_by_dimension(self) -> Tensor:
        """KL(q ‖ N(0, I)) of each dimension, in nats and in closed form: [batch, latent]."""
        return 0.5 * (self.mean.square() + self.log_variance.exp() - 1.0 - self.log_variance)

    def kl_to_prior(self) -> Tensor:
        """KL(q ‖ N(0, I)) in nats: [batch]."""
        return self.kl_by_dimension().sum(-1)

    def kl_gradient(self) -> DiagonalGaussian:
        """Gradients of the KL in mean and log-variance, both [batch, latent]."""
        return DiagonalGaussian(self.mean, 0.5 * (self.log_variance.exp() - 1.0))

    def at(self, noise: Tensor) -> Tensor:
        """z = mean + σ·noise: noise [..., batch, latent] → the same shape."""
        return self.mean + (0.5 * self.log_variance).exp() * noise

    def spread(self, noise: Tensor) -> Tensor:
        """∂`at(noise)`/∂log-variance, the same shape."""
        return 0.5 * (0.5 * self.log_variance).exp() * noise
