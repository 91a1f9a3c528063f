"""The matrix products that no implementation of a step can leave out, alone and into preallocated buffers.

Only `torch.mm` is timed: no softmax, gates, dropout or copies. Each product is tried in both layouts of its weight,
and whole as well as in chunks of rows; the fastest is kept.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from benchmarks.shapes import Shape
from benchmarks.timing import Run, seconds_of
from sritool.data.tokenizer import FIRST_PREDICTED

Product = Callable[[], None]
CHUNKS = (0, 64, 256)  # rows per product; 0: all
TRIALS = 4


def langevin_floor(shape: Shape, precision: str, device: torch.device, steps: int) -> Run:
    """Build the products of `steps` Langevin steps: the output layer's in `precision`, the recurrence's in float32.

    The projection of the words is the same at every step and is not counted.
    """
    kind = torch.bfloat16 if precision == "bfloat16" else torch.float32
    words, gates = shape.vocabulary - FIRST_PREDICTED, 4 * shape.hidden
    output, recurrent = _random(words, shape.hidden, device, kind), _random(gates, shape.hidden, device)
    forward = fastest(_random(shape.tokens, shape.hidden, device, kind), output.t())
    backward = fastest(_random(shape.tokens, words, device, kind), output)
    position = fastest(_random(shape.batch, shape.hidden, device), recurrent.t())
    back_a_position = fastest(_random(shape.batch, gates, device), recurrent)
    each_step = [forward, backward, *[position] * shape.length, *[back_a_position] * shape.length]

    def run() -> None:
        for _ in range(steps):
            for product in each_step:
                product()

    return run


def logits_floor(shape: Shape, rows: int, device: torch.device) -> Product:
    """Build the product for the logits of `rows` words, in float32."""
    output = _random(shape.vocabulary - FIRST_PREDICTED, shape.hidden, device)
    return fastest(_random(rows, shape.hidden, device), output.t())


def fastest(left: Tensor, right: Tensor) -> Product:
    """Build the fastest form of left @ right, into a buffer."""
    out = left.new_empty(left.shape[0], right.shape[1])
    packed = right.contiguous() if not right.is_contiguous() else right.t().contiguous().t()
    tried: list[tuple[float, Product]] = []
    for size in CHUNKS:
        if size and size >= left.shape[0]:
            continue
        for matrix in (right, packed):
            product = _product(left, matrix, out, size)
            product()
            tried.append((min(seconds_of(product, left.device) for _ in range(TRIALS)), product))
    return min(tried, key=lambda pair: pair[0])[1]


def _product(left: Tensor, right: Tensor, out: Tensor, chunk: int) -> Product:
    rows = chunk or left.shape[0]
    parts = list(zip(left.split(rows), out.split(rows), strict=True))

    def run() -> None:
        for part, into in parts:
            torch.mm(part, right, out=into)

    return run


def _random(rows: int, columns: int, device: torch.device, kind: torch.dtype = torch.float32) -> Tensor:
    return torch.rand(rows, columns, device=device).sub_(0.5).to(kind)
