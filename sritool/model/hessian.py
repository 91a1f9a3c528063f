"""Exact ∇²_z (−log p(x|z)) of every draw of every sentence of a batch.

Both its parts come from the tangents of the hidden states in all latent directions, which are carried along the
sentence and never stored:

- that of the output layer, Σ_n A_nᵀ (diag p_n − p_n p_nᵀ) A_n with A_n = W ∂h_n/∂z;
- that of the recurrence. The second derivative of a step, weighted by the gradient of log p in the step's two
  outputs, is a few numbers per unit (see `_Steps`), so no tangent has to go back through the sentence.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, NamedTuple

import torch
from torch import Tensor

from sritool.model.recurrence import Recurrence, RecurrentWeight

if TYPE_CHECKING:
    from sritool.model.conditional import Conditional, Weights

_BUFFER_ELEMENTS = 1 << 20  # most logits' tangents held at a time
_TANGENT_ELEMENTS = 1 << 22  # most gates' tangents held at a time


def hessian(conditional: Conditional, z: Tensor) -> Tensor:
    """Return ∇²_z (−log p(x|z)), symmetric: z [..., batch, latent] → [..., batch, latent, latent]."""
    draws = z.reshape(-1, conditional.size, z.shape[-1])
    stack = conditional.run(draws)
    features = conditional.features(stack.outputs())
    _, grad_features = conditional.through_output(features, draws.shape[:-1])
    steps = _all_steps(conditional.weights, stack.runs, grad_features)
    lengths = conditional.batch.lengths.repeat(len(draws))
    latent, width = z.shape[-1], stack.gates.shape[-1]
    found = z.new_empty(len(lengths), latent, latent)
    # Longest first, so that a group of rows ends as early as it can.
    for rows in lengths.argsort(descending=True).split(max(1, _TANGENT_ELEMENTS // (latent * width))):
        found[rows] = _of_rows(conditional.weights, steps, features, rows, lengths[rows])
    return found.view(*z.shape, latent)


class _Steps(NamedTuple):
    """Derivatives of all steps of a layer for each hidden unit.

    A step's outputs are c = σ(f) c₋ + σ(i) tanh(g) and h = σ(o) tanh(c). Its inputs are linear in z, in the
    previous states and in those of the layer below. So its second derivative, weighted by the gradient of log p in h
    and c, is a few numbers per unit.
    """

    forget: Tensor  # ∂c/∂c₋  [time, rows, hidden]
    cell_to_hidden: Tensor  # ∂h/∂c  [time, rows, hidden]
    first: Tensor  # ∂h/∂o, ∂c/∂i, ∂c/∂f, ∂c/∂g  [time, rows, 4·hidden]
    diagonal: Tensor  # oo, ii, ff, gg  [time, rows, 4·hidden]
    cross: Tensor  # twice oc, ig, fc₋  [time, rows, 3·hidden]
    cell: Tensor  # cc  [time, rows, hidden]


def _all_steps(weights: Weights, runs: Sequence[Recurrence], grad_features: Tensor) -> list[_Steps]:
    """Each layer's derivatives, from the words upwards; overwrites grad_features [time, rows, width]."""
    between, found = weights.generator.hidden_to_embedding, []
    grad_hidden = grad_features if between is None else grad_features @ between
    for layer, states, recurrent in reversed(list(zip(weights.layers, runs, weights.recurrent, strict=True))):
        steps, of_gates = _steps(states, grad_hidden, recurrent)
        found.append(steps)
        if states is not runs[0]:
            grad_hidden = of_gates @ layer.inputs_to_gates
    return found[::-1]


def _steps(states: Recurrence, grad_hidden: Tensor, recurrent: RecurrentWeight) -> tuple[_Steps, Tensor]:
    """Derivatives of a layer's steps after a run, and the gradient of log p in its gates before activation.

    `grad_hidden` [time, rows, hidden] is the gradient in every h, not counting that through later steps; overwritten.
    """
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
    return _Steps(forget, cell_to_hidden, first, diagonal, 2 * cross, cell), of_gates


def _of_rows(
    weights: Weights, steps: Sequence[_Steps], features: Tensor, rows: Tensor, lengths: Tensor
) -> Tensor:
    """The Hessians of some rows, sorted by descending length: [rows, latent, latent]."""
    generator = weights.generator
    by_code = generator.latent_to_gates.t()  # [latent, 4·hidden]
    latent = by_code.shape[0]
    total = features.new_zeros(len(rows), latent, latent)
    # ∂h/∂z and ∂c/∂z of each layer  [rows, latent, hidden]
    hidden = [layer.latent_to_initial.t().expand(len(rows), -1, -1) for layer in weights.layers]
    cell = [torch.zeros_like(each) for each in hidden]
    ends = lengths.tolist()  # on a GPU, asking for one number at a time would wait at every word
    for t in range(ends[0]):
        active = sum(end > t for end in ends)
        here, part = rows[:active], total[:active]
        for number, layer in enumerate(weights.layers):
            if number == 0:
                gates = by_code.expand(active, -1, -1).contiguous()  # ∂gates/∂z  [active, latent, 4·hidden]
            else:
                gates = hidden[number - 1] @ layer.inputs_to_gates.t()
            before = hidden[number][:active].flatten(0, 1)
            weights.recurrent[number].add_to_gates(gates.flatten(0, 1), before)
            step = [factor[t].index_select(0, here).unsqueeze(1) for factor in steps[number]]
            hidden[number], cell[number] = _through_step(part, _Steps(*step), gates, cell[number][:active])
        feature = features[t].index_select(0, here)
        tangents = generator.before_output(hidden[-1])
        _add_output(part, generator.output_weight, generator.output_bias, feature, tangents)
    return 0.5 * (total + total.mT)


def _through_step(total: Tensor, step: _Steps, gates: Tensor, cell: Tensor) -> tuple[Tensor, Tensor]:
    """Add a step's own part to total [rows, latent, latent], and return ∂h/∂z and ∂c/∂z [rows, latent, hidden].

    Args: step [rows, 1, …]; gates: ∂gates/∂z [rows, latent, 4·hidden]; cell: ∂c₋/∂z [rows, latent, hidden].
    """
    width = cell.shape[-1]
    pulled = step.diagonal * gates
    out, inside, forgotten, candidate = gates.split(width, -1)
    out_2, inside_2, forgotten_2, _ = pulled.split(width, -1)
    out_c, inside_g, forgotten_c = step.cross.split(width, -1)
    forgotten_2.addcmul_(forgotten_c, cell)
    inside_2.addcmul_(inside_g, candidate)
    by_out, by_inside, by_forget, by_candidate = step.first.split(width, -1)
    cell = (step.forget * cell).addcmul_(by_inside, inside)  # ∂c/∂z
    cell.addcmul_(by_forget, forgotten).addcmul_(by_candidate, candidate)
    out_2.addcmul_(out_c, cell)
    hidden = (by_out * out).addcmul_(step.cell_to_hidden, cell)  # ∂h/∂z
    total.baddbmm_(gates, pulled.mT, alpha=-1).baddbmm_(cell, (step.cell * cell).mT, alpha=-1)
    return hidden, cell


def _add_output(total: Tensor, output: Tensor, bias: Tensor, feature: Tensor, tangents: Tensor) -> None:
    """Add Aᵀ (diag p − p pᵀ) A of one position to total [rows, latent, latent], with A = W·tangents.

    Args: feature [rows, width of W]; tangents [rows, latent, width of W].
    """
    latent = tangents.shape[1]
    for begin in range(0, len(feature), step := max(1, _BUFFER_ELEMENTS // (output.shape[0] * latent))):
        here = slice(begin, begin + step)
        p = torch.softmax(torch.addmm(bias, feature[here], output.t()), -1)
        mean = tangents[here] @ (p @ output).unsqueeze(-1)  # Σ_v p_v A_v  [n, latent, 1]
        flat = tangents[here].reshape(-1, output.shape[1])
        scaled = (flat @ output.t()).view(-1, latent, output.shape[0]).mul_(p.sqrt_().unsqueeze(1))
        total[here].baddbmm_(scaled, scaled.mT).baddbmm_(mean, mean.mT, alpha=-1)
