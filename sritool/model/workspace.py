"""Memory that every step asks for again, kept in between."""

from __future__ import annotations

import math

import torch
from torch import Tensor


class Workspace:
    """Named buffers that every batch reuses, so that no step waits for tens of MB of fresh pages."""

    def __init__(self) -> None:
        self._flat: dict[tuple[str, torch.dtype, torch.device], Tensor] = {}
        self._outgrown: list[Tensor] = []  # a captured CUDA graph still writes to them

    def take(self, name: str, shape: tuple[int, ...], like: Tensor) -> Tensor:
        """Return a tensor of this shape, with the type and device of `like` and arbitrary contents."""
        key = name, like.dtype, like.device  # training and validation may take different types in turn
        need, flat = math.prod(shape), self._flat.get(key)
        if flat is None or flat.numel() < need:
            if flat is not None and flat.is_cuda:
                self._outgrown.append(flat)
            self._flat[key] = flat = like.new_empty(need)
        return flat[:need].view(shape)
