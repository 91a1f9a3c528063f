"""The LSTM recurrence, written by hand, with gates ordered output, input, forget, candidate.

That order lets one sigmoid and one tanh serve a step, and one multiplication serve the three gates whose
gradient comes through the cell. `lstm` is the plain, differentiable form (any derivative, any transform);
`run` and `run_backward` compute the same into buffers without autograd, and are what a chain uses.

Source: Hochreiter and Schmidhuber 1997 with the forget gate of Gers et al. 2000, as in `torch.nn.LSTM`.
"""

from __future__ import annotations

from typing import NamedTuple

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


class States(NamedTuple):
    """What a run leaves behind for its backward pass."""

    gates: Tensor  # activated o, i, f, g  [time, batch, 4·hidden]
    cells: Tensor  # [time, batch, hidden]
    tanh_cells: Tensor  # [time, batch, hidden]
    hidden: Tensor  # with the initial state first  [time + 1, batch, hidden]


def run(inputs: Tensor, initial: Tensor, recurrent_t: Tensor) -> States:
    """`lstm` without autograd; `inputs` is overwritten with the activated gates.

    Args: inputs and initial as for `lstm`; recurrent_t [hidden, 4·hidden], the transposed copy.
    """
    time, batch, width = inputs.shape
    size = width // 4
    cells, tanh_cells = inputs.new_empty(2, time, batch, size).unbind(0)
    hidden = inputs.new_empty(time + 1, batch, size)
    hidden[0] = initial
    steps = zip(
        inputs.unbind(0),
        inputs[..., : 3 * size].unbind(0),
        inputs[..., 3 * size :].unbind(0),
        inputs.view(time, batch, 4, size).unbind(0),
        cells.unbind(0),
        tanh_cells.unbind(0),
        hidden.unbind(0)[:-1],
        hidden.unbind(0)[1:],
        strict=True,
    )
    before = None
    for gates, sigmoids, candidate, each, cell, tanh_cell, previous, current in steps:
        gates.addmm_(previous, recurrent_t)
        sigmoids.sigmoid_()
        candidate.tanh_()
        out_gate, in_gate, forget, _ = each.unbind(1)
        torch.mul(in_gate, candidate, out=cell)
        if before is not None:
            cell.addcmul_(forget, before)
        torch.tanh(cell, out=tanh_cell)
        torch.mul(out_gate, tanh_cell, out=current)
        before = cell
    return States(inputs, cells, tanh_cells, hidden)


def run_backward(states: States, grad_hidden: Tensor, recurrent: Tensor) -> tuple[Tensor, Tensor]:
    """Gradients through a run.

    Args:    grad_hidden [time, batch, hidden]: of the hidden states, overwritten; recurrent [4·hidden, hidden].
    Returns: of the gates before activation [time, batch, 4·hidden]; of the initial state [batch, hidden].
    """
    time, batch, size = grad_hidden.shape
    each = states.gates.view(time, batch, 4, size)
    out_gate, in_gate, forget, candidate = each.unbind(2)
    # Every factor that does not depend on the incoming gradient, for all steps at once.
    grads = torch.addcmul(each, each, each, value=-1)  # σ' = σ(1 − σ) for o, i, f
    grads[:, :, 0].mul_(states.tanh_cells)
    grads[:, :, 1].mul_(candidate)
    grads[0, :, 2].zero_()  # the cell starts at 0
    grads[1:, :, 2].mul_(states.cells[:-1])
    torch.addcmul(in_gate, in_gate, candidate.square(), value=-1, out=grads[:, :, 3])
    through_tanh = torch.addcmul(out_gate, out_gate, states.tanh_cells.square(), value=-1)
    grad_gates = grads.view(time, batch, 4 * size)
    steps = list(
        zip(
            grad_gates.unbind(0),
            grads[:, :, 0].unbind(0),
            grads[:, :, 1:].unbind(0),
            grad_hidden.unbind(0),
            through_tanh.unbind(0),
            forget.unbind(0),
            strict=True,
        )
    )
    grad_cell: Tensor | None = None
    later: Tensor | None = None
    for gates, out_factor, cell_factors, grad_h, factor, forget_gate in reversed(steps):
        if later is not None:
            grad_h.addmm_(later, recurrent)
        torch.mul(grad_h, factor, out=factor)
        if grad_cell is not None:
            factor.add_(grad_cell)
        out_factor.mul_(grad_h)
        cell_factors.mul_(factor.unsqueeze(1))
        grad_cell = factor.mul_(forget_gate)
        later = gates
    assert later is not None
    return grad_gates, later @ recurrent
