"""One error, with advice, for matrices that cannot be decomposed because a number in them is not finite."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator

import torch

from sritool.errors import NumericalError

DecompositionError: type[RuntimeError] = torch.linalg.LinAlgError  # type: ignore[attr-defined]


@contextlib.contextmanager
def of_finite_matrices() -> Iterator[None]:
    """Guard a decomposition, as a context or a decorator.

    Raises:
        NumericalError: A matrix cannot be decomposed.
    """
    try:
        yield
    except DecompositionError as error:
        raise NumericalError(
            "the gradients or the curvature of log p(x|z) are not finite; take an earlier checkpoint, or smaller "
            "step sizes"
        ) from error
