"""A function of tensors replayed as a CUDA graph, captured once for each set of shapes.

Every step of a chain is some five hundred small kernels; launched one by one, they keep a GPU waiting. The function
must not read values (no `.item()`, no shape that depends on data), and its parameters must be updated in place.

Source: the usage rules of `torch.cuda.CUDAGraph` in PyTorch's notes on CUDA semantics.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable
from typing import Any, Generic, NamedTuple, TypeVar

import torch
from torch import Tensor

Outputs = TypeVar("Outputs")

_WARM_UP = 2  # runs before capture, in which libraries initialise
_LARGEST_NUMBER = 64  # of graphs: further shapes run kernel by kernel


class _Captured(NamedTuple, Generic[Outputs]):
    graph: torch.cuda.CUDAGraph
    inputs: tuple[Tensor | None, ...]
    outputs: Outputs


class GraphedFunction(Generic[Outputs]):
    """Runs `function` on CUDA tensors; the next call overwrites the outputs, whatever its shapes."""

    def __init__(self, function: Callable[..., Outputs]) -> None:
        self._function = function
        self._captured: dict[Hashable, _Captured[Outputs]] = {}
        self._constants: Hashable = None
        self._pool: Any = None  # memory that all graphs share: only one graph's outputs are in use

    def __call__(
        self, constants: tuple[Hashable, ...], shapes: tuple[Hashable, ...], *tensors: Tensor | None
    ) -> Outputs:
        """Return function(*constants, *shapes, *tensors), with None for a tensor that is left out.

        A changed constant drops all graphs. `shapes` depend on the tensors' shapes; each set has its own graph.
        """
        if constants != self._constants:
            self._captured.clear()
            self._constants, self._pool = constants, None
        key = (shapes, tuple(t if t is None else (t.shape, t.dtype, t.device) for t in tensors))
        constants = constants + shapes
        found = self._captured.get(key)
        if found is None:
            if len(self._captured) >= _LARGEST_NUMBER:
                return self._function(*constants, *tensors)
            found = self._captured[key] = self._capture(constants, tensors)
        for static, tensor in zip(found.inputs, tensors, strict=True):
            if static is not None and tensor is not None:
                static.copy_(tensor)
        found.graph.replay()
        return found.outputs

    def _capture(
        self, constants: tuple[Hashable, ...], tensors: tuple[Tensor | None, ...]
    ) -> _Captured[Outputs]:
        static = tuple(None if tensor is None else tensor.clone() for tensor in tensors)
        device = next(tensor.device for tensor in static if tensor is not None)
        with torch.cuda.device(device):
            side_stream = torch.cuda.Stream(device)
            side_stream.wait_stream(torch.cuda.current_stream(device))
            with torch.cuda.stream(side_stream):
                for _ in range(_WARM_UP):
                    self._function(*constants, *static)
            torch.cuda.current_stream(device).wait_stream(side_stream)
            graph = torch.cuda.CUDAGraph()
            if self._pool is None:
                self._pool = torch.cuda.graph_pool_handle()
            with torch.cuda.graph(graph, pool=self._pool):
                outputs = self._function(*constants, *static)
        return _Captured(graph, static, outputs)
