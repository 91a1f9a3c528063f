"""Accumulates the gradient for θ along a chain, from factors that the backward pass for z computes anyway."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor

from sritool.data.tokenizer import FIRST_PREDICTED
from sritool.model.generator import Generator, layers_of
from sritool.model.word_subset import WordSubset
from sritool.model.workspace import Workspace

_WORDS = 1 << 14  # words converted at a time


class Words(NamedTuple):
    """The previous words, as they enter the first layer and the residual connection."""

    ids: Tensor  # under word dropout  [time, batch], int64
    embedded: Tensor  # under dropout  [time, batch, embedding]
    mask: Tensor | None  # the embeddings' dropout factors


class LayerGradient(NamedTuple):
    """What a backward pass finds for one layer of the LSTM; gradients are those of log p."""

    z: Tensor  # [batch, latent]
    inputs: Tensor  # of the layer, under dropout  [time, batch, embedding or hidden]
    previous: Tensor  # hidden states before each step  [time, batch, hidden]
    mask: Tensor | None  # the recurrent weight's dropout factors
    grad_gates: Tensor  # [time, batch, 4·hidden]
    grad_summed: Tensor  # the same summed over time  [batch, 4·hidden]
    grad_initial: Tensor  # [batch, hidden]


class ThetaGradient:
    """Accumulates weight · Σ_batch ∇_θ(−log p(x|z)) over calls of `Conditional.evaluate`.

    The chain's own backward pass has the factors of the outer products at hand, so the gradient at a visited z needs
    no second pass. The sums are valid until the next accumulation in the same workspace begins.

    Attributes:
        weight: Factor on gradients added from now on.
        sums: The gradients so far, by the parameters' names.
        word_mass: Σ weight·p of every word over the positions so far. Shape [V].
    """

    def __init__(self, generator: Generator, workspace: Workspace | None = None, weight: float = 1.0) -> None:
        workspace = workspace or Workspace()
        self.generator = generator
        self.weight = weight
        self.sums = {
            name: workspace.take(f"gradient of {name}", parameter.shape, parameter.detach()).zero_()
            for name, parameter in generator.named_parameters()
        }
        self._layers = layers_of(self.sums, generator.config.layers)
        # The gradient of tied embeddings is the sum over both their uses.
        tied = generator.config.tied_embeddings
        self._output = self.sums["embedding"][FIRST_PREDICTED:] if tied else self.sums["output"]  # [V, width]
        self.word_mass = torch.zeros_like(generator.output_bias)

    def add_expected(
        self, p: Tensor, states: Tensor, counted: Tensor | None = None, subset: WordSubset | None = None
    ) -> None:
        """Add the softmax part of the output layer, Σ_n p_n ⊗ h_n.

        Args:
            p: Probabilities, over the subset's words if there is one. Shape [n, V].
            states: Input of the output layer, in the type of p. Shape [n, width].
            counted: 1, or 0 where nothing is to be added. Shape [n].
            subset: The words of p; None: all. The mean over subsets is the sum over all words.
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
        else:  # in parts, so that converted values stay in the cache
            for rows, of_words in zip(into.split(_WORDS), p.split(_WORDS, 1), strict=True):
                rows.add_(of_words.t() @ states, alpha=self.weight)
        self.word_mass.add_(mass, alpha=self.weight)
        self.sums["output_bias"].add_(mass, alpha=self.weight)

    def add_targets(self, states: Tensor, rows: Tensor, counted: Tensor | None = None) -> None:
        """Add the targets' part of the output layer, −Σ_n onehot_n ⊗ h_n; `rows` [n] are the targets' rows.

        States and `counted` are as for `add_expected`, but in the parameters' type.
        """
        ones = states.new_ones(len(states)) if counted is None else counted
        states = states if counted is None else states * counted.unsqueeze(1)
        self._output.index_add_(0, rows, states, alpha=-self.weight)
        self.sums["output_bias"].index_add_(0, rows, ones, alpha=-self.weight)

    def add_features(self, grad_features: Tensor, hidden: Tensor, words: Words) -> None:
        """Add the gradients between the LSTM and the output layer: the map of its states, the residual connection.

        Args:
            grad_features: Gradient of log p in the output layer's input. Shape [time, batch, width].
            hidden: States of the last layer under dropout. Shape [time, batch, hidden].
            words: The previous words.
        """
        flat, scale = grad_features.flatten(0, 1), -self.weight
        if "hidden_to_embedding" in self.sums:
            self.sums["hidden_to_embedding"].addmm_(flat.t(), hidden.flatten(0, 1), alpha=scale)
        residual = self.generator.embedding_to_output
        if residual is not None:
            self.sums["embedding_to_output"].addmm_(flat.t(), words.embedded.flatten(0, 1), alpha=scale)
            self._add_embedded(flat @ residual, words)

    def add_layers(self, found: Sequence[LayerGradient], words: Words) -> None:
        """Add the gradients of the LSTM's layers, from the words upwards, and of its inputs."""
        scale, first = -self.weight, found[0]  # the gradients are of log p
        for sums, layer in zip(self._layers, found, strict=True):
            flat, previous = layer.grad_gates.flatten(0, 1), layer.previous.flatten(0, 1)
            if layer.mask is None:
                sums.recurrent.addmm_(flat.t(), previous, alpha=scale)
            else:
                sums.recurrent.addcmul_(flat.t() @ previous, layer.mask, value=scale)
            sums.inputs_to_gates.addmm_(flat.t(), layer.inputs.flatten(0, 1), alpha=scale)
            sums.gate_bias.add_(layer.grad_summed.sum(0), alpha=scale)
            sums.latent_to_initial.addmm_(layer.grad_initial.t(), layer.z, alpha=scale)
            sums.initial_bias.add_(layer.grad_initial.sum(0), alpha=scale)
        self.sums["latent_to_gates"].addmm_(first.grad_summed.t(), first.z, alpha=scale)
        self._add_embedded(first.grad_gates.flatten(0, 1) @ self.generator.words_to_gates, words)

    def _add_embedded(self, grad_embedded: Tensor, words: Words) -> None:
        """Add the gradient of log p in the embeddings under dropout [time·batch, embedding]; overwrites it."""
        if words.mask is not None:
            grad_embedded.view_as(words.embedded).mul_(words.mask)
        self.sums["embedding"].index_add_(0, words.ids.flatten(), grad_embedded, alpha=-self.weight)
