"""What inference and estimators need to know of the log-density that they are given."""

from __future__ import annotations

from typing import Protocol

from torch import Tensor

from sritool.errors import NumericalError


class Target(Protocol):
    """What an estimator needs of p(x|·) for a batch of sentences; `Conditional` is one."""

    def log_likelihood(self, z: Tensor) -> Tensor:
        """[..., batch, latent] → [..., batch], nats."""

    def evaluate(self, z: Tensor) -> tuple[Tensor, Tensor]:
        """The same and its gradient in z."""

    def hessian(self, z: Tensor) -> Tensor:
        """∇²_z (−log p(x|z)): [..., batch, latent] → [..., batch, latent, latent]."""


def check_finite(what: str, values: Tensor) -> None:
    """Refuse a model whose density cannot be followed. Raises: NumericalError, naming `what` is not finite."""
    if not bool(values.isfinite().all()):
        raise NumericalError(f"{what} is not finite at a z that was drawn; take an earlier checkpoint")
