"""The interface of the log-density that inference and estimators work on."""

from __future__ import annotations

from typing import Protocol

from torch import Tensor

from sritool.errors import NumericalError


class Target(Protocol):
    """p(x|·) for a batch of sentences, as estimators need it; `Conditional` implements it."""

    def log_likelihood(self, z: Tensor) -> Tensor:
        """log p(x|z) in nats: [..., batch, latent] → [..., batch]."""

    def evaluate(self, z: Tensor) -> tuple[Tensor, Tensor]:
        """log p(x|z) and its gradient in z: [..., batch, latent] → [..., batch] and [..., batch, latent]."""

    def hessian(self, z: Tensor) -> Tensor:
        """∇²_z (−log p(x|z)): [..., batch, latent] → [..., batch, latent, latent]."""


def check_finite(what: str, values: Tensor) -> None:
    """Refuse values that are not finite. Raises: NumericalError, which names `what`."""
    if not bool(values.isfinite().all()):
        raise NumericalError(f"{what} is not finite at a drawn z; take an earlier checkpoint")
