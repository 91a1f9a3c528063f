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

from sritool.model.conditional import Conditional
from sritool.model.dropout import Masks
from sritool.model.output_layer import OutputLayer
from sritool.model.recurrence import Recurrence
from sritool.model.step_derivatives import First, Second, backward, first_derivatives, second_derivatives
from sritool.model.theta_gradient import COLUMNS, BeforeOutput, ThetaGradient
from sritool.model.workspace import Workspace

_BUFFER_ELEMENTS = 1 << 23  # numbers of the size of logits held at a time, as in the output layer


class AtOutput(NamedTuple):
    """What the output layer gave at the n positions that are predicted."""

    gradient: Tensor  # W_target − E_p W  [n, hidden]
    log_p: Tensor  # of the target, nats  [n]


class Value(NamedTuple):
    """log p(x|z), its gradient in z, and what `SecondOrder.along` needs of the output layer there."""

    log_likelihood: Tensor  # nats  [batch]
    gradient: Tensor  # [batch, latent]
    of_output: AtOutput


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
        self._generator, self._recurrent = weights.generator, weights.recurrent
        hidden = self._generator.config.hidden
        self._states = Recurrence(conditional.time, conditional.size, hidden, self._generator.output)
        self._embedded = conditional.embedded(masks)
        self._valid, self._rows = conditional.positions(1)
        self._layer = conditional.weights.output
        self._beside = _beside(self._layer, self._workspace)
        nowhere = self._generator.output.new_zeros(conditional.size, self._generator.config.latent)
        with torch.no_grad():  # the words' projection under these masks, made once
            self._words = conditional.gate_inputs(nowhere, self._embedded)  # [time, batch, 4·hidden]

    @torch.no_grad()
    def evaluate(self, z: Tensor) -> Value:
        """What `Conditional.evaluate` gives, and the output layer's gradient: z [batch, latent]."""
        states = self._run(z)
        hidden = self._predicted(self._seen(states.hidden[1:]))
        log_p, gradient = self._layer.gradient(hidden, self._rows)
        given = self._seen(self._everywhere(gradient), own=self._valid is None)
        of_gates, of_initial = states.backward(given, self._recurrent)
        found = AtOutput(gradient, log_p)
        return Value(self._everywhere(log_p).sum(0), self._to_code(of_gates.sum(0), of_initial), found)

    @torch.no_grad()
    def along(self, z: Tensor, u: Tensor, of_output: AtOutput, theta: ThetaGradient | None = None) -> Slope:
        """D at z along u, both [batch, latent], and its gradients.

        Args: of_output: `Value.of_output` at this z; theta gets weight · Σ_batch of the gradient of −D.
        """
        states = self._run(z)
        first = first_derivatives(states)
        tangents = self._tangents(first, u)
        curved, value = self._through_output(states, tangents, of_output, theta)

        of_hidden = self._seen(self._everywhere(of_output.gradient), own=self._valid is None)
        of_cell, of_gates = torch.zeros_like(of_hidden), torch.zeros_like(first.gates)
        of_initial = backward(first, self._generator.recurrent, of_hidden, of_cell, of_gates)

        second = second_derivatives(states, of_hidden, of_cell, of_gates)
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
        self._states.run(self._generator.initial_hidden(z), self._recurrent)
        return self._states

    def _seen(self, hidden: Tensor, own: bool = False) -> Tensor:
        """What the output layer sees of states, under dropout; `own`: never the very tensor that was given."""
        if self._masks is not None:
            return hidden * self._masks.hidden
        return hidden.clone() if own else hidden

    def _predicted(self, tensor: Tensor) -> Tensor:
        """[time, batch, …] → [n, …], without padding."""
        flat = tensor.flatten(0, 1)
        return flat if self._valid is None else flat[self._valid]

    def _everywhere(self, tensor: Tensor) -> Tensor:
        """[n, …] → [time, batch, …], 0 at padding."""
        shape = (self.conditional.time, self.conditional.size, *tensor.shape[1:])
        if self._valid is None:
            return tensor.view(shape)
        return tensor.new_zeros(shape).flatten(0, 1).index_copy_(0, self._valid, tensor).view(shape)

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
            self._recurrent.add_to_gates(gates[t], hidden[t])
            torch.mul(first.gates[t], gates[t], out=pulled)
            torch.sum(of_cell, 1, out=cells[t])
            if t > 0:
                cells[t].addcmul_(first.forget[t], cells[t - 1])
            torch.addcmul(of_out, first.cell_to_hidden[t], cells[t], out=hidden[t + 1])
        return _Tangents(hidden, cells, gates)

    def _through_output(
        self, states: Recurrence, tangents: _Tangents, at: AtOutput, theta: ThetaGradient | None
    ) -> tuple[Tensor, Tensor]:
        """∂D/∂h of the layer [time, batch, hidden], and D [batch]; theta gets the layer's own part.

        A bounded number of logits at a time.
        """
        hidden, tangent = (self._predicted(self._seen(x.hidden[1:])) for x in (states, tangents))
        curved = torch.empty_like(hidden)
        step = max(64, _BUFFER_ELEMENTS // (2 * len(self._beside)))
        for begin in range(0, len(hidden), step):
            part = slice(begin, begin + step)
            here = AtOutput(at.gradient[part], at.log_p[part])
            curved[part] = self._covariances(hidden[part], tangent[part], here, self._rows[part], theta)
        if theta is not None:
            theta.add_targets(tangent, self._rows, bias=False)
        value = self._everywhere((at.gradient * tangent).sum(-1)).sum(0)
        return self._everywhere(curved), value

    def _covariances(
        self, hidden: Tensor, tangent: Tensor, at: AtOutput, rows: Tensor, theta: ThetaGradient | None
    ) -> Tensor:
        """−Cov_p(W) ḣ [n, hidden]; theta gets D's gradient in W and bias but for the targets' part.

        One product gives log p_v = h·W_v + b_v − log Σ and W_v·ḣ − E_p W·ḣ of every word v: what is taken away is
        known from the first pass, and goes with the bias into columns beside h and ḣ.
        """
        layer, width, count = self._layer, hidden.shape[1], len(hidden)
        target = layer.weight[rows].to(hidden.dtype)
        normaliser = (target * hidden).sum(-1) + layer.bias[rows] - at.log_p
        mean = ((target - at.gradient) * tangent).sum(-1)
        away = torch.stack((normaliser, mean)).neg_()
        both = torch.zeros(2, count, width + COLUMNS, dtype=layer.type, device=hidden.device)
        both[0, :, :width], both[1, :, :width] = hidden, tangent
        both[..., width] = away
        both[..., width + 1] = away - both[..., width]  # what bfloat16 has rounded off
        both[0, :, width + 2] = 1.0
        buffer = self._workspace.logits(2 * count, layer.bias)
        torch.mm(both.flatten(0, 1), self._beside.t(), out=buffer)
        p, spread = buffer.view(2, count, -1).unbind(0)
        spread.mul_(p.exp_())
        curved = (spread @ layer.weight).neg_().to(hidden.dtype)
        both.zero_()
        both[0, :, :width], both[1, :, :width], both[1, :, width] = tangent, hidden, 1.0
        if layer.type != hidden.dtype:  # the first pass rounded the target's logit too
            sums = p.sum(-1, dtype=hidden.dtype).unsqueeze(-1)
            curved, both = curved / sums, (both / sums).to(layer.type)
        if theta is not None:
            theta.add_products(buffer, both.flatten(0, 1))
        return curved

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


def _beside(layer: OutputLayer, workspace: Workspace) -> Tensor:
    """[W | 1 | 1 | bias | 0 …]: [V, hidden + COLUMNS]."""
    rows, width = layer.weight.shape
    found = workspace.take("weight with columns", (rows, width + COLUMNS), layer.weight)
    found[:, :width], found[:, width : width + 2], found[:, width + 2] = layer.weight, 1.0, layer.bias
    found[:, width + 3 :] = 0.0
    return found
