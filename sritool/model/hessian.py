"""∇²_z (−log p(x|z)) of every draw of every sentence of a batch, exact.

Two parts, both from the tangents of the hidden states in all latent directions, which are carried along the sentence
and never kept:

- of the output layer, Σ_n A_nᵀ (diag p_n − p_n p_nᵀ) A_n with A_n = W ∂h_n/∂z;
- of the recurrence. The second derivative of a step, under the gradient of log p in the step's two outputs, is a few
  numbers a unit (see `_Steps`), and no tangent has to go back through the sentence.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, NamedTuple

import torch
from torch import Tensor

from sritool.model.recurrence import Recurrence, RecurrentWeight

if TYPE_CHECKING:
    from sritool.model.conditional import Conditional

_BUFFER_ELEMENTS = 1 << 20  # numbers of the size of logits held at a time
_TANGENT_ELEMENTS = 1 << 22  # numbers of the size of gates' tangents held at a time


def hessian(conditional: Conditional, z: Tensor) -> Tensor:
    """Return ∇²_z (−log p(x|z)) of each sentence.

    Args:
        conditional: p(x|·) of the batch.
        z: Codes, several of each sentence if there are leading dimensions. Shape [..., batch, latent].

    Returns:
        Symmetric. Shape [..., batch, latent, latent].
    """
    draws = z.reshape(-1, conditional.size, z.shape[-1])
    states = conditional.run(draws)
    _, grad_hidden = conditional.through_output(states.hidden[1:], draws.shape[:-1])
    steps = _steps(states, grad_hidden, conditional.weights.recurrent)
    lengths = conditional.batch.lengths.repeat(len(draws))
    latent, width = z.shape[-1], states.gates.shape[-1]
    found = z.new_empty(len(lengths), latent, latent)
    # Longest first, so that a group of rows ends as early as it can.
    for rows in lengths.argsort(descending=True).split(max(1, _TANGENT_ELEMENTS // (latent * width))):
        found[rows] = _of_rows(conditional, steps, rows, lengths[rows])
    return found.view(*z.shape, latent)


class _Steps(NamedTuple):
    """Derivatives of all steps for each hidden unit, and the states.

    A step's outputs are c = σ(f) c₋ + σ(i) tanh(g) and h = σ(o) tanh(c). What enters it is linear in z and in the
    states before it, so that its second derivative, under the gradient of log p in h and c, is a few numbers a unit.
    """

    hidden: Tensor  # h  [time, rows, hidden]
    forget: Tensor  # ∂c/∂c₋  [time, rows, hidden]
    cell_to_hidden: Tensor  # ∂h/∂c  [time, rows, hidden]
    first: Tensor  # ∂h/∂o, ∂c/∂i, ∂c/∂f, ∂c/∂g  [time, rows, 4·hidden]
    diagonal: Tensor  # oo, ii, ff, gg  [time, rows, 4·hidden]
    cross: Tensor  # twice o with c, i with g, f with c₋  [time, rows, 3·hidden]
    cell: Tensor  # cc  [time, rows, hidden]


def _steps(states: Recurrence, grad_hidden: Tensor, recurrent: RecurrentWeight) -> _Steps:
    """Args: grad_hidden: gradient of log p in every h through the output layer [time, rows, hidden]; overwritten."""
    out, inside, forget, candidate = states.gates.chunk(4, dim=-1)
    first, cell_to_hidden = (buffer.clone() for buffer in states.derivatives())
    of_gates, _ = states.backward(grad_hidden, recurrent)  # [time, rows, 4·hidden]
    of_cell = grad_hidden * cell_to_hidden  # gradient of log p in every c  [time, rows, hidden]
    for t in reversed(range(len(of_cell) - 1)):
        of_cell[t].addcmul_(of_cell[t + 1], forget[t + 1])

    width = out.shape[-1]
    sigmoids, candidates = 1 - 2 * states.gates[..., : 3 * width], -2 * candidate
    # A gate's σ'' is σ'(1 − 2σ), and tanh'' is −2 tanh·tanh'.
    diagonal = of_gates * torch.cat((sigmoids, candidates), -1)
    tanh_1 = 1 - states.tanh_cells.square()  # the slope of tanh at c
    cross = torch.cat(
        (
            out * (1 - out) * grad_hidden * tanh_1,
            inside * (1 - inside) * of_cell * (1 - candidate.square()),
            forget * (1 - forget) * of_cell,
        ),
        -1,
    )
    cell = -2 * grad_hidden * out * tanh_1 * states.tanh_cells
    return _Steps(states.hidden[1:], forget, cell_to_hidden, first, diagonal, 2 * cross, cell)


def _of_rows(conditional: Conditional, steps: _Steps, rows: Tensor, lengths: Tensor) -> Tensor:
    """The Hessians of some rows, of descending lengths: [rows, latent, latent]."""
    generator = conditional.weights.generator
    by_code, recurrent = generator.latent_to_gates.t(), conditional.weights.recurrent
    latent, width = by_code.shape[0], generator.config.hidden
    hidden = generator.latent_to_initial.t().expand(len(rows), -1, -1)  # ∂h/∂z  [rows, latent, hidden]
    cell = torch.zeros_like(hidden)
    total = hidden.new_zeros(len(rows), latent, latent)
    for step, active in zip(_steps_of(steps, rows), _active(lengths), strict=False):
        if active < len(hidden):
            hidden, cell = hidden[:active], cell[:active]
        here = [factor[:active].unsqueeze(1) for factor in step]
        state, forget, cell_to_hidden, first, diagonal, cross, cell_2 = here
        gates = by_code.expand(
            active, latent, 4 * width
        ).contiguous()  # ∂gates/∂z  [active, latent, 4·hidden]
        recurrent.add_to_gates(gates.view(-1, 4 * width), hidden.reshape(-1, width))
        pulled = diagonal * gates
        out, inside, forgotten, candidate = gates.split(width, -1)
        out_2, inside_2, forgotten_2, _ = pulled.split(width, -1)
        out_c, inside_g, forgotten_c = cross.split(width, -1)
        forgotten_2.addcmul_(forgotten_c, cell)
        inside_2.addcmul_(inside_g, candidate)
        by_out, by_inside, by_forget, by_candidate = first.split(width, -1)
        cell = (forget * cell).addcmul_(by_inside, inside)  # ∂c/∂z  [active, latent, hidden]
        cell.addcmul_(by_forget, forgotten).addcmul_(by_candidate, candidate)
        out_2.addcmul_(out_c, cell)
        hidden = (by_out * out).addcmul_(cell_to_hidden, cell)  # ∂h/∂z  [active, latent, hidden]
        part = total[:active]
        part.baddbmm_(gates, pulled.mT, alpha=-1).baddbmm_(cell, (cell_2 * cell).mT, alpha=-1)
        before, tangents = generator.before_output(state.squeeze(1)), generator.before_output(hidden)
        _add_output(part, generator.output_weight, generator.output_bias, before, tangents)
    return 0.5 * (total + total.mT)


def _steps_of(steps: _Steps, rows: Tensor) -> Iterator[list[Tensor]]:
    for t in range(len(steps.hidden)):
        yield [factor[t].index_select(0, rows) for factor in steps]


def _active(lengths: Tensor) -> Iterator[int]:
    """How many of the rows, which are of descending lengths, are predicted at each position."""
    for t in range(int(lengths[0])):
        yield int((lengths > t).sum())


def _add_output(total: Tensor, output: Tensor, bias: Tensor, state: Tensor, tangents: Tensor) -> None:
    """Add Aᵀ (diag p − p pᵀ) A of one position to total [rows, latent, latent], with A = W·tangents.

    Args: state [rows, width of W]; tangents [rows, latent, width of W].
    """
    latent = tangents.shape[1]
    for begin in range(0, len(state), step := max(1, _BUFFER_ELEMENTS // (output.shape[0] * latent))):
        here = slice(begin, begin + step)
        p = torch.softmax(torch.addmm(bias, state[here], output.t()), -1)
        mean = tangents[here] @ (p @ output).unsqueeze(-1)  # Σ_v p_v A_v  [n, latent, 1]
        flat = tangents[here].reshape(-1, output.shape[1])
        scaled = (flat @ output.t()).view(-1, latent, output.shape[0]).mul_(p.sqrt_().unsqueeze(1))
        total[here].baddbmm_(scaled, scaled.mT).baddbmm_(mean, mean.mT, alpha=-1)
