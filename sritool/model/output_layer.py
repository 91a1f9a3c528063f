"""The output layer without an autograd graph: log p of the targets and its gradient in the hidden states.

The gradient of log softmax is known in closed form, W_target − Σ_v p_v W_v, so that two matrix products a position
are all it takes and no tensor of the size of the logits outlives its chunk.
"""

from __future__ import annotations

import copy
from collections.abc import Iterator
from typing import Self

import torch
from torch import Tensor

from sritool.model.generator import Generator
from sritool.model.theta_gradient import ThetaGradient
from sritool.model.word_subset import WordSubset
from sritool.model.workspace import Workspace

_LOGITS = 1 << 23  # held at a time: 32 MB in float32


class OutputLayer:
    """The generator's output layer as the fast path wants it; made anew after every update of θ.

    Args:
        generator: Its `output_weight`, `output_bias` and `hidden_to_embedding` are the layer.
        precision: "float32" or "bfloat16", the type of the matrix products. Softmax and sums keep the type of the
            parameters.
        workspace: Memory for the logits.
    """

    def __init__(self, generator: Generator, precision: str, workspace: Workspace) -> None:
        self._own_type = generator.output_bias.dtype
        projection = generator.hidden_to_embedding
        self._projection = None if projection is None else projection.detach()  # [embedding, hidden]
        is_rounded = precision == "bfloat16" and self._own_type == torch.float32
        self._type = torch.bfloat16 if is_rounded else self._own_type
        self.weight = generator.output_weight.detach().to(self._type)  # [V, width]
        self.bias = generator.output_bias.detach().to(self._type)  # [V]
        self._subset: WordSubset | None = None
        self._workspace = workspace

    def of(self, subset: WordSubset) -> Self:
        """Return the layer with these words alone, their logits raised by −log π; its rows are places among them."""
        other = copy.copy(self)
        other.weight = self.weight[subset.words]  # [size, width]
        other.bias = (self.bias[subset.words].to(self._own_type) - subset.log_inclusion).to(self._type)
        other._subset = subset
        return other

    def log_likelihood(self, hidden: Tensor, rows: Tensor) -> Tensor:
        """Return log p of each position's target.

        Args:
            hidden: States. Shape [n, hidden].
            rows: The target's row in the layer. Shape [n], int64.

        Returns:
            Nats. Shape [n].
        """
        log_p = hidden.new_empty(hidden.shape[0])
        for part, states, targets in self._chunks(self._projected(hidden), rows):
            log_p[part] = self._log_softmax(states).gather(1, targets).squeeze(1)
        return log_p

    def gradient(
        self,
        hidden: Tensor,
        rows: Tensor,
        theta: ThetaGradient | None = None,
        counted: Tensor | None = None,
    ) -> tuple[Tensor, Tensor]:
        """Return log p of each position's target and its gradient in the states.

        Args:
            hidden: States. Shape [n, hidden].
            rows: The target's row in the layer. Shape [n], int64.
            theta: Gets the layer's own gradient.
            counted: 1, or 0 where a position is padding and nothing of it may count. Shape [n].

        Returns:
            Nats, shape [n], and the gradient, shape [n, hidden].
        """
        projected = self._projected(hidden)  # [n, width]
        log_p, grad = hidden.new_empty(hidden.shape[0]), torch.empty_like(projected)
        for part, states, targets in self._chunks(projected, rows):
            log_softmax = self._log_softmax(states)  # [m, V]
            log_p[part] = log_softmax.gather(1, targets).squeeze(1)
            p = log_softmax.exp_().to(self._type)
            torch.sub(self.weight[targets.squeeze(1)], p @ self.weight, out=grad[part])
            if theta is not None:
                theta.add_expected(p, states, None if counted is None else counted[part], self._subset)
        if counted is not None:
            log_p.mul_(counted)
            grad.mul_(counted.unsqueeze(1))
        if theta is not None:
            theta.add_targets(projected, rows if self._subset is None else self._subset.words[rows], counted)
        if self._projection is None:
            return log_p, grad
        if theta is not None:
            theta.add_projection(grad, hidden)
        return log_p, grad @ self._projection

    def _projected(self, hidden: Tensor) -> Tensor:
        """States as wide as the weight's rows: [n, hidden] → [n, width]."""
        return hidden if self._projection is None else hidden @ self._projection.t()

    def _log_softmax(self, states: Tensor) -> Tensor:
        """Log-probabilities of all words in the parameters' own type: states [m, width] → [m, V]."""
        logits = self._workspace.take("logits", (len(states), len(self.bias)), self.bias)
        torch.addmm(self.bias, states, self.weight.t(), out=logits)
        if self._type != self._own_type:
            return torch.log_softmax(logits, -1, dtype=self._own_type)
        return torch.log_softmax(logits, -1, out=logits)

    def _chunks(self, hidden: Tensor, rows: Tensor) -> Iterator[tuple[slice, Tensor, Tensor]]:
        """(which positions, their states, their targets [m, 1]), a bounded number of logits at a time."""
        step = max(64, _LOGITS // self.weight.shape[0])
        for begin in range(0, hidden.shape[0], step):
            part = slice(begin, min(begin + step, hidden.shape[0]))
            yield part, hidden[part].to(self._type), rows[part].unsqueeze(1)
