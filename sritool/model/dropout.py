"""Dropout masks of a batch, each a pure function of (seed, epoch, sentence, place in the chain).

Sources: with one mask a sentence, Gal and Ghahramani 2016, "A theoretically grounded application of dropout in
recurrent neural networks"; of whole words, Bowman et al. 2016, "Generating sentences from a continuous space".
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from torch import Tensor

from sritool.config.settings import GeneratorConfig
from sritool.data.batches import Batch
from sritool.data.tokenizer import UNK
from sritool.model.random import Kept, Stream


class Masks(NamedTuple):
    """Dropout factors, 0 or 1/(1 − rate); None where nothing is dropped. One mask a sentence has time 1.

    `word` is no factor: under word dropout a whole word goes in as <unk>.
    """

    embedding: Tensor | None = None  # [time or 1, batch, embedding]
    hidden: Tensor | None = None  # [time or 1, batch, hidden]
    word: Tensor | None = None  # whether the word stays  [time, batch], bool

    @property
    def of_inputs(self) -> bool:
        """Whether something is dropped before the recurrence."""
        return self.embedding is not None or self.word is not None

    def inputs(self, words: Tensor) -> Tensor:
        """What goes in for these words: ids [time, batch]."""
        return words if self.word is None else words.where(self.word, UNK)

    def part(self, sentences: Tensor) -> Masks:
        """Those of some sentences."""
        return Masks(*(None if mask is None else mask[:, sentences] for mask in self))


def dropped(values: Tensor, mask: Tensor | None) -> Tensor:
    """Return the values under a mask, if there is one."""
    return values if mask is None else values * mask


class _Drawn(NamedTuple):
    """What is drawn for a sentence at a place of the chain, with one rate."""

    purpose: str  # of its random numbers, beside that of the whole
    widths: tuple[int, ...]  # of the parts that share the draw
    times: int
    rate: float

    @property
    def units(self) -> int:
        """How many factors."""
        return self.times * sum(self.widths)


class Dropout:
    """The masks of every sentence at several places of a chain: random bits, spread to factors when asked for.

    Args:
        config: Its rates.
        time: Positions of the batch.
        bits: As another of the same settings and time has them.
    """

    def __init__(self, config: GeneratorConfig, time: int, bits: Sequence[Tensor | None]) -> None:
        self.bits = tuple(bits)
        self._drawn = _drawn(config, time)

    @classmethod
    def draw(cls, config: GeneratorConfig, batch: Batch, stream: Stream, indices: Sequence[int]) -> Dropout:
        """Those with these indices among each sentence's masks."""
        dropout = cls(config, batch.targets.shape[0], ())
        dropout.bits = tuple(
            stream._replace(purpose=stream.purpose + what.purpose)
            .keep(batch.examples, what.units, what.rate, indices)
            .words
            if what.rate
            else None
            for what in dropout._drawn
        )
        return dropout

    def masks(self, place: int) -> Masks | None:
        """Those of indices[place]; None where nothing is dropped."""
        found: list[Tensor | None] = []
        for what, bits in zip(self._drawn, self.bits, strict=True):
            if bits is None:
                found += [None] * len(what.widths)
                continue
            flat = Kept(bits, what.units, what.rate).factors(place)
            # Time is the slower index of a sentence's own factors, so that padding does not change them.
            by_time = flat.view(flat.shape[0], what.times, -1).transpose(0, 1)
            found += by_time.split(what.widths, dim=-1)
        embedding, hidden, word = found
        if word is not None:
            word = word.squeeze(-1) > 0
            word[0] = True  # <s>
        elif embedding is None and hidden is None:
            return None
        return Masks(embedding, hidden, word)


def _drawn(config: GeneratorConfig, time: int) -> list[_Drawn]:
    """In the order of the fields of `Masks`."""
    times = 1 if config.dropout_mask == "sentence" else time
    inputs, outputs = config.input_rate, config.dropout
    words = _Drawn(" of words", (1,), time, config.word_dropout)
    if inputs == outputs:
        return [_Drawn("", (config.embedding, config.hidden), times, outputs), words]
    return [
        _Drawn(" of inputs", (config.embedding,), times, inputs),
        _Drawn("", (config.hidden,), times, outputs),
        words,
    ]
