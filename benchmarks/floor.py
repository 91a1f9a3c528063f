"""The matrix products that no implementation of a step can leave out, alone and into buffers made before.

Nothing but `torch.mm` is timed: no softmax, no gates, no dropout, no copy. Each product of two large matrices
is tried in both layouts of its weight, and in chunks of rows as well as whole; the fastest is kept.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import cached_property

import torch
from torch import Tensor

from benchmarks.shapes import Shape
from benchmarks.timing import seconds_of
from sritool.data.tokenizer import FIRST_PREDICTED

Product = Callable[[], None]
CHUNKS = (0, 64, 256)  # rows at a time; 0: all
TRIALS = 4


class Floor:
    """Products of one shape; `precision` is that of the output layer's, the recurrence is in float32.

    Each is chosen when it is first asked for, in the round before the counted ones.
    """

    def __init__(self, shape: Shape, precision: str, device: torch.device) -> None:
        self.shape, self.device = shape, device
        self.kind = torch.bfloat16 if precision == "bfloat16" else torch.float32
        self.gates = 4 * shape.hidden

    def _random(self, rows: int, columns: int, dtype: torch.dtype = torch.float32) -> Tensor:
        return torch.rand(rows, columns, device=self.device).sub_(0.5).to(dtype)

    @cached_property
    def _states(self) -> Tensor:
        return self._random(self.shape.tokens, self.shape.hidden, self.kind)

    @cached_property
    def _residual(self) -> Tensor:
        return self._random(self.shape.tokens, self.shape.vocabulary - FIRST_PREDICTED, self.kind)

    @cached_property
    def _output(self) -> Tensor:
        return self._random(self.shape.vocabulary - FIRST_PREDICTED, self.shape.hidden, self.kind)

    @cached_property
    def output_forward(self) -> Product:
        """Logits."""
        return self._fastest(self._states, self._output.t())

    @cached_property
    def output_backward(self) -> Product:
        """The gradient of the hidden states."""
        return self._fastest(self._residual, self._output)

    @cached_property
    def recurrence_forward(self) -> Product:
        """One position's gates from the hidden state before it."""
        recurrent = self._random(self.gates, self.shape.hidden)
        return self._fastest(self._random(self.shape.batch, self.shape.hidden), recurrent.t())

    @cached_property
    def recurrence_backward(self) -> Product:
        """The gradient of that hidden state."""
        recurrent = self._random(self.gates, self.shape.hidden)
        return self._fastest(self._random(self.shape.batch, self.gates), recurrent)

    def _fastest(self, left: Tensor, right: Tensor) -> Product:
        """left @ right into a buffer."""
        out = left.new_empty(left.shape[0], right.shape[1])
        packed = right.contiguous() if not right.is_contiguous() else right.t().contiguous().t()
        tried: list[tuple[float, Product]] = []
        for size in CHUNKS:
            if size and size >= left.shape[0]:
                continue
            for matrix in (right, packed):
                product = self._product(left, matrix, out, size)
                product()
                tried.append((min(seconds_of(product, self.device) for _ in range(TRIALS)), product))
        return min(tried, key=lambda pair: pair[0])[1]

    @staticmethod
    def _product(left: Tensor, right: Tensor, out: Tensor, chunk: int) -> Product:
        rows = chunk or left.shape[0]
        parts = list(zip(left.split(rows), out.split(rows), strict=True))

        def run() -> None:
            for part, into in parts:
                torch.mm(part, right, out=into)

        return run

    def output(self) -> None:
        """The output layer's two: logits, and the gradient of the hidden states."""
        self.output_forward()
        self.output_backward()

    def recurrence(self) -> None:
        """One product a position, forward and backward."""
        for _ in range(self.shape.length):
            self.recurrence_forward()
        for _ in range(self.shape.length):
            self.recurrence_backward()

    def langevin_step(self) -> None:
        """∇_z log p(x|z): the words' projection is the same at every step and is not counted."""
        self.output()
        self.recurrence()
