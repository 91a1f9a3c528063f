"""Decompositions of matrices end in an error of PyTorch's where a number in them is not finite."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator

import torch

from sritool.errors import NumericalError

DecompositionError: type[RuntimeError] = torch.linalg.LinAlgError  # type: ignore[attr-defined]


@contextlib.contextmanager
def of_finite_matrices() -> Iterator[None]:
    """As a context or a decorator. Raises: NumericalError where a matrix cannot be decomposed."""
    try:
        yield
    except DecompositionError as error:
        raise NumericalError(
            "the gradients or the curvature of log p(x|z) are not finite; take an earlier checkpoint, or smaller "
            "step sizes"
        ) from error
