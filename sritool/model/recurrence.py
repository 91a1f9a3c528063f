"""The LSTM recurrence, written by hand, with gates ordered output, input, forget, candidate.

In that order, a step takes one sigmoid and one tanh, and one multiplication serves the three gates whose gradient
comes through the cell. `lstm` is the plain, differentiable form (any derivative, any transform);
`Recurrence` computes the same into buffers without autograd, and is what a chain uses.

Source: Hochreiter and Schmidhuber 1997 with the forget gate of Gers et al. 2000, as in `torch.nn.LSTM`.
"""

from __future__ import annotations

import torch
from torch import Tensor


def lstm(inputs: Tensor, initial: Tensor, recurrent: Tensor) -> Tensor:
    """Return the hidden states of a one-layer LSTM whose cell starts at 0.

    Args:
        inputs: Projected inputs, bias included. Shape [time, batch, 4·hidden].
        initial: Hidden state before the first step. Shape [batch, hidden].
        recurrent: Recurrent weight. Shape [4·hidden, hidden].

    Returns:
        Shape [time, batch, hidden].
    """
    hidden, cell = initial, torch.zeros_like(initial)
    states = []
    for projected in inputs.unbind(0):
        gates = projected + hidden @ recurrent.t()
        out_gate, in_gate, forget, candidate = gates.chunk(4, dim=-1)
        cell = torch.sigmoid(forget) * cell + torch.sigmoid(in_gate) * torch.tanh(candidate)
        hidden = torch.sigmoid(out_gate) * torch.tanh(cell)
        states.append(hidden)
    return torch.stack(states)


_COLUMNS = 512  # of a large recurrent weight per product
_LARGE = 1 << 20  # elements: more than a core's own cache holds


class RecurrentWeight:
    """The recurrent weight U [4·hidden, hidden], laid out for a step's products; rebuilt after every update.

    On a CPU, a product of few rows with a large matrix waits for memory, above all if the row stride is a power of
    two. So the columns of a large matrix are stored in contiguous blocks.
    """

    def __init__(self, recurrent: Tensor) -> None:
        recurrent = recurrent.detach()
        in_blocks = recurrent.device.type == "cpu" and recurrent.numel() >= _LARGE
        width = _COLUMNS if in_blocks else len(recurrent)
        self._transposed = [block.contiguous() for block in recurrent.t().split(width, -1)]
        self._plain = [block.contiguous() for block in recurrent.split(width, -1)]

    def add_to_gates(self, gates: Tensor, hidden: Tensor) -> None:
        """gates [rows, 4·hidden] += hidden [rows, hidden] · Uᵀ."""
        _add_product(gates, hidden, self._transposed)

    def add_to_hidden(self, grad_hidden: Tensor, grad_gates: Tensor) -> None:
        """grad_hidden [rows, hidden] += grad_gates [rows, 4·hidden] · U."""
        _add_product(grad_hidden, grad_gates, self._plain)


def _add_product(into: Tensor, left: Tensor, blocks: list[Tensor]) -> None:
    if len(blocks) == 1:
        into.addmm_(left, blocks[0])
        return
    for part, block in zip(into.split(blocks[0].shape[1], -1), blocks, strict=True):
        part.addmm_(left, block)


class Recurrence:
    """Forward and backward runs of one shape, without autograd, in buffers that each run overwrites.

    Fill `gates` with the projected inputs, bias included, then call `run`; `backward` differentiates the last run.
    """

    def __init__(self, time: int, batch: int, hidden: int, like: Tensor) -> None:
        self.gates = like.new_empty(time, batch, 4 * hidden)  # after a run: activated o, i, f, g
        self.cells = like.new_empty(time, batch, hidden)
        self.tanh_cells = like.new_empty(time, batch, hidden)
        self.hidden = like.new_empty(time + 1, batch, hidden)  # the initial state first
        self._each = self.gates.view(time, batch, 4, hidden)
        self._forward = list(
            zip(
                self.gates.unbind(0),
                self.gates[..., : 3 * hidden].unbind(0),
                *(self._each[:, :, gate].unbind(0) for gate in (1, 2, 3, 0)),
                self.cells.unbind(0),
                self.tanh_cells.unbind(0),
                self.hidden[:-1].unbind(0),
                self.hidden[1:].unbind(0),
                strict=True,
            )
        )
        self._grads: Tensor | None = None
        self._through_tanh: Tensor | None = None
        self._backward: list[tuple[Tensor, ...]] = []

    def run(self, initial: Tensor, recurrent: RecurrentWeight) -> None:
        """Run `lstm` from initial [batch, hidden]."""
        self.hidden[0].copy_(initial)
        before = None
        for step in self._forward:
            gates, sigmoids, in_gate, forget, candidate, out_gate, cell, tanh_cell, previous, current = step
            recurrent.add_to_gates(gates, previous)
            sigmoids.sigmoid_()
            candidate.tanh_()
            torch.mul(in_gate, candidate, out=cell)
            if before is not None:
                cell.addcmul_(forget, before)
            torch.tanh(cell, out=tanh_cell)
            torch.mul(out_gate, tanh_cell, out=current)
            before = cell

    def backward(self, grad_hidden: Tensor, recurrent: RecurrentWeight) -> tuple[Tensor, Tensor]:
        """Differentiate the last run.

        Args:
            grad_hidden: Gradient in the hidden states, not counting that through later steps; overwritten with the
                whole gradient. Shape [time, batch, hidden].
            recurrent: The weight that `run` was given.

        Returns:
            Gradients in the gates before activation [time, batch, 4·hidden], a buffer of this object, and in the
            initial state [batch, hidden].
        """
        grads, _ = self.derivatives()
        grad_cell: Tensor | None = None
        later: Tensor | None = None
        for (gates, out_factor, cell_factors, factor, column, forget), grad_h in zip(
            self._backward, reversed(grad_hidden.unbind(0)), strict=True
        ):
            if later is not None:
                recurrent.add_to_hidden(grad_h, later)
            if grad_cell is None:
                factor.mul_(grad_h)
            else:
                torch.addcmul(grad_cell, grad_h, factor, out=factor)
            out_factor.mul_(grad_h)
            cell_factors.mul_(column)
            grad_cell = factor.mul_(forget)
            later = gates
        assert later is not None
        grad_initial = torch.zeros_like(self.hidden[0])
        recurrent.add_to_hidden(grad_initial, later)
        return grads, grad_initial

    def derivatives(self) -> tuple[Tensor, Tensor]:
        """Compute each step's own first derivatives, for all steps in a few large operations.

        Returns:
            ∂h/∂o, ∂c/∂i, ∂c/∂f and ∂c/∂g in the gates before activation [time, batch, 4·hidden], and ∂h/∂c
            [time, batch, hidden]. Both are buffers of this object, which `backward` overwrites.
        """
        each, size = self._each, self.hidden.shape[-1]
        out_gate, in_gate, forget, candidate = each.unbind(2)
        if self._grads is None or self._through_tanh is None:
            self._grads, self._through_tanh = torch.empty_like(each), torch.empty_like(self.cells)
            views = zip(
                self._grads.flatten(2).unbind(0),
                self._grads[:, :, 0].unbind(0),
                self._grads[:, :, 1:].unbind(0),
                self._through_tanh.unbind(0),
                self._through_tanh.unsqueeze(2).unbind(0),
                forget.unbind(0),
                strict=True,
            )
            self._backward = list(views)[::-1]
        grads, through_tanh = self._grads, self._through_tanh
        sigmoids = self.gates[..., : 3 * size].unflatten(2, (3, size))
        torch.addcmul(sigmoids, sigmoids, sigmoids, value=-1, out=grads[:, :, :3])  # σ' = σ(1 − σ)
        grads[:, :, 0].mul_(self.tanh_cells)
        grads[:, :, 1].mul_(candidate)
        grads[0, :, 2].zero_()  # the cell starts at 0
        grads[1:, :, 2].mul_(self.cells[:-1])
        torch.addcmul(in_gate, in_gate, candidate.square(), value=-1, out=grads[:, :, 3])
        torch.addcmul(out_gate, out_gate, self.tanh_cells.square(), value=-1, out=through_tanh)
        return grads.view_as(self.gates), through_tanh
