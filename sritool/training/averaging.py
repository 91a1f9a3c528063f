"""An exponential moving average of the weights (EMA), which validation and best.pt use instead of the last weights.

The last weights carry the noise of the last few updates. Their average carries less of it, so it is often the better
model while the learning rate is still high.

Source: Polyak and Juditsky 1992 for averaging; the exponential average with a small initial decay is usual in deep
learning (TensorFlow's ExponentialMovingAverage with `num_updates`).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from itertools import chain
from typing import Any

import torch
from torch import nn


class WeightAverage:
    """The average of a module's parameters and running statistics.

    Running statistics are averaged too, so that a preconditioner fits the weights that it is used with.
    """

    def __init__(self, modules: nn.Module, decay: float) -> None:
        """Begin with the present weights of the modules.

        Args:
            modules: Their weights may change in place only.
            decay: Weight of the average so far in each update, once there have been enough updates.
        """
        self._decay = decay
        # These iterators give a parameter with two names once; state_dict() gives it twice.
        self._present = {
            name: tensor.detach()
            for name, tensor in chain(modules.named_parameters(), modules.named_buffers())
        }
        self._average = {name: tensor.clone() for name, tensor in self._present.items()}
        self.updates = 0

    @torch.no_grad()
    def update(self) -> None:
        """Add the present weights to the average.

        After n updates the decay is at most (1 + n) / (10 + n), so that early in training the average covers about
        the last tenth of it.
        """
        self.updates += 1
        decay = min(self._decay, (1 + self.updates) / (10 + self.updates))
        for name, average in self._average.items():
            average.lerp_(self._present[name], 1.0 - decay)

    @contextmanager
    def in_place(self) -> Iterator[None]:
        """Replace the weights by their average inside the block. This takes memory for one tensor only."""
        self._swap()
        try:
            yield
        finally:
            self._swap()

    @torch.no_grad()
    def _swap(self) -> None:
        for name, average in self._average.items():
            copy = average.clone()
            average.copy_(self._present[name])
            self._present[name].copy_(copy)

    def state(self) -> dict[str, Any]:
        """Return the state that a resumed run needs."""
        return {"updates": self.updates, "weights": self._average}

    @torch.no_grad()
    def restore(self, state: Mapping[str, Any]) -> None:
        """Continue from `state()`; a tensor missing there, such as another sampler's statistic, starts afresh."""
        self.updates = state["updates"]
        for name in self._average.keys() & state["weights"].keys():
            self._average[name].copy_(state["weights"][name])
