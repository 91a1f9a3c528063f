"""log p(x|z) and its gradients in z and θ for a batch of sentences, without an autograd graph.

Each step of a chain repeats only what changes with z: the projection of z, the recurrence, and the output layer.
`Weights` and `Conditional` compute the words' projection, transposes and casts once.
"""

from __future__ import annotations

from functools import cached_property
from typing import NamedTuple

import torch
from torch import Tensor

from sritool.data.batches import Batch
from sritool.data.tokenizer import FIRST_PREDICTED
from sritool.model import hessian as curvature
from sritool.model.dropout import Masks, dropped
from sritool.model.generator import Generator
from sritool.model.output_layer import OutputLayer
from sritool.model.recurrence import RecurrentWeight
from sritool.model.stack import Stack
from sritool.model.theta_gradient import ThetaGradient, Words
from sritool.model.word_subset import WordSubset
from sritool.model.workspace import Workspace

_STATE_ELEMENTS = 1 << 26  # most recurrence states held at a time by a likelihood of many draws


class Weights:
    """A generator's parameters, laid out for the fast path; rebuilt after every update of θ.

    `precision`, "float32" or "bfloat16", is the type of the output layer's matrix products. The recurrence keeps the
    parameters' own type. Batches reuse the memory of the workspace.
    """

    def __init__(self, generator: Generator, precision: str = "float32", workspace: Workspace | None = None):
        self.generator = generator
        self.layers = generator.layers
        self.recurrent = [RecurrentWeight(layer.recurrent) for layer in self.layers]
        self.output = OutputLayer(generator, precision, workspace or Workspace())


class Evaluation(NamedTuple):
    """log p(x|z) in nats and its gradient in z."""

    log_likelihood: Tensor  # [..., batch]
    gradient: Tensor  # [..., batch, latent]


class Conditional:
    """p(x|·) for the sentences of one batch.

    z may have leading dimensions, [..., batch, latent]: many draws for each sentence in one call. If `static`,
    `evaluate` computes at padding too and multiplies those terms by 0, so that it waits for no value and can be
    captured as a CUDA graph; `log_likelihood` is then not available.
    """

    def __init__(self, weights: Weights, batch: Batch, static: bool = False) -> None:
        self.weights = weights
        self.batch = batch
        time, size = batch.targets.shape
        self.time, self.size = time, size
        self._stack: Stack | None = None  # of the last shape that was evaluated
        self._dropped: tuple[Tensor, list[RecurrentWeight]] | None = None  # by the last mask
        self._positions: dict[int, tuple[Tensor | None, Tensor]] = {}
        self._static = static
        self._padded = not static and not bool((batch.lengths == time).all())

    @cached_property
    def _embedded(self) -> Tensor:
        """The words' embeddings without dropout: [time, batch, embedding]."""
        return self.weights.generator.embedding.detach()[self.batch.inputs]

    @cached_property
    def _projected(self) -> Tensor:
        """The words' part of the gates, without dropout: [time, batch, 4·hidden]."""
        return self._words_to_gates(self._embedded)

    def _embedded_under(self, masks: Masks) -> Tensor:
        if masks.word is None:
            return dropped(self._embedded, masks.embedding)
        table = self.weights.generator.embedding.detach()
        return dropped(table[masks.inputs(self.batch.inputs)], masks.embedding)

    def _words_to_gates(self, embedded: Tensor, out: Tensor | None = None) -> Tensor:
        generator = self.weights.generator
        flat = None if out is None else out.flatten(0, 1)
        bias, weight = generator.gate_bias, generator.words_to_gates.t()
        projected = torch.addmm(bias, embedded.flatten(0, 1), weight, out=flat)
        return projected.view(self.time, self.size, weight.shape[1])

    def positions(self, draws: int) -> tuple[Tensor | None, Tensor]:
        """Predicted positions in [time·draws·batch] (None: all), and their targets' rows in the output layer."""
        if draws not in self._positions:
            targets = self.batch.targets.unsqueeze(1).expand(-1, draws, -1)
            flat = targets.reshape(-1) - FIRST_PREDICTED
            valid = (flat >= 0).nonzero().squeeze(1) if self._padded else None
            self._positions[draws] = (valid, flat.clamp_min(0) if valid is None else flat[valid])
        return self._positions[draws]

    def _per_sentence(self, chosen: Tensor, valid: Tensor | None, shape: torch.Size) -> Tensor:
        if valid is not None:
            full = chosen.new_zeros(self.time * shape.numel())
            chosen = full.index_copy_(0, valid, chosen)
        return chosen.view(self.time, *shape).sum(0)

    @torch.no_grad()
    def log_likelihood(self, z: Tensor) -> Tensor:
        """Return log p(x|z) without dropout: z [..., batch, latent] → nats [..., batch]."""
        assert not self._static, "padding would count"
        draws = z.reshape(z.shape[:-2].numel(), *z.shape[-2:])
        config = self.weights.generator.config
        per_draw = self.time * self.size * 8 * config.hidden * config.layers
        parts = draws.split(max(1, _STATE_ELEMENTS // per_draw))
        return torch.cat([self._log_likelihood(part) for part in parts]).view(z.shape[:-1])

    def _log_likelihood(self, z: Tensor) -> Tensor:
        features = self.features(self.run(z).outputs()).flatten(0, 1)
        valid, rows = self.positions(z.shape[0])
        log_p = self.weights.output.log_likelihood(features if valid is None else features[valid], rows)
        return self._per_sentence(log_p, valid, z.shape[:-1])

    @torch.no_grad()
    def evaluate(
        self,
        z: Tensor,
        masks: Masks | None = None,
        theta: ThetaGradient | None = None,
        subset: WordSubset | None = None,
    ) -> Evaluation:
        """Return log p(x|z) and ∇_z log p(x|z).

        Args:
            z: Codes. Shape [..., batch, latent]; [batch, latent] with masks, `theta` or a subset.
            masks: Dropout factors.
            theta: Accumulates the weighted gradients of the parameters.
            subset: The words of the softmax; None: all.
        """
        generator, masks = self.weights.generator, masks or Masks()
        embedded = self._embedded_under(masks) if masks.of_inputs else None
        rows = z.shape[:-1].numel()
        if self._stack is None or self._stack.rows != rows:
            self._stack = Stack(self.weights.layers, self.time, rows)
        stack = self.run(z, masks, embedded, self._stack)
        hidden = stack.outputs()
        features = self.features(hidden, embedded)
        log_likelihood, grad = self.through_output(features, z.shape[:-1], theta, subset)
        entered = self._embedded if embedded is None else embedded
        words = Words(masks.inputs(self.batch.inputs), entered, masks.embedding)
        if theta is not None:
            theta.add_features(grad, hidden, words)
        if generator.hidden_to_embedding is not None:
            grad = grad @ generator.hidden_to_embedding
        found = stack.backward(grad, words.embedded)
        if theta is not None:
            theta.add_layers(found, words)
        gradient = found[0].grad_summed @ generator.latent_to_gates
        for layer, of_layer in zip(self.weights.layers, found, strict=True):
            gradient.addmm_(of_layer.grad_initial, layer.latent_to_initial)
        return Evaluation(log_likelihood, gradient.view_as(z))

    def through_output(
        self,
        features: Tensor,
        shape: torch.Size,
        theta: ThetaGradient | None = None,
        subset: WordSubset | None = None,
    ) -> tuple[Tensor, Tensor]:
        """Return log p [*shape] and its gradient in the features, for features [time, draws·batch, width]."""
        valid, rows = self.positions(shape[:-1].numel())
        layer = self.weights.output
        if subset is not None:
            layer, rows = layer.of(subset), subset.targets if valid is None else subset.targets[valid]
        flat = features.flatten(0, 1)
        used = flat if valid is None else flat[valid]
        counted = self._counted(shape, features.dtype) if self._static else None
        log_p, grad = layer.gradient(used, rows, theta, counted)
        if valid is not None:
            grad = torch.zeros_like(flat).index_copy_(0, valid, grad)
        return self._per_sentence(log_p, valid, shape), grad.view_as(features)

    def _counted(self, shape: torch.Size, dtype: torch.dtype) -> Tensor:
        """1 at positions that are predicted, 0 at padding: [time·draws·batch]."""
        inside = (self.batch.targets >= FIRST_PREDICTED).unsqueeze(1)
        return inside.expand(-1, shape[:-1].numel(), -1).reshape(-1).to(dtype)

    def run(
        self,
        z: Tensor,
        masks: Masks | None = None,
        embedded: Tensor | None = None,
        stack: Stack | None = None,
    ) -> Stack:
        """Run all layers from z [..., batch, latent], under the masks, in the buffers of `stack` or in new ones.

        `embedded` holds the words under dropout, for z [batch, latent]; None: no dropout, projected once for all z.
        """
        codes, masks = z.flatten(0, -2), masks or Masks()
        stack = stack or Stack(self.weights.layers, self.time, codes.shape[0])
        latent = codes @ self.weights.generator.latent_to_gates.t()  # [draws·batch, 4·hidden]
        if embedded is not None:
            self._words_to_gates(embedded, stack.gates).add_(latent)
        else:
            by_draw = (z.shape[:-2].numel(), self.size, latent.shape[1])
            gates = stack.gates.view(self.time, *by_draw)
            torch.add(self._projected.unsqueeze(1), latent.view(by_draw), out=gates)
        stack.run(codes, self._recurrent_weights(masks), masks)
        return stack

    def features(self, hidden: Tensor, embedded: Tensor | None = None) -> Tensor:
        """Compute the output layer's input: last layer's states [time, rows, hidden] → [time, rows, width]."""
        generator = self.weights.generator
        features, residual = generator.before_output(hidden), generator.embedding_to_output
        if residual is None:
            return features
        if embedded is not None:
            return features + embedded @ residual.t()
        draws = features.shape[1] // max(1, self.size)
        by_draw: Tensor = features.unflatten(1, (draws, self.size)) + self._residual.unsqueeze(1)
        return by_draw.view_as(features)

    @cached_property
    def _residual(self) -> Tensor:
        """The words' part of the features, without dropout: [time, batch, width]."""
        weight = self.weights.generator.embedding_to_output
        assert weight is not None
        return self._embedded @ weight.t()

    def _recurrent_weights(self, masks: Masks) -> list[RecurrentWeight]:
        """Each layer's recurrent weight under its mask, which all steps of a chain share."""
        if masks.recurrent is None:
            return self.weights.recurrent
        if self._dropped is None or self._dropped[0] is not masks.recurrent:
            both = zip(self.weights.layers, masks.recurrent, strict=True)
            weights = [RecurrentWeight(layer.recurrent.detach() * mask) for layer, mask in both]
            self._dropped = masks.recurrent, weights
        return self._dropped[1]

    @torch.no_grad()
    def hessian(self, z: Tensor) -> Tensor:
        """Return ∇²_z (−log p(x|z)), symmetric: z [..., batch, latent] → [..., batch, latent, latent]."""
        return curvature.hessian(self, z)
