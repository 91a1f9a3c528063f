"""The gradient in θ that a backward pass in z has the factors of, added up along a chain."""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor

from sritool.core.generator import Generator
from sritool.core.recurrence import States


class Masks(NamedTuple):
    """Dropout factors, 0 or 1/(1 − rate)."""

    embedding: Tensor  # [time, batch, embedding]
    hidden: Tensor  # [time, batch, hidden]


class BeforeOutput(NamedTuple):
    """What a backward pass knows of everything before the output layer; gradients are those of log p."""

    z: Tensor  # [batch, latent]
    embedded: Tensor  # under dropout  [time, batch, embedding]
    masks: Masks | None
    states: States
    grad_gates: Tensor  # [time, batch, 4·hidden]
    grad_latent: Tensor  # grad_gates summed over time  [batch, 4·hidden]
    grad_initial: Tensor  # [batch, hidden]


class ThetaGradient:
    """Accumulates weight · Σ_batch ∇_θ(−log p(x|z)) over calls of `Conditional.evaluate`.

    Outer products are added where the chain's own backward pass has their factors at hand, so that the
    gradient at a visited z needs no second pass. It never touches `Parameter.grad`
    until `assign`.
    """

    def __init__(self, generator: Generator) -> None:
        self.generator = generator
        self.weight = 1.0
        self.sums = {name: torch.zeros_like(p) for name, p in generator.named_parameters()}

    def add_output(self, residual: Tensor, hidden: Tensor) -> None:
        """Output layer: residual softmax − onehot [n, V], hidden [n, hidden]."""
        sums, ones = self.sums, residual.new_ones(1, residual.shape[0])
        if residual.dtype == sums["output"].dtype:
            sums["output"].addmm_(residual.t(), hidden, alpha=self.weight)
        else:
            sums["output"].add_(residual.t() @ hidden, alpha=self.weight)
        sums["output_bias"].add_((ones @ residual).squeeze(0), alpha=self.weight)

    def add_recurrence(self, before: BeforeOutput, inputs: Tensor) -> None:
        """Everything before the output layer; inputs [time, batch]. The minus sign: gradients are of log p."""
        sums, scale = self.sums, -self.weight
        z, embedded, masks, states, grad_gates, grad_latent, grad_initial = before
        flat = grad_gates.flatten(0, 1)
        sums["recurrent"].addmm_(flat.t(), states.hidden[:-1].flatten(0, 1), alpha=scale)
        sums["words_to_gates"].addmm_(flat.t(), embedded.flatten(0, 1), alpha=scale)
        sums["latent_to_gates"].addmm_(grad_latent.t(), z, alpha=scale)
        sums["gate_bias"].add_(grad_latent.sum(0), alpha=scale)
        sums["latent_to_initial"].addmm_(grad_initial.t(), z, alpha=scale)
        sums["initial_bias"].add_(grad_initial.sum(0), alpha=scale)
        grad_embedded = (flat @ self.generator.words_to_gates).view_as(embedded)
        if masks is not None:
            grad_embedded.mul_(masks.embedding)
        sums["embedding"].index_add_(0, inputs.flatten(), grad_embedded.flatten(0, 1), alpha=scale)

    def assign(self, scale: float = 1.0) -> None:
        """Write scale times the sums to the parameters' `.grad`."""
        for name, parameter in self.generator.named_parameters():
            parameter.grad = self.sums[name].mul_(scale) if scale != 1.0 else self.sums[name]
