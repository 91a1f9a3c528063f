"""Derivatives of an LSTM's steps, for all steps and hidden units at once; a step acts on each hidden unit by itself.

A step's outputs are c = σ(f) c₋ + σ(i) tanh(g) and h = σ(o) tanh(c). What enters it is linear in z and in the states
before it, so that a step's second derivative, under the gradient of log p in its outputs, is a few numbers a unit.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor

from sritool.model.recurrence import Recurrence


class First(NamedTuple):
    """First derivatives of every step."""

    gates: Tensor  # ∂h/∂o, ∂c/∂i, ∂c/∂f, ∂c/∂g, of the gates before activation  [time, rows, 4·hidden]
    cell_to_hidden: Tensor  # ∂h/∂c  [time, rows, hidden]
    forget: Tensor  # ∂c/∂c₋  [time, rows, hidden]


class Second(NamedTuple):
    """Second derivatives of every step, under the gradients of log p in its h and c."""

    diagonal: Tensor  # oo, ii, ff, gg  [time, rows, 4·hidden]
    cross: Tensor  # o with c, i with g, f with c₋  [time, rows, 3·hidden]
    cell: Tensor  # cc  [time, rows, hidden]


def first_derivatives(states: Recurrence) -> First:
    """Those of a run."""
    out, inside, forget, candidate = states.gates.chunk(4, dim=-1)
    gates = torch.empty_like(states.gates)
    of_out, of_inside, of_forget, of_candidate = gates.chunk(4, dim=-1)
    torch.mul(_slope(out), states.tanh_cells, out=of_out)
    torch.mul(_slope(inside), candidate, out=of_inside)
    torch.mul(_slope(forget), _before(states.cells), out=of_forget)
    torch.addcmul(inside, inside, candidate.square(), value=-1, out=of_candidate)
    return First(gates, torch.addcmul(out, out, states.tanh_cells.square(), value=-1), forget)


def second_derivatives(states: Recurrence, of_hidden: Tensor, of_cell: Tensor, of_gates: Tensor) -> Second:
    """Args: gradients of log p in every h, c and gate before activation, with what goes through later steps."""
    out, inside, forget, candidate = states.gates.chunk(4, dim=-1)
    width, tanh_1 = out.shape[-1], _complement(states.tanh_cells)
    sigmoids, of_sigmoids = states.gates[..., : 3 * width], of_gates[..., : 3 * width]
    diagonal, cross = torch.empty_like(of_gates), torch.empty_like(sigmoids)
    # A gate's σ'' is σ'(1 − 2σ), and tanh'' is −2 tanh·tanh'.
    torch.addcmul(of_sigmoids, of_sigmoids, sigmoids, value=-2, out=diagonal[..., : 3 * width])
    torch.mul(of_gates[..., 3 * width :], candidate, out=diagonal[..., 3 * width :]).mul_(-2)
    out_cell, inside_candidate, forget_before = cross.chunk(3, -1)
    torch.mul(_slope(out).mul_(of_hidden), tanh_1, out=out_cell)
    torch.mul(_slope(inside).mul_(of_cell), _complement(candidate), out=inside_candidate)
    torch.mul(_slope(forget), of_cell, out=forget_before)
    cell = (of_hidden * out).mul_(tanh_1).mul_(states.tanh_cells).mul_(-2)
    return Second(diagonal, cross, cell)


def backward(first: First, recurrent: Tensor, of_hidden: Tensor, of_cell: Tensor, of_gates: Tensor) -> Tensor:
    """Carry gradients through the steps from the last to the first, in place.

    Args:    what each step's outputs, and its gates before activation, get from elsewhere than later steps:
             of_hidden, of_cell [time, rows, hidden], of_gates [time, rows, 4·hidden]. Overwritten with the whole.
    Returns: the gradient in the initial state [rows, hidden].
    """
    later: Tensor | None = None
    each, by_gate = of_gates.unflatten(-1, (4, -1)), first.gates.unflatten(-1, (4, -1))
    for t in reversed(range(len(of_gates))):
        if later is not None:
            of_hidden[t].addmm_(later, recurrent)
            of_cell[t].addcmul_(of_cell[t + 1], first.forget[t + 1])
        of_cell[t].addcmul_(of_hidden[t], first.cell_to_hidden[t])
        each[t, :, 0].addcmul_(of_hidden[t], by_gate[t, :, 0])
        each[t, :, 1:].addcmul_(of_cell[t].unsqueeze(1), by_gate[t, :, 1:])
        later = of_gates[t]
    assert later is not None
    return later @ recurrent


def _slope(sigmoid: Tensor) -> Tensor:
    return torch.addcmul(sigmoid, sigmoid, sigmoid, value=-1)


def _complement(tanh: Tensor) -> Tensor:
    """The slope of tanh, 1 − tanh²."""
    return torch.addcmul(tanh.new_ones(()), tanh, tanh, value=-1)


def _before(cells: Tensor) -> Tensor:
    return torch.cat((torch.zeros_like(cells[:1]), cells[:-1]))
