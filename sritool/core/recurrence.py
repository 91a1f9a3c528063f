"""The LSTM recurrence, written by hand, with gates ordered output, input, forget, candidate.

That order lets one sigmoid and one tanh serve a step, and one multiplication serve the three gates whose
gradient comes through the cell. `lstm` is the plain, differentiable form (any derivative, any transform);
`Recurrence` computes the same into buffers without autograd, and is what a chain uses.

Source: Hochreiter and Schmidhuber 1997 with the forget gate of Gers et al. 2000, as in `torch.nn.LSTM`.
"""

from __future__ import annotations

import torch
from torch import Tensor


def lstm(inputs: Tensor, initial: Tensor, recurrent: Tensor) -> Tensor:
    """Hidden states of a one-layer LSTM whose cell starts at 0; differentiable to any order.

    Args:    inputs [time, batch, 4·hidden]: the inputs' projections, bias included; initial [batch, hidden];
             recurrent [4·hidden, hidden].
    Returns: [time, batch, hidden].
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


class Recurrence:
    """Runs of one shape, forward and backward, without autograd, in buffers that each run overwrites.

    Fill `gates` with the inputs' projections, bias included, then `run`; `backward` goes through the last run.
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

    def run(self, initial: Tensor, recurrent_t: Tensor) -> None:
        """`lstm` from initial [batch, hidden]; recurrent_t [hidden, 4·hidden], the transposed copy."""
        self.hidden[0].copy_(initial)
        before = None
        for (
            gates,
            sigmoids,
            in_gate,
            forget,
            candidate,
            out_gate,
            cell,
            tanh_cell,
            previous,
            current,
        ) in self._forward:
            gates.addmm_(previous, recurrent_t)
            sigmoids.sigmoid_()
            candidate.tanh_()
            torch.mul(in_gate, candidate, out=cell)
            if before is not None:
                cell.addcmul_(forget, before)
            torch.tanh(cell, out=tanh_cell)
            torch.mul(out_gate, tanh_cell, out=current)
            before = cell

    def backward(self, grad_hidden: Tensor, recurrent: Tensor) -> tuple[Tensor, Tensor]:
        """Gradients through the last run.

        Args:    grad_hidden [time, batch, hidden]: of the hidden states, overwritten; recurrent [4·hidden, hidden].
        Returns: of the gates before activation [time, batch, 4·hidden], a buffer of this object; of the initial
                 state [batch, hidden].
        """
        grads = self._factors()
        grad_cell: Tensor | None = None
        later: Tensor | None = None
        for (gates, out_factor, cell_factors, factor, column, forget), grad_h in zip(
            self._backward, reversed(grad_hidden.unbind(0)), strict=True
        ):
            if later is not None:
                grad_h.addmm_(later, recurrent)
            if grad_cell is None:
                factor.mul_(grad_h)
            else:
                torch.addcmul(grad_cell, grad_h, factor, out=factor)
            out_factor.mul_(grad_h)
            cell_factors.mul_(column)
            grad_cell = factor.mul_(forget)
            later = gates
        assert later is not None
        return grads.view_as(self.gates), later @ recurrent

    def _factors(self) -> Tensor:
        """Every factor that does not depend on the incoming gradient, for all steps in a few large operations."""
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
        return grads
