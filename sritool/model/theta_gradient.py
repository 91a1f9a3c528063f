"""Accumulates the gradient for θ along a chain, from factors that the backward pass for z computes anyway."""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor

from sritool.data.tokenizer import FIRST_PREDICTED
from sritool.model.dropout import Masks
from sritool.model.generator import Generator
from sritool.model.word_subset import WordSubset
from sritool.model.workspace import Workspace


class BeforeOutput(NamedTuple):
    """What a backward pass knows of everything before the output layer; gradients are those of log p."""

    z: Tensor  # [batch, latent]
    embedded: Tensor  # under dropout  [time, batch, embedding]
    masks: Masks | None
    previous: Tensor  # hidden states before each step  [time, batch, hidden]
    grad_gates: Tensor  # [time, batch, 4·hidden]
    grad_latent: Tensor  # grad_gates summed over time  [batch, 4·hidden]
    grad_initial: Tensor  # [batch, hidden]


class ThetaGradient:
    """Accumulates weight · Σ_batch ∇_θ(−log p(x|z)) over calls of `Conditional.evaluate`.

    Outer products are added where the chain's own backward pass has their factors at hand, so that the gradient at
    a visited z needs no second pass. `Parameter.grad` is not touched before `assign`.

    Args:
        generator: Its parameters are θ.
        workspace: Memory for the gradients, which hold until the next accumulation in it begins; None: their own.

    Attributes:
        weight: Factor on what is added from now on.
        sums: The gradients so far, by the parameters' names.
        word_mass: Σ weight·p of every word over the positions so far. Shape [V].
    """

    def __init__(self, generator: Generator, workspace: Workspace | None = None) -> None:
        workspace = workspace or Workspace()
        self.generator = generator
        self.weight = 1.0
        self.sums = {
            name: workspace.take(f"gradient of {name}", parameter.shape, parameter.detach()).zero_()
            for name, parameter in generator.named_parameters()
        }
        # Tied, the embeddings' gradient is the sum over both their places.
        tied = generator.config.tied_embeddings
        self._output = self.sums["embedding"][FIRST_PREDICTED:] if tied else self.sums["output"]  # [V, width]
        self.word_mass = torch.zeros_like(generator.output_bias)

    def add_expected(
        self, p: Tensor, states: Tensor, counted: Tensor | None = None, subset: WordSubset | None = None
    ) -> None:
        """Add the softmax part of the output layer, Σ_n p_n ⊗ h_n.

        Args:
            p: Softmax at each position, over the subset's words if there is one. Shape [n, V].
            states: What the layer multiplies with its weight, in the type of p. Shape [n, width].
            counted: 1, or 0 where nothing is to be added. Shape [n].
            subset: The words that p is of; the mean over subsets is the sum over all words.
        """
        positions = states.new_ones(len(states)) if counted is None else counted.to(states.dtype)
        if counted is not None:
            states = states * positions.unsqueeze(1)
        into, mass = self._output, p.t().mv(positions).to(self.word_mass.dtype)  # [V]
        if subset is not None:
            into.index_add_(0, subset.words, (p.t() @ states).to(into.dtype), alpha=self.weight)
            mass = torch.zeros_like(self.word_mass).index_add_(0, subset.words, mass)
        elif p.dtype == into.dtype:
            into.addmm_(p.t(), states, alpha=self.weight)
        else:
            into.add_(p.t() @ states, alpha=self.weight)
        self.word_mass.add_(mass, alpha=self.weight)
        self.sums["output_bias"].add_(mass, alpha=self.weight)

    def add_targets(self, states: Tensor, rows: Tensor, counted: Tensor | None = None) -> None:
        """Add the targets' part of the output layer, −Σ_n onehot_n ⊗ h_n.

        Args:
            states: As for `add_expected`, in the parameters' type. Shape [n, width].
            rows: Each position's target, a row of the output layer. Shape [n], int64.
            counted: 1, or 0 where nothing is to be added. Shape [n].
        """
        ones = states.new_ones(len(states)) if counted is None else counted
        states = states if counted is None else states * counted.unsqueeze(1)
        self._output.index_add_(0, rows, states, alpha=-self.weight)
        self.sums["output_bias"].index_add_(0, rows, ones, alpha=-self.weight)

    def add_projection(self, grad_states: Tensor, hidden: Tensor) -> None:
        """Add the map of hidden states to the width of tied embeddings.

        Args:
            grad_states: Gradient of log p in what the layer multiplies with its weight. Shape [n, width].
            hidden: States. Shape [n, hidden].
        """
        self.sums["hidden_to_embedding"].addmm_(grad_states.t(), hidden, alpha=-self.weight)

    def add_recurrence(self, before: BeforeOutput, inputs: Tensor) -> None:
        """Add everything before the output layer, with a minus sign, as its gradients are of log p.

        Args:
            before: What the backward pass knows.
            inputs: Ids of the words before word dropout. Shape [time, batch], int64.
        """
        sums, scale = self.sums, -self.weight
        z, embedded, masks, previous, grad_gates, grad_latent, grad_initial = before
        flat = grad_gates.flatten(0, 1)  # [time·batch, 4·hidden]
        if masks is None or masks.recurrent is None:
            sums["recurrent"].addmm_(flat.t(), previous.flatten(0, 1), alpha=scale)
        else:
            sums["recurrent"].addcmul_(flat.t() @ previous.flatten(0, 1), masks.recurrent, value=scale)
        sums["words_to_gates"].addmm_(flat.t(), embedded.flatten(0, 1), alpha=scale)
        sums["latent_to_gates"].addmm_(grad_latent.t(), z, alpha=scale)
        sums["gate_bias"].add_(grad_latent.sum(0), alpha=scale)
        sums["latent_to_initial"].addmm_(grad_initial.t(), z, alpha=scale)
        sums["initial_bias"].add_(grad_initial.sum(0), alpha=scale)
        grad_embedded = (flat @ self.generator.words_to_gates).view_as(embedded)
        if masks is not None:
            inputs = masks.inputs(inputs)
            if masks.embedding is not None:
                grad_embedded.mul_(masks.embedding)
        sums["embedding"].index_add_(0, inputs.flatten(), grad_embedded.flatten(0, 1), alpha=scale)

    def assign(self) -> None:
        """Write the sums to the parameters' `.grad`."""
        for name, gradient in self.sums.items():
            self.generator.get_parameter(name).grad = gradient
