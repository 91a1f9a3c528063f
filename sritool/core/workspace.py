"""Memory that is asked for anew at every step and kept in between."""

from __future__ import annotations

import math

from torch import Tensor


class Workspace:
    """Buffers by name that every batch reuses, so that no step waits for tens of MB of fresh pages."""

    def __init__(self) -> None:
        self._flat: dict[str, Tensor] = {}
        self._outgrown: list[Tensor] = []  # a captured CUDA graph still writes to them

    def take(self, name: str, shape: tuple[int, ...], like: Tensor) -> Tensor:
        """A tensor of this shape, of the type and device of `like`, that holds whatever the last taker left."""
        need, flat = math.prod(shape), self._flat.get(name)
        if flat is None or flat.numel() < need or flat.dtype != like.dtype or flat.device != like.device:
            if flat is not None and flat.is_cuda:
                self._outgrown.append(flat)
            self._flat[name] = flat = like.new_empty(need)
        return flat[:need].view(shape)

    def logits(self, rows: int, like: Tensor) -> Tensor:
        """[rows, len(like)] of the type and device of `like`."""
        return self.take("logits", (rows, like.shape[0]), like)
