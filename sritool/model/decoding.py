"""Decodes codes in parallel: greedily, by ancestral sampling (temperature, top-k, top-p), or by beam search.

A sentence that has ended leaves the batch, so the work shrinks.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import chain

import torch
from torch import Tensor

from sritool.data.tokenizer import EOS, FIRST_PREDICTED, UNK
from sritool.errors import UsageError
from sritool.model.beam import Search
from sritool.model.generator import Generator
from sritool.model.random import Stream
from sritool.model.rollout import Rollout

_ROWS = 4096  # sentences decoded at a time; many, as the last long sentences of each group run alone


_HOTTEST = 1e30  # highest temperature; the lowest is 1 / this: float32 holds logits divided by both


@dataclass(frozen=True)
class DecodingConfig:
    """How the next word is chosen.

    Raises:
        UsageError: A value is not allowed, or two contradict each other.
    """

    greedy: bool = True  # False: draw words; the next three settings need that
    temperature: float = 1.0
    top_k: int = 0  # keep the k likeliest; 0: all
    top_p: float = 1.0  # keep the smallest set with this much probability
    beam: int = 1  # open hypotheses of beam search; 1: no beam search
    max_length: int = 200  # tokens, </s> not counted
    no_unk: bool = False  # never choose <unk>: the other words share its probability

    def __post_init__(self) -> None:
        if not self.temperature > 0:  # refuses NaN too
            raise UsageError(f"temperature {self.temperature}: give more than 0, or leave it out for greedy")
        if not 1 / _HOTTEST <= self.temperature <= _HOTTEST:
            raise UsageError(
                f"temperature {self.temperature}: give one from {1 / _HOTTEST:g} to {_HOTTEST:g}"
            )
        if self.top_k < 0:
            raise UsageError(f"top-k {self.top_k}: give at least 0; 0 keeps all words")
        if not 0 < self.top_p <= 1:
            raise UsageError(f"top-p {self.top_p}: give 0 < p <= 1")
        if self.beam < 1 or (self.beam > 1 and not self.greedy):
            raise UsageError(
                f"beam {self.beam}: give at least 1, and do not combine it with ancestral decoding"
            )
        if self.greedy and (self.temperature, self.top_k, self.top_p) != (1, 0, 1):
            raise UsageError(
                "temperature, top-k and top-p are for drawn words: give greedy=False, or leave them out"
            )
        if self.max_length < 1:
            raise UsageError(f"max-length {self.max_length}: give at least 1")


def filter_logits(logits: Tensor, config: DecodingConfig) -> Tensor:
    """Divide logits [n, V] by the temperature, and set those outside top-k and top-p to −∞."""
    if config.temperature != 1:
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


def decode(
    generator: Generator, z: Tensor, config: DecodingConfig, stream: Stream | None = None
) -> list[list[int]]:
    """Decode a sentence from each code; arguments and errors as in `decode_parts`."""
    return [*chain.from_iterable(decode_parts(generator, z, config, stream))]


@torch.no_grad()
def decode_parts(
    generator: Generator,
    z: Tensor,
    config: DecodingConfig,
    stream: Stream | None = None,
    first: int = 0,
    done: Callable[[int], None] = lambda _: None,
) -> Iterator[list[list[int]]]:
    """Decode a sentence from each code, many at a time.

    Args:
        generator: p(x|z).
        z: Codes. Shape [n, latent].
        config: How the next word is chosen.
        stream: Random numbers; ancestral decoding needs them.
        first: Index of the first sentence. A sentence's draws depend only on its index.
        done: Called after every word with the number of sentences that have ended.

    Yields:
        Token ids of each sentence of a part, without </s>.

    Raises:
        NumericalError: The scores of the next words are not finite.
    """
    rollout = Rollout(generator, len(z) * config.beam, (UNK,) if config.no_unk else ())
    step = max(1, _ROWS // config.beam)
    for begin in range(0, len(z), step):
        part = z[begin : begin + step]

        def so_far(ended: int, before: int = begin) -> None:
            done(before + ended)

        if config.beam > 1:
            yield Search(rollout, part, config.beam, config.max_length).run(so_far)
        else:
            yield _decode_rows(rollout, part, config, stream, first + begin, so_far)


def _decode_rows(
    rollout: Rollout,
    z: Tensor,
    config: DecodingConfig,
    stream: Stream | None,
    first: int,
    done: Callable[[int], None],
) -> list[list[int]]:
    rows = torch.arange(len(z), device=z.device)
    state = rollout.start(z)
    tokens = torch.full((len(z), config.max_length), EOS, device=z.device)
    for position in range(config.max_length):
        rollout.require_finite()
        words = _choose(rollout, state.features, config, stream, rows + first, position) + FIRST_PREDICTED
        tokens[rows, position] = words
        going = words != EOS
        if not bool(going.all()):
            rows, words, state = rows[going], words[going], state.take(going)
        done(len(z) - len(rows))
        if len(rows) == 0 or position + 1 == config.max_length:
            break
        state = rollout.advance(state, words)
    ends = (tokens != EOS).sum(1)  # all later ones are EOS still
    return [row[:end] for row, end in zip(tokens.tolist(), ends.tolist(), strict=True)]


def _choose(
    rollout: Rollout,
    features: Tensor,
    config: DecodingConfig,
    stream: Stream | None,
    examples: Tensor,
    position: int,
) -> Tensor:
    if not config.greedy:
        assert stream is not None, "ancestral decoding needs a stream"
        # One uniform per word: the draw depends on the sentence, not on which others remain.
        uniform = stream.uniform(examples, 1, chain=position)
    found = torch.empty_like(examples)
    for part in rollout.chunks(len(features)):
        logits = rollout.logits(features[part])
        if config.greedy:
            found[part] = rollout.likeliest(logits)
        else:
            found[part] = rollout.drawn(filter_logits(logits, config), uniform[part])
    return found
