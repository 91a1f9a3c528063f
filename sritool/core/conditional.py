"""log p(x|z), its gradient in z and in θ for a batch of sentences, without an autograd graph.

What a chain repeats twenty times is only what changes with z: the projection of z, the recurrence, and the
output layer, whose gradient (softmax − onehot)·W is two matrix products in place of a kept [N, V] graph.
The words' projection, transposes and casts are made once, by `Weights` and `Conditional`.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

import torch
from torch import Tensor

from sritool.core import recurrence
from sritool.core.config import GeneratorConfig
from sritool.core.generator import Generator
from sritool.core.random import Stream
from sritool.core.theta_gradient import BeforeOutput, Masks, ThetaGradient
from sritool.corpus.batches import Batch
from sritool.corpus.tokenizer import FIRST_PREDICTED

_BUFFER_ELEMENTS = 1 << 23  # logits held at a time: 32 MB in float32
_TANGENT_ELEMENTS = 1 << 27  # numbers held at a time by forward-mode tangents
_STATE_ELEMENTS = 1 << 26  # recurrence states held at a time by a likelihood of many draws
_SMALLEST = 1e-38  # a probability that underflows in float32 counts as this


class Weights:
    """A generator's parameters as the fast path wants them; made anew after every update of θ.

    Args: precision: "float32" or "bfloat16", the type of the output layer's matrix products. The recurrence
          keeps the parameters' own type.
    """

    def __init__(self, generator: Generator, precision: str = "float32", workspace: Workspace | None = None):
        self.generator = generator
        self.recurrent_t = generator.recurrent.detach().t().contiguous()
        own = generator.output.dtype
        self.output_type = torch.bfloat16 if precision == "bfloat16" and own == torch.float32 else own
        self.output = generator.output.detach().to(self.output_type)
        self.output_bias = generator.output_bias.detach().to(self.output_type)
        self.workspace = workspace or Workspace()


class Workspace:
    """One buffer for logits that every batch reuses, so that no step waits for 30 MB of fresh pages."""

    def __init__(self) -> None:
        self._flat: Tensor | None = None

    def logits(self, rows: int, like: Tensor) -> Tensor:
        """An uninitialised [rows, len(like)] tensor of the type and device of `like`."""
        need = rows * like.shape[0]
        flat = self._flat
        if flat is None or flat.numel() < need or flat.dtype != like.dtype or flat.device != like.device:
            self._flat = flat = like.new_empty(need)
        return flat[:need].view(rows, like.shape[0])


def dropout_masks(config: GeneratorConfig, batch: Batch, stream: Stream, index: int) -> Masks | None:
    """The index-th dropout masks of each sentence of the batch; None where the rate is 0."""
    if config.dropout == 0:
        return None
    time, size = batch.targets.shape
    widths = (config.embedding, config.hidden)
    flat = stream.keep(batch.examples, time * sum(widths), config.dropout, index)
    # Time is the slower index of a sentence's own factors, so that padding does not change them.
    both = flat.view(size, time, sum(widths)).transpose(0, 1)
    return Masks(*both.split(widths, dim=-1))


class Evaluation(NamedTuple):
    """log p(x|z) in nats and its gradient in z."""

    log_likelihood: Tensor  # [..., batch]
    gradient: Tensor  # [..., batch, latent]


class Conditional:
    """p(x|·) for the sentences of one batch.

    z may have leading dimensions, [..., batch, latent]: many draws for each sentence in one call.
    """

    def __init__(self, weights: Weights, batch: Batch) -> None:
        self.weights = weights
        self.batch = batch
        time, size = batch.targets.shape
        self.time, self.size = time, size
        self._words: Tensor | None = None
        self._positions: dict[int, tuple[Tensor | None, Tensor]] = {}
        self._padded = not bool((batch.lengths == time).all())

    def _embedded(self, masks: Masks | None) -> Tensor:
        embedded = self.weights.generator.embedding[self.batch.inputs]
        return embedded if masks is None else embedded * masks.embedding

    def _words_to_gates(self, embedded: Tensor) -> Tensor:
        generator = self.weights.generator
        flat = torch.addmm(generator.gate_bias, embedded.flatten(0, 1), generator.words_to_gates.t())
        return flat.view(self.time, self.size, -1)

    def _gate_inputs(self, z: Tensor, masks: Masks | None) -> Tensor:
        """Everything that enters the gates but the recurrence: [time, draws·batch, 4·hidden]."""
        generator = self.weights.generator
        if masks is not None:
            words = self._words_to_gates(self._embedded(masks))
        else:
            if self._words is None:
                self._words = self._words_to_gates(self._embedded(None))
            words = self._words
        latent = z.flatten(0, -2) @ generator.latent_to_gates.t()  # [draws·batch, 4·hidden]
        return (words.unsqueeze(1) + latent.view(-1, self.size, latent.shape[-1])).flatten(1, 2)

    def _rows(self, draws: int) -> tuple[Tensor | None, Tensor]:
        """Positions that are predicted, in [time·draws·batch] (None: all), and their rows in the output layer."""
        if draws not in self._positions:
            targets = self.batch.targets.unsqueeze(1).expand(-1, draws, -1)
            flat = targets.reshape(-1) - FIRST_PREDICTED
            valid = (flat >= 0).nonzero().squeeze(1) if self._padded else None
            self._positions[draws] = (valid, flat if valid is None else flat[valid])
        return self._positions[draws]

    def _chunks(self, hidden: Tensor, rows: Tensor) -> Iterator[tuple[slice, Tensor, Tensor, Tensor]]:
        """(rows, hidden states, logits in the workspace, targets [n, 1]), a bounded number of logits at a time."""
        weights = self.weights
        step = max(64, _BUFFER_ELEMENTS // weights.output.shape[0])
        for begin in range(0, hidden.shape[0], step):
            part = slice(begin, min(begin + step, hidden.shape[0]))
            states = hidden[part].to(weights.output_type)
            logits = weights.workspace.logits(states.shape[0], weights.output_bias)
            torch.addmm(weights.output_bias, states, weights.output.t(), out=logits)
            yield part, states, logits, rows[part].unsqueeze(1)

    def _per_sentence(self, chosen: Tensor, valid: Tensor | None, shape: torch.Size) -> Tensor:
        if valid is not None:
            full = chosen.new_zeros(self.time * shape.numel())
            chosen = full.index_copy_(0, valid, chosen)
        return chosen.view(self.time, *shape).sum(0)

    @torch.no_grad()
    def log_likelihood(self, z: Tensor) -> Tensor:
        """log p(x|z) in nats, without dropout: z [..., batch, latent] → [..., batch]."""
        draws = z.reshape(z.shape[:-2].numel(), *z.shape[-2:])
        per_draw = self.time * self.size * 8 * self.weights.generator.config.hidden
        parts = draws.split(max(1, _STATE_ELEMENTS // per_draw))
        return torch.cat([self._log_likelihood(part) for part in parts]).view(z.shape[:-1])

    def _log_likelihood(self, z: Tensor) -> Tensor:
        hidden = self._run(z, None).hidden[1:]
        valid, rows = self._rows(z.shape[0])
        flat = hidden.flatten(0, 1)
        flat = flat if valid is None else flat[valid]
        chosen = flat.new_empty(flat.shape[0])
        for part, _, logits, targets in self._chunks(flat, rows):
            torch.log_softmax(logits, -1, out=logits)
            chosen[part] = logits.gather(1, targets).squeeze(1).to(chosen.dtype)
        return self._per_sentence(chosen, valid, z.shape[:-1])

    @torch.no_grad()
    def evaluate(
        self, z: Tensor, masks: Masks | None = None, theta: ThetaGradient | None = None
    ) -> Evaluation:
        """log p(x|z) and ∇_z log p(x|z); with `theta`, adds its weighted parameter gradients there too.

        Args: z [..., batch, latent]; masks: dropout factors, for z [batch, latent] only.
        """
        generator = self.weights.generator
        states = self._run(z, masks)
        hidden = states.hidden[1:] if masks is None else states.hidden[1:] * masks.hidden
        log_likelihood, grad_hidden = self._output_layer(hidden, z.shape[:-1], theta)
        if masks is not None:
            grad_hidden.mul_(masks.hidden)
        grad_gates, grad_initial = recurrence.run_backward(states, grad_hidden, generator.recurrent)
        grad_latent = grad_gates.sum(0)
        gradient = grad_latent @ generator.latent_to_gates + grad_initial @ generator.latent_to_initial
        if theta is not None:
            before = BeforeOutput(
                z, self._embedded(masks), masks, states, grad_gates, grad_latent, grad_initial
            )
            theta.add_recurrence(before, self.batch.inputs)
        return Evaluation(log_likelihood, gradient.view_as(z))

    def _output_layer(
        self, hidden: Tensor, shape: torch.Size, theta: ThetaGradient | None
    ) -> tuple[Tensor, Tensor]:
        """log p [*shape] and its gradient in the hidden states [time, draws·batch, hidden]."""
        valid, rows = self._rows(shape.numel() // self.size)
        flat = hidden.flatten(0, 1)
        used = flat if valid is None else flat[valid]
        chosen, grad_used = used.new_empty(used.shape[0]), torch.empty_like(used)
        for part, inputs, logits, targets in self._chunks(used, rows):
            residual = torch.softmax(logits, -1, out=logits)
            chosen[part] = residual.gather(1, targets).squeeze(1).to(chosen.dtype)
            residual.scatter_add_(1, targets, residual.new_full((1, 1), -1.0).expand(targets.shape))
            grad_used[part] = torch.mm(residual, self.weights.output).neg_()
            if theta is not None:
                theta.add_output(residual, inputs)
        log_likelihood = self._per_sentence(chosen.clamp_min_(_SMALLEST).log_(), valid, shape)
        grad_flat = grad_used if valid is None else torch.zeros_like(flat).index_copy_(0, valid, grad_used)
        return log_likelihood, grad_flat.view_as(hidden)

    @torch.no_grad()
    def hessian(self, z: Tensor) -> Tensor:
        """∇²_z (−log p(x|z)): z [batch, latent] → [batch, latent, latent], symmetric.

        Gauss-Newton part of the output layer, Σ_n A_nᵀ (diag p_n − p_n p_nᵀ) A_n with A_n = W ∂h_n/∂z, plus
        the curvature of the recurrence under the output layer's gradient: one forward-mode tangent a latent
        dimension for the whole batch, and one [V, hidden] product a tangent in place of two.
        """
        generator = self.weights.generator
        words = self._gate_inputs(torch.zeros_like(z), None)
        _, grad_hidden = self._output_layer(self._run(z, None).hidden[1:], z.shape[:-1], None)

        def hidden_states(code: Tensor) -> Tensor:
            inputs = words + code @ generator.latent_to_gates.t()
            return recurrence.lstm(inputs, generator.initial_hidden(code), generator.recurrent)

        def with_pullback(code: Tensor) -> tuple[Tensor, Tensor]:
            hidden, pull, *_ = torch.func.vjp(hidden_states, code)
            return hidden, pull(grad_hidden)[0]

        def along(direction: Tensor) -> tuple[Tensor, Tensor]:
            _, tangents, *_ = torch.func.jvp(with_pullback, (z,), (direction.expand_as(z),))
            along_hidden, along_gradient = tangents
            return along_hidden, along_gradient

        axes = torch.eye(z.shape[1], dtype=z.dtype, device=z.device)
        per_tangent = self.time * self.size * 20 * generator.config.hidden
        together = max(1, _TANGENT_ELEMENTS // per_tangent)
        # [latent, time, batch, hidden] and [latent, batch, latent]
        jacobian, curvature = torch.func.vmap(along, chunk_size=together)(axes)
        total = self._gauss_newton(z, jacobian) - curvature.transpose(0, 1)
        return 0.5 * (total + total.mT)

    def _gauss_newton(self, z: Tensor, jacobian: Tensor) -> Tensor:
        """Σ_n A_nᵀ (diag p_n − p_n p_nᵀ) A_n of each sentence: [batch, latent, latent]."""
        output, bias = self.weights.generator.output, self.weights.generator.output_bias
        latent, hidden = z.shape[1], self._run(z, None).hidden[1:].flatten(0, 1)
        tangents = jacobian.flatten(1, 2).transpose(0, 1)  # [time·batch, latent, hidden]
        valid, _ = self._rows(1)
        if valid is not None:
            hidden, tangents = hidden[valid], tangents[valid]
        parts = []
        step = max(1, _BUFFER_ELEMENTS // (output.shape[0] * latent))
        for begin in range(0, hidden.shape[0], step):
            here = slice(begin, begin + step)
            root = torch.softmax(hidden[here] @ output.t() + bias, -1).sqrt_().unsqueeze(1)  # [n, 1, V]
            flat = tangents[here].reshape(-1, output.shape[1])
            scaled = (flat @ output.t()).view(-1, latent, output.shape[0]).mul_(root)
            mean = scaled @ root.mT  # [n, latent, 1]
            parts.append(scaled @ scaled.mT - mean @ mean.mT)
        per_position = torch.cat(parts)
        if valid is not None:
            full = per_position.new_zeros(self.time * self.size, latent, latent)
            per_position = full.index_copy_(0, valid, per_position)
        return per_position.view(self.time, self.size, latent, latent).sum(0)

    def _run(self, z: Tensor, masks: Masks | None) -> recurrence.States:
        initial = self.weights.generator.initial_hidden(z.flatten(0, -2))
        return recurrence.run(self._gate_inputs(z, masks), initial, self.weights.recurrent_t)
