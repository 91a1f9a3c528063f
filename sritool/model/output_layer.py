"""The output layer without an autograd graph: log p of the targets and its gradient in the layer's input.

The gradient of log softmax has a closed form, W_target − Σ_v p_v W_v. So a position takes only two matrix products,
and no tensor of the size of the logits outlives its chunk.
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

_LOGITS = 1 << 23  # logits held at a time: 32 MB in float32
_LEAST = 128  # fewest positions at a time; where their logits exceed that memory, the weights take even more


class OutputLayer:
    """The generator's output layer, laid out for the fast path; rebuilt after every update of θ.

    `precision`, "float32" or "bfloat16", is the type of the matrix products. Softmax and sums keep the type of the
    parameters. The workspace provides the memory for the logits.
    """

    def __init__(self, generator: Generator, precision: str, workspace: Workspace) -> None:
        self._own_type = generator.output_bias.dtype
        is_rounded = precision == "bfloat16" and self._own_type == torch.float32
        self._type = torch.bfloat16 if is_rounded else self._own_type
        self.weight = generator.output_weight.detach().to(self._type)  # [V, width]
        self.bias = generator.output_bias.detach().to(self._type)  # [V]
        self._subset: WordSubset | None = None
        self._workspace = workspace

    def of(self, subset: WordSubset) -> Self:
        """Return the layer for these words alone, their logits raised by −log π; its rows index the subset."""
        other = copy.copy(self)
        other.weight = self.weight[subset.words]  # [size, width]
        other.bias = (self.bias[subset.words].to(self._own_type) - subset.log_inclusion).to(self._type)
        other._subset = subset
        return other

    def log_likelihood(self, features: Tensor, rows: Tensor) -> Tensor:
        """Return log p [n] in nats of the targets, rows of the layer [n], at features [n, width]."""
        log_p = features.new_empty(features.shape[0])
        for part, states, targets in self._chunks(features, rows):
            log_p[part] = self._log_softmax(states).gather(1, targets).squeeze(1)
        return log_p

    def gradient(
        self,
        features: Tensor,
        rows: Tensor,
        theta: ThetaGradient | None = None,
        counted: Tensor | None = None,
    ) -> tuple[Tensor, Tensor]:
        """Return `log_likelihood` and its gradient in the features [n, width].

        `theta` accumulates the layer's own gradient. `counted` [n] is 0 at padding, which must not count, else 1.
        """
        log_p, grad = features.new_empty(features.shape[0]), torch.empty_like(features)
        for part, states, targets in self._chunks(features, rows):
            log_softmax = self._log_softmax(states)  # [m, V]
            log_p[part] = log_softmax.gather(1, targets).squeeze(1)
            p = log_softmax.exp_()
            if self._type != self._own_type:
                p = self._logits(states).copy_(p)
            torch.sub(self.weight[targets.squeeze(1)], p @ self.weight, out=grad[part])
            if theta is not None:
                theta.add_expected(p, states, None if counted is None else counted[part], self._subset)
        if counted is not None:
            log_p.mul_(counted)
            grad.mul_(counted.unsqueeze(1))
        if theta is not None:
            theta.add_targets(features, rows if self._subset is None else self._subset.words[rows], counted)
        return log_p, grad

    def _log_softmax(self, states: Tensor) -> Tensor:
        """Log-probabilities of all words in the parameters' own type: states [m, width] → [m, V]."""
        logits = self._logits(states)
        torch.addmm(self.bias, states, self.weight.t(), out=logits)
        if self._type != self._own_type:
            like = logits.new_empty(0, dtype=self._own_type)
            logits = self._workspace.take("log softmax", logits.shape, like).copy_(logits)
        return torch.log_softmax(logits, -1, out=logits)

    def _logits(self, states: Tensor) -> Tensor:
        """A buffer of [m, V] in the products' type."""
        return self._workspace.take("logits", (len(states), len(self.bias)), self.bias)

    def _chunks(self, features: Tensor, rows: Tensor) -> Iterator[tuple[slice, Tensor, Tensor]]:
        """Yield (positions, their features, their targets [m, 1]), with a bounded number of logits at a time."""
        step = max(_LEAST, _LOGITS // self.weight.shape[0])
        for begin in range(0, features.shape[0], step):
            part = slice(begin, min(begin + step, features.shape[0]))
            yield part, features[part].to(self._type), rows[part].unsqueeze(1)
