"""Targets p(x|z) with known evidence and posteriors."""

from __future__ import annotations

import math
from collections.abc import Callable

import pytest
import torch
from torch import Tensor
from torch.distributions import MultivariateNormal

SPECTRA = {
    "mild": (2.0, 0.5, 0.1),
    "sharp": (150.0, 20.0, 1.0, 0.0),
    "one sharp direction of eight": (400.0, *([0.3] * 7)),
    "many dimensions": (120.0, 60.0, 30.0, 10.0, 5.0, 2.0, *([0.5] * 10)),
}
"""Curvatures for `linear_gaussian`."""


def standard_error(values: Tensor) -> float:
    """The standard error of a mean over sentences."""
    return float(values.std()) / math.sqrt(len(values))


class LinearGaussian:
    """x = A z + noise, noise ~ N(0, variance · I), for several "sentences", each with its own A and x."""

    def __init__(self, matrices: Tensor, data: Tensor, variance: float) -> None:
        self.matrices, self.data, self.variance = matrices, data, variance  # [b, m, d], [b, m]
        self.identity = torch.eye(matrices.shape[2], dtype=matrices.dtype)

    def log_likelihood(self, z: Tensor) -> Tensor:
        residual = self.data - torch.einsum("bmd,...bd->...bm", self.matrices, z)
        constant = self.data.shape[1] * math.log(2 * math.pi * self.variance)
        return -0.5 * (residual.square().sum(-1) / self.variance + constant)

    def evaluate(self, z: Tensor) -> tuple[Tensor, Tensor]:
        with torch.enable_grad():
            z = z.detach().requires_grad_()
            value = self.log_likelihood(z)
            (gradient,) = torch.autograd.grad(value.sum(), z)
        return value.detach(), gradient

    def hessian(self, z: Tensor) -> Tensor:
        return self.precision - self.identity

    @property
    def precision(self) -> Tensor:
        """Precision of p(z|x), the curvature of U: [batch, latent, latent]."""
        return self.identity + self.matrices.mT @ self.matrices / self.variance

    @property
    def evidence(self) -> Tensor:
        """log p(x) in nats: [batch]."""
        noise = self.variance * torch.eye(self.data.shape[1], dtype=self.data.dtype)
        covariance = noise + self.matrices @ self.matrices.mT
        return MultivariateNormal(torch.zeros_like(self.data), covariance).log_prob(self.data)

    @property
    def posterior(self) -> MultivariateNormal:
        mean = torch.linalg.solve(
            self.precision, (self.matrices.mT @ self.data.unsqueeze(-1) / self.variance).squeeze(-1)
        )
        return MultivariateNormal(mean, precision_matrix=self.precision)

    @property
    def posterior_kl(self) -> Tensor:
        """KL(p(z|x) ‖ p(z)) in nats: [batch]."""
        prior = MultivariateNormal(torch.zeros_like(self.posterior.mean), self.identity)
        return torch.distributions.kl_divergence(self.posterior, prior)


class Flat:
    """A model that ignores z: p(x|z) = exp(value)."""

    def __init__(self, values: Tensor) -> None:
        self.values = values

    def log_likelihood(self, z: Tensor) -> Tensor:
        return self.values.expand(z.shape[:-1])

    def evaluate(self, z: Tensor) -> tuple[Tensor, Tensor]:
        return self.log_likelihood(z), torch.zeros_like(z)

    def hessian(self, z: Tensor) -> Tensor:
        return z.new_zeros(*z.shape, z.shape[-1])


class Ripple:
    """log p(x|z) = height · cos(frequency · z) in one dimension: steps fold where height · frequency² is large."""

    def __init__(self, height: float, frequency: float) -> None:
        self.height, self.frequency = height, frequency

    def log_likelihood(self, z: Tensor) -> Tensor:
        return self.height * torch.cos(self.frequency * z).squeeze(-1)

    def evaluate(self, z: Tensor) -> tuple[Tensor, Tensor]:
        return self.log_likelihood(z), -self.height * self.frequency * torch.sin(self.frequency * z)

    def hessian(self, z: Tensor) -> Tensor:
        return (self.height * self.frequency**2 * torch.cos(self.frequency * z)).unsqueeze(-1)


@pytest.fixture
def linear_gaussian() -> Callable[..., LinearGaussian]:
    """A target whose curvatures of U are 1 + the given ones, with data drawn from the model."""

    def make(curvatures: tuple[float, ...], batch: int = 4, seed: int = 0) -> LinearGaussian:
        generator = torch.Generator().manual_seed(seed)
        size, variance = len(curvatures), 0.5
        drawn = [torch.randn(batch, size, size, generator=generator).double() for _ in range(2)]
        left, right = (torch.linalg.qr(matrix).Q for matrix in drawn)
        scales = torch.tensor(curvatures, dtype=torch.float64).mul(variance).sqrt()
        matrices = left * scales @ right.mT
        z = torch.randn(batch, size, generator=generator).double()
        noise = torch.randn(batch, size, generator=generator).double()
        data = (matrices @ z.unsqueeze(-1)).squeeze(-1) + math.sqrt(variance) * noise
        return LinearGaussian(matrices, data, variance)

    return make


@pytest.fixture
def flat() -> Flat:
    return Flat(torch.tensor([-3.0, -20.0, -55.5], dtype=torch.float64))


@pytest.fixture
def ripple() -> Ripple:
    return Ripple(height=0.8, frequency=3.0)


@pytest.fixture
def equal_curvature() -> Callable[..., LinearGaussian]:
    """A target whose posterior is N(1, 1/curvature) in each dimension."""

    def make(curvature: float, latent: int = 4, batch: int = 8) -> LinearGaussian:
        variance = 0.5
        slope = math.sqrt((curvature - 1) * variance)
        matrices = slope * torch.eye(latent, dtype=torch.float64).expand(batch, -1, -1)
        data = matrices.new_full((batch, latent), curvature * variance / slope)
        return LinearGaussian(matrices, data, variance)

    return make
