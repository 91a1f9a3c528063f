"""Sentences from codes: greedy, or ancestral with temperature, top-k and top-p, all codes side by side.

A sentence that has ended leaves the batch, so that the work shrinks with what is left.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from sritool.core.generator import Generator
from sritool.core.random import Stream
from sritool.corpus.tokenizer import BOS, EOS, FIRST_PREDICTED
from sritool.errors import UsageError

_ROWS = 512  # codes decoded at a time, which bounds the logits held


@dataclass(frozen=True)
class DecodingConfig:
    """How the next word is chosen."""

    greedy: bool = True
    temperature: float = 1.0  # of ancestral sampling
    top_k: int = 0  # keep the k likeliest; 0: all
    top_p: float = 1.0  # keep the smallest set with this much probability
    beam: int = 1  # hypotheses kept side by side in a search for the likeliest sentence; 1: none but greedy's
    max_length: int = 200  # tokens, </s> not counted

    def __post_init__(self) -> None:
        if self.temperature <= 0:
            raise UsageError(f"temperature {self.temperature}: give more than 0, or leave it out for greedy")
        if self.top_k < 0 or not 0 < self.top_p <= 1:
            raise UsageError(f"top-k {self.top_k}, top-p {self.top_p}: give k >= 0 and 0 < p <= 1")
        if self.beam < 1 or (self.beam > 1 and not self.greedy):
            raise UsageError(f"beam {self.beam}: give at least 1, and no ancestral decoding beside it")
        if self.max_length < 1:
            raise UsageError(f"max-length {self.max_length}: give at least 1")


def filter_logits(logits: Tensor, config: DecodingConfig) -> Tensor:
    """Logits [n, V] at the temperature, those outside top-k and top-p at −∞."""
    logits = logits / config.temperature
    if config.top_k and config.top_k < logits.shape[1]:
        kept = logits.topk(config.top_k, dim=1)
        logits = torch.full_like(logits, -torch.inf).scatter_(1, kept.indices, kept.values)
    if config.top_p < 1:
        ordered, indices = logits.sort(dim=1, descending=True)
        probabilities = ordered.softmax(1)
        before = probabilities.cumsum(1) - probabilities  # so that the word that crosses p is kept
        ordered = ordered.masked_fill(before >= config.top_p, -torch.inf)
        logits = torch.empty_like(logits).scatter_(1, indices, ordered)
    return logits


@torch.no_grad()
def decode(
    generator: Generator, z: Tensor, config: DecodingConfig, stream: Stream | None = None, first: int = 0
) -> list[list[int]]:
    """Token ids of a sentence for each code, </s> left out.

    Args: z [n, latent]; stream: needed unless greedy; a sentence's draws depend on its index alone, which is
          that in z, counted from `first`.
    """
    found: list[list[int]] = []
    for begin in range(0, len(z), _ROWS):
        found += _decode_rows(generator, z[begin : begin + _ROWS], config, stream, first + begin)
    return found


def _decode_rows(
    generator: Generator, z: Tensor, config: DecodingConfig, stream: Stream | None, first: int
) -> list[list[int]]:
    rows = torch.arange(len(z), device=z.device)
    hidden = generator.initial_hidden(z)
    cell = torch.zeros_like(hidden)
    constant = z @ generator.latent_to_gates.t() + generator.gate_bias
    words = torch.full_like(rows, BOS)
    tokens = torch.full((len(z), config.max_length), EOS, device=z.device)
    recurrent, from_words = generator.recurrent.t().contiguous(), generator.words_to_gates.t().contiguous()
    for position in range(config.max_length):
        gates = constant + generator.embedding[words] @ from_words + hidden @ recurrent
        out_gate, in_gate, forget, candidate = gates.chunk(4, dim=1)
        cell = forget.sigmoid() * cell + in_gate.sigmoid() * candidate.tanh()
        hidden = out_gate.sigmoid() * cell.tanh()
        logits = torch.addmm(generator.output_bias, hidden, generator.output.t())
        words = _choose(logits, config, stream, rows + first, position) + FIRST_PREDICTED
        tokens[rows, position] = words
        going = words != EOS
        if not bool(going.all()):
            rows, words, hidden = rows[going], words[going], hidden[going]
            cell, constant = cell[going], constant[going]
        if len(rows) == 0:
            break
    ends = (tokens == EOS).to(torch.int64).argmax(1)
    ends = torch.where((tokens == EOS).any(1), ends, config.max_length)
    return [row[:end] for row, end in zip(tokens.tolist(), ends.tolist(), strict=True)]


def _choose(
    logits: Tensor, config: DecodingConfig, stream: Stream | None, examples: Tensor, position: int
) -> Tensor:
    if config.greedy:
        return logits.argmax(1)
    assert stream is not None, "ancestral decoding needs a stream"
    # Inverse transform on one uniform a word: the draw depends on the sentence, not on who else is left.
    cumulative = filter_logits(logits, config).double().softmax(1).cumsum(1)
    share = stream.uniform(examples, 1, chain=position) * cumulative[:, -1:]
    return torch.searchsorted(cumulative, share, right=True).squeeze(1).clamp_max(logits.shape[1] - 1)
