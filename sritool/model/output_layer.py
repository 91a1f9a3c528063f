"""The output layer without an autograd graph: log p of the targets and its gradient in the hidden states.

With E = exp(h·Wᵀ) and c = exp(b), the softmax needs no pass of its own over the [n, V] logits:

    Σ_v p_v [W_v | 1] = E·(c ∘ [W | 1]) / (E·c),

so that one product gives normaliser and mean, and bias, division and the target's row stay out of [n, V]. In
bfloat16 the bias is free in the first product, and the normaliser is summed in float32 instead.
Where that could overflow or lose digits, and where a fused softmax is cheap (a GPU), the plain softmax is used.
"""

from __future__ import annotations

import copy
from collections.abc import Iterator
from typing import NamedTuple, Self

import torch
from torch import Tensor

from sritool.model.generator import Generator
from sritool.model.theta_gradient import COLUMNS, SoftmaxFactors, ThetaGradient
from sritool.model.word_subset import WordSubset
from sritool.model.workspace import Workspace

_BUFFER_ELEMENTS = 1 << 23  # logits held at a time: 32 MB in float32
_SUM_ELEMENTS = 1 << 17
_LARGEST_BIAS = 30.0
# Σ exp(logit) within these has lost no term above 1e-6 of it to underflow and is far from overflow.
_LEAST_SUM, _LARGEST_SUM = 1e-15, 1e30


class _Expected(NamedTuple):
    """What one chunk's softmax gives."""

    log_p: Tensor  # of the targets  [n]
    mean: Tensor  # Σ_v p_v W_v  [n, hidden]
    factors: SoftmaxFactors  # in the workspace


class OutputLayer:
    """The generator's output layer as the fast path wants it; made anew after every update of θ.

    Args: precision: "float32" or "bfloat16", the type of the matrix products.
    """

    def __init__(self, generator: Generator, precision: str, workspace: Workspace) -> None:
        own = generator.output.dtype
        self.type = torch.bfloat16 if precision == "bfloat16" and own == torch.float32 else own
        self.weight = generator.output.detach().to(self.type)  # [V, hidden]
        self.bias = generator.output_bias.detach().to(self.type)  # [V]
        self._own_type = own
        self._bias_in_product = self.type != own
        self._subset: WordSubset | None = None
        self._workspace = workspace
        self._scaled: Tensor | None = None  # c ∘ [W | 1 | 0 …]  [V, hidden + COLUMNS]
        on_cpu = self.weight.device.type == "cpu"
        self._unnormalised = on_cpu and (
            self._bias_in_product or bool(self.bias.abs().max() <= _LARGEST_BIAS)
        )

    def of(self, subset: WordSubset) -> Self:
        """The layer with these words alone, their logits raised by −log π; its rows are places among them."""
        other = copy.copy(self)
        other.weight = self.weight[subset.words]
        other.bias = (self.bias[subset.words].to(self._own_type) - subset.log_inclusion).to(self.type)
        other._subset, other._scaled = subset, None
        return other

    def log_likelihood(self, hidden: Tensor, rows: Tensor) -> Tensor:
        """log p of each position's target in nats: hidden [n, hidden], rows of the layer [n] → [n]."""
        log_p = hidden.new_empty(hidden.shape[0])
        factor = self.bias.exp()
        for part, states, targets in self._chunks(hidden, rows):
            if self._unnormalised:
                logits, chosen = self._without_softmax(states, targets)
                sums = self._sums(logits.exp_(), factor)
                if _reliable(sums):
                    log_p[part] = chosen - sums.log_()
                    continue
            logits = self._logits(states)
            torch.log_softmax(logits, -1, out=logits)
            log_p[part] = logits.gather(1, targets).squeeze(1).to(log_p.dtype)
        return log_p

    def gradient(
        self,
        hidden: Tensor,
        rows: Tensor,
        theta: ThetaGradient | None = None,
        counted: Tensor | None = None,
    ) -> tuple[Tensor, Tensor]:
        """log p [n] and its gradient in the hidden states [n, hidden]; `theta` gets the layer's own gradient.

        Args: counted [n]: 1, or 0 where a position is padding and nothing of it may count.
        """
        log_p, grad = hidden.new_empty(hidden.shape[0]), torch.empty_like(hidden)
        for part, states, targets in self._chunks(hidden, rows):
            expected = self._unnormalised_softmax(states, targets) if self._unnormalised else None
            if expected is None:
                expected = self._softmax(states, targets)
            log_p[part] = expected.log_p
            torch.sub(self.weight[targets.squeeze(1)], expected.mean, out=grad[part])
            if theta is not None:
                here = None if counted is None else counted[part]
                theta.add_expected(expected.factors, states, here, self._subset)
        if counted is not None:
            log_p.mul_(counted)
            grad.mul_(counted.unsqueeze(1))
        if theta is not None:
            theta.add_targets(hidden, rows if self._subset is None else self._subset.words[rows], counted)
        return log_p, grad

    def _unnormalised_softmax(self, states: Tensor, targets: Tensor) -> _Expected | None:
        """None where the sums are not to be relied on."""
        logits, chosen = self._without_softmax(states, targets)
        weights = logits.exp_()
        if self._bias_in_product:
            sums, total = self._sums(weights, self.bias), torch.mm(weights, self.weight)
        else:
            together, width = torch.mm(weights, self._scaled_weight()), self.weight.shape[1]
            sums, total = together[:, width], together[:, :width]
        if not _reliable(sums):
            return None
        factors = SoftmaxFactors(weights, sums, self._bias_in_product)
        return _Expected(chosen - sums.log(), total / sums.unsqueeze(1), factors)

    def _softmax(self, states: Tensor, targets: Tensor) -> _Expected:
        logits = self._logits(states)
        chosen = logits.gather(1, targets).squeeze(1).to(self._own_type)
        highest = logits.amax(-1).to(chosen.dtype)
        p = torch.softmax(logits, -1, out=logits)
        # The target's own p may underflow; that of the likeliest word cannot.
        log_p = chosen - highest + p.amax(-1).to(chosen.dtype).log_()
        return _Expected(log_p, torch.mm(p, self.weight), SoftmaxFactors(p, None, True))

    def _without_softmax(self, states: Tensor, targets: Tensor) -> tuple[Tensor, Tensor]:
        """Logits [n, V], in float32 without the bias, and those of the targets with it [n]."""
        if self._bias_in_product:
            logits = self._logits(states)
            return logits, logits.gather(1, targets).squeeze(1).to(self._own_type)
        logits = torch.mm(states, self.weight.t(), out=self._buffer(states))
        return logits, logits.gather(1, targets).squeeze(1) + self.bias[targets.squeeze(1)]

    def _sums(self, weights: Tensor, factor: Tensor) -> Tensor:
        if self._bias_in_product:
            sums = weights.new_empty(len(weights), dtype=self._own_type)
            rows = max(1, _SUM_ELEMENTS // weights.shape[1])
            # PyTorch makes a copy in the other type before it adds up: this keeps it within the cache.
            for part, into in zip(weights.split(rows), sums.split(rows), strict=True):
                torch.sum(part, -1, dtype=self._own_type, out=into)
            return sums
        return torch.mv(weights, factor)

    def _logits(self, states: Tensor) -> Tensor:
        return torch.addmm(self.bias, states, self.weight.t(), out=self._buffer(states))

    def _buffer(self, states: Tensor) -> Tensor:
        return self._workspace.logits(states.shape[0], self.bias)

    def _scaled_weight(self) -> Tensor:
        if self._scaled is None:
            (rows, width), factor = self.weight.shape, self.bias.exp()
            self._scaled = self._workspace.take("scaled weight", (rows, width + COLUMNS), self.weight)
            torch.mul(self.weight, factor.unsqueeze(1), out=self._scaled[:, :width])
            self._scaled[:, width] = factor
            self._scaled[:, width + 1 :] = 0.0
        return self._scaled

    def _chunks(self, hidden: Tensor, rows: Tensor) -> Iterator[tuple[slice, Tensor, Tensor]]:
        """(which positions, their states, their targets [n, 1]), a bounded number of logits at a time."""
        step = max(64, _BUFFER_ELEMENTS // self.weight.shape[0])
        for begin in range(0, hidden.shape[0], step):
            part = slice(begin, min(begin + step, hidden.shape[0]))
            yield part, hidden[part].to(self.type), rows[part].unsqueeze(1)


def _reliable(sums: Tensor) -> bool:
    least, largest = sums.aminmax()
    return float(least) >= _LEAST_SUM and float(largest) <= _LARGEST_SUM  # False for NaN
