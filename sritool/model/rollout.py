"""Runs the generator one word at a time, many sentences in parallel; every way of decoding uses it.

Nothing is differentiated, so the logits stay in one buffer, and greedy decoding needs no softmax. A word is found
among them in two stages: first one of filled / `_STEP` columns, whose maxima or sums run at the speed of the memory,
then one of the column's words. PyTorch's argmax or cumulative sum over all logits takes at least half as long as the
matrix product.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from typing import NamedTuple

import torch
from torch import Tensor

from sritool.data.tokenizer import BOS, FIRST_PREDICTED
from sritool.errors import NumericalError
from sritool.model.generator import Generator
from sritool.model.workspace import Workspace

_LOGITS = 1 << 23  # logits held at a time: 32 MB in float32
_TABLE = 1 << 24  # most numbers in a table of all words' projections: 64 MB in float32
_STEP = 16  # the output layer's rows are padded to a multiple of this


class State(NamedTuple):
    """What the next word depends on, one row per sentence."""

    features: Tensor  # the output layer's input  [n, width]
    hidden: tuple[Tensor, ...]  # of each layer  [n, hidden]
    cell: tuple[Tensor, ...]  # [n, hidden]
    constant: Tensor  # z's part of the first layer's gates, and the bias  [n, 4·hidden]

    def take(self, rows: Tensor) -> State:
        """Select rows, by a mask or their indices."""
        hidden, cell = (tuple(layer[rows] for layer in each) for each in (self.hidden, self.cell))
        return State(self.features[rows], hidden, cell, self.constant[rows])


class Rollout:
    """A generator's parameters, laid out for decoding; built for one call.

    Args:
        generator: p(x|z).
        sentences: About how many will be decoded; with many, each word of the vocabulary is projected once.
        banned: Ids of words that are never chosen; the softmax is over the others.
    """

    def __init__(self, generator: Generator, sentences: int, banned: Sequence[int] = ()) -> None:
        self._generator, self._workspace = generator, Workspace()
        output, self._layers = generator.output_weight, generator.layers
        self.vocabulary, width = output.shape  # of words that can be predicted
        # Each layer's weights on the layer below, if there is one, and on its own state, transposed.
        self._recurrent = [
            torch.cat((*((layer.inputs_to_gates,) if number else ()), layer.recurrent), 1).t().contiguous()
            for number, layer in enumerate(self._layers)
        ]
        # A transposed copy with the bias as one more row: fewer passes over the logits, faster for few rows.
        filled = -(-self.vocabulary // _STEP) * _STEP
        self._output = generator.output_bias.new_zeros(width + 1, filled)
        self._output[:-1, : self.vocabulary] = output.t()
        self._output[-1, : self.vocabulary] = generator.output_bias
        self._output[-1, self.vocabulary :] = -torch.inf
        self._output[-1, [word - FIRST_PREDICTED for word in banned]] = -torch.inf
        # A word's part of the first layer's gates and, by the residual connection, of the features.
        residual = generator.embedding_to_output
        projections = [generator.words_to_gates, *(() if residual is None else (residual,))]
        self._embedding, self._projection = generator.embedding, torch.cat(projections).t()
        self._widths = [len(each) for each in projections]
        often = 16 * sentences >= len(self._embedding)
        small = len(self._embedding) * sum(self._widths) <= _TABLE
        self._table = self._embedding @ self._projection if often and small else None
        # |h| ≤ 1, so no logit is larger than this; that of a banned word is −∞.
        between = generator.hidden_to_embedding
        most = output.new_ones(width) if between is None else between.abs().sum(1)
        if residual is not None:
            most = most + residual.abs() @ self._embedding.abs().amax(0)
        largest = (output.abs() @ most + generator.output_bias.clamp_min(0)).amax()
        self._zero_or_nan = largest * 0  # 0 while all is finite, else NaN; read once per word

    def require_finite(self) -> None:
        """Check that the scores of the next words are finite, before one is chosen.

        Raises:
            NumericalError: They are not.
        """
        if not math.isfinite(float(self._zero_or_nan)):
            raise NumericalError(
                "the scores of the next words are not finite; take an earlier checkpoint, or other codes"
            )

    def start(self, z: Tensor) -> State:
        """Return the state before the first word: z [n, latent]."""
        hidden = tuple(layer.initial_hidden(z) for layer in self._layers)
        constant = z @ self._generator.latent_to_gates.t() + self._generator.gate_bias
        first = self._words(torch.full((len(z),), BOS, device=z.device))
        cell = tuple(torch.zeros_like(each) for each in hidden)
        return self._step(State(hidden[-1], hidden, cell, constant), first)

    def advance(self, state: State, words: Tensor) -> State:
        """Return the state after one more word: ids [n]."""
        return self._step(state, self._words(words))

    def chunks(self, rows: int) -> Iterator[slice]:
        """Split the rows into parts whose logits fit into the buffer."""
        step = max(64, _LOGITS // self._output.shape[1])
        for begin in range(0, rows, step):
            yield slice(begin, min(begin + step, rows))

    def logits(self, features: Tensor) -> Tensor:
        """Compute the logits of the output layer's rows, −∞ for the padding: [n, width] → [n, filled].

        The result is a buffer that the next call overwrites; n is the length of a part from `chunks`.
        """
        with_one = torch.cat((features, features.new_ones(len(features), 1)), 1)
        out = self._workspace.take("logits", (len(features), self._output.shape[1]), features)
        return torch.mm(with_one, self._output, out=out)

    def likeliest(self, logits: Tensor) -> Tensor:
        """Index of the highest logit of each row: [n, filled] → [n]."""
        each = logits.unflatten(1, (_STEP, -1))  # [n, step, filled / step]
        column = each.amax(1).argmax(1)
        within = _column(each, column).argmax(1)
        return torch.add(column, within, alpha=each.shape[2])

    def drawn(self, logits: Tensor, uniform: Tensor) -> Tensor:
        """Draw an index from each row's softmax by inverse transform of a uniform [n, 1]: [n, filled] → [n].

        Overwrites the logits.
        """
        weights = logits.sub_(logits.amax(1, keepdim=True)).exp_().unflatten(1, (_STEP, -1))
        column, rest = _inverse(weights.sum(1), uniform)
        within, _ = _inverse(_column(weights, column), rest)
        return torch.add(column, within, alpha=weights.shape[2])

    def _words(self, words: Tensor) -> Tensor:
        """The words' part of the first layer's gates, and of the features if any: [n, 4·hidden (+ width)]."""
        return self._embedding[words] @ self._projection if self._table is None else self._table[words]

    def _step(self, state: State, words: Tensor) -> State:
        """Advance all layers by one word; overwrites words [n, …]."""
        gates, *residual = words.split(self._widths, 1)
        gates.add_(state.constant)
        hidden: list[Tensor] = []
        cells: list[Tensor] = []
        for number, weight in enumerate(self._recurrent):
            before = state.hidden[number]
            if number:
                below = torch.cat((hidden[-1], before), 1)
                gates = torch.addmm(self._layers[number].gate_bias, below, weight)
            else:
                gates = gates.addmm(before, weight)
            size = before.shape[1]
            out_gate, in_gate, forget = gates[:, : 3 * size].sigmoid_().chunk(3, dim=1)
            cells.append((forget * state.cell[number]).addcmul_(in_gate, gates[:, 3 * size :].tanh_()))
            hidden.append(out_gate * cells[-1].tanh())
        self._zero_or_nan = self._zero_or_nan + hidden[-1].sum() * 0
        features = self._generator.before_output(hidden[-1])
        if residual:
            features = features + residual[0]
        return State(features, tuple(hidden), tuple(cells), state.constant)


def _column(each: Tensor, column: Tensor) -> Tensor:
    """each [n, step, columns], column [n] → [n, step]."""
    return each.gather(2, column.view(-1, 1, 1).expand(-1, _STEP, 1)).squeeze(2)


def _inverse(weights: Tensor, uniform: Tensor) -> tuple[Tensor, Tensor]:
    """Index where a share of the weights' sum falls [n], and the rest as a share of that weight [n, 1]."""
    cumulative = weights.cumsum(1, dtype=torch.float64)
    share = uniform * cumulative[:, -1:]
    found = torch.searchsorted(cumulative, share, right=True).clamp_max_(weights.shape[1] - 1)
    weight = weights.gather(1, found)
    before = cumulative.gather(1, found) - weight
    return found.squeeze(1), ((share - before) / weight).clamp(0.0, 1.0)
