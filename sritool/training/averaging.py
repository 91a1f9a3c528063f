"""An exponential moving average of the weights (EMA), which validation and best.pt take in place of the last ones.

The last weights carry the noise of the last few updates. Their average along training carries less of it, so that it
is often the better model while the learning rate is still high.

Source: averaging of Polyak and Juditsky 1992; the exponential one, with a decay that begins small, as is usual in
deep learning (TensorFlow's ExponentialMovingAverage with `num_updates`).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from itertools import chain
from typing import Any

import torch
from torch import nn


class WeightAverage:
    """The average of a module's parameters and running statistics, which goes on from its present ones.

    Running statistics are averaged too: a preconditioner then belongs to the weights that it is used with.
    """

    def __init__(self, modules: nn.Module, decay: float) -> None:
        """Begin at the present weights of modules, which are changed in place only.

        `decay` is the weight of the average so far against the new weights, once there were updates enough.
        """
        self._decay = decay
        # A parameter that has two names is one: these iterators give it once, where state_dict() gives it twice.
        self._present = {
            name: tensor.detach()
            for name, tensor in chain(modules.named_parameters(), modules.named_buffers())
        }
        self._average = {name: tensor.clone() for name, tensor in self._present.items()}
        self.updates = 0

    @torch.no_grad()
    def update(self) -> None:
        """Take in the present weights.

        After n updates the decay is at most (1 + n) / (10 + n), so that the average looks back over about the last
        tenth of training while that is short.
        """
        self.updates += 1
        decay = min(self._decay, (1 + self.updates) / (10 + self.updates))
        for name, average in self._average.items():
            average.lerp_(self._present[name], 1.0 - decay)

    @contextmanager
    def in_place(self) -> Iterator[None]:
        """Put the average in the place of the weights for a while. It takes memory for one tensor only."""
        self._swap()
        try:
            yield
        finally:
            self._swap()

    @torch.no_grad()
    def _swap(self) -> None:
        for name, average in self._average.items():
            kept = average.clone()
            average.copy_(self._present[name])
            self._present[name].copy_(kept)

    def state(self) -> dict[str, Any]:
        """What a resumed run goes on with."""
        return {"updates": self.updates, "weights": self._average}

    @torch.no_grad()
    def restore(self, state: Mapping[str, Any]) -> None:
        """Go on from `state()`; what that does not hold, as another sampler's statistics, begins anew."""
        self.updates = state["updates"]
        for name in self._average.keys() & state["weights"].keys():
            self._average[name].copy_(state["weights"][name])
