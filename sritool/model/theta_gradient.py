"""Accumulates the gradient for θ along a chain, from factors that the backward pass for z computes anyway."""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor

from sritool.model.dropout import Masks
from sritool.model.generator import Generator
from sritool.model.word_subset import WordSubset
from sritool.model.workspace import Workspace

_ROWS = 256  # of a large matrix at a time
COLUMNS = 16  # beside the hidden units: one for the bias, the rest keep the products' width a multiple of 16


class SoftmaxFactors(NamedTuple):
    """p of every word at n positions, or what it is but for its normaliser and its bias."""

    values: Tensor  # [n, V]
    sums: Tensor | None  # what normalises them  [n]; None: they are p
    with_bias: bool  # False: exp(bias) of each word is left out


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
    """Accumulates weight · Σ_batch ∇_θ(−log p(x|z)) over calls of `Conditional.evaluate` on one batch.

    Outer products are added where the chain's own backward pass has their factors at hand, so that the
    gradient at a visited z needs no second pass. Rows that belong to words (of the embedding, and of the output
    layer's targets) are the same at every z: their factors are summed first and scattered once. It never
    touches `Parameter.grad` until `assign`.

    Args: workspace: memory for the gradients, which hold until the next accumulation in it begins; None: their own.
    """

    def __init__(self, generator: Generator, workspace: Workspace | None = None) -> None:
        self.generator = generator
        self.weight = 1.0
        self._workspace = workspace or Workspace()
        elsewhere = ("output", "output_bias", "embedding")
        self.sums = {
            n: self._memory(n).zero_() for n, _ in generator.named_parameters() if n not in elsewhere
        }
        # Σ_n p_n ⊗ [h_n | 1 | 0 …], with the factor exp(bias) of each row in it or left out: [V, hidden + COLUMNS]
        self._expected: dict[bool, Tensor] = {}
        self._rows: Tensor | None = None  # of the targets  [n]
        self._targets: Tensor | None = None  # Σ weight·h  [n, hidden]
        self._target_weight: Tensor | None = None  # Σ weight  [n]
        self._inputs: Tensor | None = None  # [time, batch]
        self._embedded: Tensor | None = None  # Σ weight·∇ of the embedded words  [time, batch, embedding]

    def add_expected(
        self,
        factors: SoftmaxFactors,
        hidden: Tensor,
        counted: Tensor | None = None,
        subset: WordSubset | None = None,
    ) -> None:
        """Softmax part: hidden [n, hidden].

        Args: counted [n]: 1, or 0 where nothing is to be added; subset: the words that the factors are of.
        """
        rows, width = hidden.shape
        states = hidden.new_zeros(rows, width + COLUMNS)
        states[:, :width] = hidden
        states[:, width] = 1.0
        if factors.sums is not None:
            states /= factors.sums.unsqueeze(1)
        if counted is not None:
            states *= counted.unsqueeze(1)
        if subset is None:
            self.add_products(factors.values, states, factors.with_bias)
        else:
            self._scatter_products(factors, states, subset)

    def add_products(self, values: Tensor, states: Tensor, with_bias: bool = True) -> None:
        """Σ_n values_n ⊗ states_n: [n, V] with [n, hidden + COLUMNS], whose column `hidden` is the bias's."""
        into, is_new = self._expected_sum(states.shape[1], with_bias)
        if values.dtype == into.dtype:
            into.addmm_(values.t(), states, beta=0.0 if is_new else 1.0, alpha=self.weight)
        else:
            # PyTorch makes a copy in the other type before it adds: in parts, that stays within the cache.
            for part, products in zip(into.split(_ROWS), (values.t() @ states).split(_ROWS), strict=True):
                (part.zero_() if is_new else part).add_(products, alpha=self.weight)

    def _scatter_products(self, factors: SoftmaxFactors, states: Tensor, subset: WordSubset) -> None:
        """The same for factors [n, size] of some words: their mean over subsets is the sum over all words."""
        into, is_new = self._expected_sum(states.shape[1], factors.with_bias)
        products = (factors.values.t() @ states).to(into.dtype)
        if not factors.with_bias:  # a subset's biases hold −log π, and are left out of the factors
            products *= subset.log_inclusion.neg().exp().unsqueeze(1)
        (into.zero_() if is_new else into).index_add_(0, subset.words, products, alpha=self.weight)

    def _expected_sum(self, width: int, with_bias: bool) -> tuple[Tensor, bool]:
        """Memory for Σ_n p_n ⊗ [h_n | 1 | 0 …], [V, width], and whether it is new and holds nothing of use."""
        is_new = with_bias not in self._expected
        if is_new:
            name, shape = f"expected, bias {with_bias}", (len(self.generator.output), width)
            self._expected[with_bias] = self._workspace.take(name, shape, self.generator.output)
        return self._expected[with_bias], is_new

    def word_mass(self) -> Tensor:
        """Σ weight·p of every word over the positions that were added so far: [V]."""
        width, mass = self.generator.config.hidden, torch.zeros_like(self.generator.output_bias)
        for with_bias, total in self._expected.items():
            factor = 1.0 if with_bias else self.generator.output_bias.exp()
            mass += total[:, width] * factor
        return mass

    def add_targets(
        self, hidden: Tensor, rows: Tensor, counted: Tensor | None = None, bias: bool = True
    ) -> None:
        """Onehot part: hidden [n, hidden] at positions whose targets are these rows [n] of the output layer.

        Args: counted [n]: 1, or 0 where nothing is to be added; bias: whether the targets' biases get their 1.
        """
        if self._targets is None or self._target_weight is None:
            self._targets, self._rows = torch.zeros_like(hidden), rows
            self._target_weight = hidden.new_zeros(len(rows))
        if counted is None:
            self._targets.add_(hidden, alpha=self.weight)
            self._target_weight += self.weight * bias
        else:
            self._targets.addcmul_(hidden, counted.unsqueeze(1), value=self.weight)
            self._target_weight.add_(counted, alpha=self.weight * bias)

    def add_recurrence(self, before: BeforeOutput, inputs: Tensor) -> None:
        """Everything before the output layer; inputs [time, batch]. The minus sign: gradients are of log p."""
        sums, scale = self.sums, -self.weight
        z, embedded, masks, previous, grad_gates, grad_latent, grad_initial = before
        flat = grad_gates.flatten(0, 1)
        sums["recurrent"].addmm_(flat.t(), previous.flatten(0, 1), alpha=scale)
        sums["words_to_gates"].addmm_(flat.t(), embedded.flatten(0, 1), alpha=scale)
        sums["latent_to_gates"].addmm_(grad_latent.t(), z, alpha=scale)
        sums["gate_bias"].add_(grad_latent.sum(0), alpha=scale)
        sums["latent_to_initial"].addmm_(grad_initial.t(), z, alpha=scale)
        sums["initial_bias"].add_(grad_initial.sum(0), alpha=scale)
        grad_embedded = (flat @ self.generator.words_to_gates).view_as(embedded)
        if self._embedded is None:
            self._embedded, self._inputs = torch.zeros_like(embedded), inputs
        if masks is None:
            self._embedded.add_(grad_embedded, alpha=scale)
        else:
            self._embedded.addcmul_(grad_embedded, masks.embedding, value=scale)

    @torch.no_grad()
    def gradients(self) -> dict[str, Tensor]:
        """The sums so far, by the parameters' names; ends the accumulation."""
        assert self._embedded is not None, "nothing was added"
        assert self._inputs is not None
        embedding = self._memory("embedding").zero_()
        embedding.index_add_(0, self._inputs.flatten(), self._embedded.flatten(0, 1))
        return self.sums | self.of_output_layer() | {"embedding": embedding}

    @torch.no_grad()
    def of_output_layer(self) -> dict[str, Tensor]:
        """The output layer's part of `gradients`."""
        assert self._targets is not None, "nothing was added"
        assert self._rows is not None
        assert self._target_weight is not None
        width, (output, bias) = self.generator.config.hidden, map(self._memory, ("output", "output_bias"))
        if not self._expected:  # a batch of padding alone: nothing was written to this memory
            output.zero_()
            bias.zero_()
        for place, (with_bias, total) in enumerate(self._expected.items()):
            factor = bias.new_ones(1) if with_bias else self.generator.output_bias.exp()
            if place == 0:
                torch.mul(total[:, :width], factor.unsqueeze(1), out=output)
                torch.mul(total[:, width], factor, out=bias)
            else:
                output.addcmul_(total[:, :width], factor.unsqueeze(1))
                bias.addcmul_(total[:, width], factor)
        output.index_add_(0, self._rows, self._targets, alpha=-1.0)
        bias.index_add_(0, self._rows, self._target_weight, alpha=-1.0)
        return {"output": output, "output_bias": bias}

    def _memory(self, name: str) -> Tensor:
        """For the gradient of this parameter."""
        parameter = self.generator.get_parameter(name)
        return self._workspace.take(f"gradient of {name}", parameter.shape, parameter.detach())

    def assign(self) -> None:
        """Write the sums to the parameters' `.grad`."""
        for name, gradient in self.gradients().items():
            self.generator.get_parameter(name).grad = gradient
