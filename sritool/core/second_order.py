"""Exact second derivatives of log p(x|z) along a direction, without an autograd graph and without a Hessian.

The slope of log p(x|z) along u is D = ⟨∇_z log p(x|z), u⟩. Its gradient in z is ∇²_z log p · u, its gradient in θ the
mixed derivative along u. Both come from one tangent of the recurrence along u and one pass back through the pair:
what D gives to a tangent is what log p gives to the state itself, λ, and what D gives to the state is the tangent μ
of λ. At the output layer, with p the softmax at a state h and ḣ its tangent,

    D = (W_target − E_p W)·ḣ,    ∂D/∂ḣ = W_target − E_p W,    ∂D/∂h = −Cov_p(W) ḣ.

Source: Pearlmutter 1994, "Fast exact multiplication by the Hessian".
"""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor

from sritool.core.conditional import Conditional, Evaluation
from sritool.core.dropout import Masks
from sritool.core.output_layer import OutputLayer
from sritool.core.recurrence import Recurrence
from sritool.core.step_derivatives import First, Second, backward, first_derivatives, second_derivatives
from sritool.core.theta_gradient import COLUMNS, BeforeOutput, ThetaGradient
from sritool.core.workspace import Workspace

_BUFFER_ELEMENTS = 1 << 23  # numbers of the size of logits held at a time, as in the output layer


class Value(NamedTuple):
    """log p(x|z), its gradient in z, and what `SecondOrder.along` needs of the output layer there."""

    log_likelihood: Tensor  # nats  [batch]
    gradient: Tensor  # [batch, latent]
    of_output: Tensor  # W_target − E_p W, 0 at padding  [time, batch, hidden]


class Slope(NamedTuple):
    """D = ⟨∇_z log p(x|z), u⟩, its gradient in z, and ∇_z log p(x|z) itself, sentence by sentence."""

    value: Tensor  # [batch]
    gradient: Tensor  # [batch, latent]
    curvature: Tensor  # ∇²_z log p(x|z) · u  [batch, latent]


class SecondOrder:
    """log p(x|·) of a batch under one set of dropout masks: what it is, its gradient, and the gradients of a slope.

    Args: workspace: a buffer for logits, of this object's own use while a method runs.
    """

    def __init__(
        self, conditional: Conditional, masks: Masks | None = None, workspace: Workspace | None = None
    ) -> None:
        self.conditional, self._masks = conditional, masks
        self._workspace = workspace or Workspace()
        weights = conditional.weights
        self._generator, self._recurrent_t = weights.generator, weights.recurrent_t
        hidden = self._generator.config.hidden
        self._states = Recurrence(conditional.time, conditional.size, hidden, self._generator.output)
        self._embedded = conditional.embedded(masks)
        nowhere = self._generator.output.new_zeros(conditional.size, self._generator.config.latent)
        with torch.no_grad():  # the words' projection under these masks, made once
            self._words = conditional.gate_inputs(nowhere, self._embedded)  # [time, batch, 4·hidden]

    @torch.no_grad()
    def evaluate(self, z: Tensor) -> Value:
        """What `Conditional.evaluate` gives, and the output layer's gradient: z [batch, latent]."""
        states = self._run(z)
        log_likelihood, of_output = self.conditional.through_output(
            self._seen(states.hidden[1:]), z.shape[:-1]
        )
        given = of_output.clone() if self._masks is None else of_output * self._masks.hidden
        of_gates, of_initial = states.backward(given, self._generator.recurrent)
        return Value(log_likelihood, self._to_code(of_gates.sum(0), of_initial), of_output)

    def __call__(self, z: Tensor) -> Evaluation:
        """log p(x|z) and its gradient alone."""
        return Evaluation(*self.evaluate(z)[:2])

    @torch.no_grad()
    def along(self, z: Tensor, u: Tensor, of_output: Tensor, theta: ThetaGradient | None = None) -> Slope:
        """D at z along u, both [batch, latent], and its gradients.

        Args: of_output: `Value.of_output` at this z; theta gets weight · Σ_batch of the gradient of −D.
        """
        states = self._run(z)
        first = first_derivatives(states)
        tangents = self._tangents(first, u)
        seen, seen_tangent = self._seen(states.hidden[1:]), self._seen(tangents.hidden[1:])
        curved, value = self._through_output(seen, seen_tangent, of_output, theta)

        of_hidden, of_cell = self._seen(of_output), torch.zeros_like(of_output)
        if self._masks is None:
            of_hidden = of_hidden.clone()
        of_gates = torch.zeros_like(first.gates)
        of_initial = backward(first, self._generator.recurrent, of_hidden, of_cell, of_gates)

        second = second_derivatives(states, of_hidden, of_cell)
        cell_2, gates_2 = _through_steps(second, tangents)
        initial_2 = backward(first, self._generator.recurrent, self._seen(curved), cell_2, gates_2)
        latent_2 = gates_2.sum(0)
        if theta is not None:
            before = states.hidden[:-1]
            here = BeforeOutput(z, self._embedded, self._masks, before, gates_2, latent_2, initial_2)
            theta.add_recurrence(here, self.conditional.batch.inputs)
            self._add_tangents(theta, tangents, u, of_gates, of_initial)
        gradient = self._to_code(of_gates.sum(0), of_initial)
        return Slope(value, gradient, self._to_code(latent_2, initial_2))

    def _run(self, z: Tensor) -> Recurrence:
        latent = z @ self._generator.latent_to_gates.t()
        torch.add(self._words, latent, out=self._states.gates)
        self._states.run(self._generator.initial_hidden(z), self._recurrent_t)
        return self._states

    def _seen(self, hidden: Tensor) -> Tensor:
        """What the output layer sees of states, under dropout."""
        return hidden if self._masks is None else hidden * self._masks.hidden

    def _to_code(self, of_latent: Tensor, of_initial: Tensor) -> Tensor:
        generator = self._generator
        return of_latent @ generator.latent_to_gates + of_initial @ generator.latent_to_initial

    def _tangents(self, first: First, u: Tensor) -> _Tangents:
        """Derivatives of every state along u."""
        time, size, width = first.forget.shape
        by_code = u @ self._generator.latent_to_gates.t()
        gates = by_code.expand(time, size, 4 * width).contiguous()
        hidden, cells = by_code.new_empty(time + 1, size, width), by_code.new_empty(time, size, width)
        torch.mm(u, self._generator.latent_to_initial.t(), out=hidden[0])
        pulled = torch.empty_like(by_code)
        of_out, of_cell = pulled[:, :width], pulled.view(size, 4, width)[:, 1:]
        for t in range(time):
            gates[t].addmm_(hidden[t], self._recurrent_t)
            torch.mul(first.gates[t], gates[t], out=pulled)
            torch.sum(of_cell, 1, out=cells[t])
            if t > 0:
                cells[t].addcmul_(first.forget[t], cells[t - 1])
            torch.addcmul(of_out, first.cell_to_hidden[t], cells[t], out=hidden[t + 1])
        return _Tangents(hidden, cells, gates)

    def _through_output(
        self, hidden: Tensor, tangent: Tensor, of_output: Tensor, theta: ThetaGradient | None
    ) -> tuple[Tensor, Tensor]:
        """∂D/∂h of the layer [time, batch, hidden], and D [batch]; theta gets the layer's own part."""
        value = (of_output * tangent).sum(-1)  # 0 at padding
        valid, rows = self.conditional.positions(1)
        states, directions, gradient = (part.flatten(0, 1) for part in (hidden, tangent, of_output))
        if valid is not None:
            states, directions, gradient = states[valid], directions[valid], gradient[valid]
        layer = self.conditional.weights.output
        curved = _covariances(layer, self._workspace, (states, directions, gradient), rows, theta)
        if theta is not None:
            theta.add_targets(directions, rows, bias=False)
        if valid is not None:
            curved = torch.zeros_like(hidden).flatten(0, 1).index_copy_(0, valid, curved)
        return curved.view_as(hidden), value.sum(0)

    def _add_tangents(
        self, theta: ThetaGradient, tangents: _Tangents, u: Tensor, of_gates: Tensor, of_initial: Tensor
    ) -> None:
        """What weights that act on a tangent get: the tangent, with the gradient of log p in what it enters."""
        sums, scale = theta.sums, -theta.weight
        flat, before = of_gates.flatten(0, 1), tangents.hidden[:-1].flatten(0, 1)
        sums["recurrent"].addmm_(flat.t(), before, alpha=scale)
        sums["latent_to_gates"].addmm_(of_gates.sum(0).t(), u, alpha=scale)
        sums["latent_to_initial"].addmm_(of_initial.t(), u, alpha=scale)


class _Tangents(NamedTuple):
    """Derivatives along a direction."""

    hidden: Tensor  # of h, the initial state first  [time + 1, batch, hidden]
    cells: Tensor  # of c  [time, batch, hidden]
    gates: Tensor  # of o, i, f, g before activation  [time, batch, 4·hidden]


def _through_steps(second: Second, tangents: _Tangents) -> tuple[Tensor, Tensor]:
    """What the steps' own second derivatives give to every cell and to the gates before activation."""
    out_cell, inside_candidate, forget_before = second.cross.chunk(3, -1)
    out, inside, forget, candidate = tangents.gates.chunk(4, -1)
    gates = second.diagonal * tangents.gates
    of_out, of_inside, of_forget, of_candidate = gates.chunk(4, -1)
    of_out.addcmul_(out_cell, tangents.cells)
    of_inside.addcmul_(inside_candidate, candidate)
    of_candidate.addcmul_(inside_candidate, inside)
    of_forget[1:].addcmul_(forget_before[1:], tangents.cells[:-1])
    cells = (second.cell * tangents.cells).addcmul_(out_cell, out)
    cells[:-1].addcmul_(forget_before[1:], forget[1:])
    return cells, gates


def _covariances(
    layer: OutputLayer,
    workspace: Workspace,
    at: tuple[Tensor, Tensor, Tensor],
    rows: Tensor,
    theta: ThetaGradient | None,
) -> Tensor:
    """−Cov_p(W) ḣ [n, hidden], a bounded number of logits at a time; theta gets Σ_v of D's gradient but the target's.

    Args: at: h, ḣ and W_target − E_p W, each [n, hidden]; rows [n]: of the targets.
    """
    weight, width = layer.weight, layer.weight.shape[1]
    curved = torch.empty_like(at[0])
    step = max(64, _BUFFER_ELEMENTS // (2 * weight.shape[0]))
    for begin in range(0, len(rows), step):
        part = slice(begin, begin + step)
        states, directions, gradient = (tensor[part] for tensor in at)
        count, of_target = len(states), weight[rows[part]].to(gradient.dtype)
        mean = ((of_target - gradient) * directions).sum(-1, keepdim=True)  # E_p W·ḣ
        both = torch.zeros(2, count, width + COLUMNS, dtype=layer.type, device=weight.device)
        both[0, :, :width], both[1, :, :width], both[1, :, width] = directions, states, 1.0
        buffer = workspace.logits(2 * count, layer.bias)
        p, spread = buffer.view(2, count, -1).unbind(0)
        torch.addmm(layer.bias, both[1, :, :width], weight.t(), out=p)
        torch.softmax(p, -1, out=p)
        torch.mm(both[0, :, :width], weight.t(), out=spread)
        spread.sub_(mean).mul_(p)  # p_v (W_v·ḣ − E_p W·ḣ)
        curved[part] = (spread @ weight).neg_()
        if theta is not None:
            theta.add_products(buffer, both.flatten(0, 1))
    return curved
