"""Dropout masks of a batch, each a pure function of (seed, epoch, sentence, place in the chain).

Source: with one mask a sentence, Gal and Ghahramani 2016, "A theoretically grounded application of dropout in
recurrent neural networks".
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from torch import Tensor

from sritool.config.settings import GeneratorConfig
from sritool.data.batches import Batch
from sritool.model.random import Kept, Stream


class Masks(NamedTuple):
    """Dropout factors, 0 or 1/(1 − rate); None where nothing is dropped. One mask a sentence has time 1."""

    embedding: Tensor | None = None  # [time or 1, batch, embedding]
    hidden: Tensor | None = None  # [time or 1, batch, hidden]

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
    rate: float


class Dropout:
    """The masks of every sentence at several places of a chain: random bits, spread to factors when asked for.

    Args:
        config: Its rates.
        time: Positions of the batch.
        bits: As another of the same settings and time has them.
    """

    def __init__(self, config: GeneratorConfig, time: int, bits: Sequence[Tensor | None]) -> None:
        self.bits = tuple(bits)
        self._times = 1 if config.dropout_mask == "sentence" else time
        self._drawn = _drawn(config)

    @classmethod
    def draw(cls, config: GeneratorConfig, batch: Batch, stream: Stream, indices: Sequence[int]) -> Dropout:
        """Those with these indices among each sentence's masks."""
        dropout = cls(config, batch.targets.shape[0], ())
        dropout.bits = tuple(
            stream._replace(purpose=stream.purpose + what.purpose)
            .keep(batch.examples, dropout._times * sum(what.widths), what.rate, indices)
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
            flat = Kept(bits, self._times * sum(what.widths), what.rate).factors(place)
            # Time is the slower index of a sentence's own factors, so that padding does not change them.
            by_time = flat.view(flat.shape[0], self._times, -1).transpose(0, 1)
            found += by_time.split(what.widths, dim=-1)
        return Masks(*found) if any(mask is not None for mask in found) else None


def _drawn(config: GeneratorConfig) -> list[_Drawn]:
    """In the order of the fields of `Masks`."""
    if config.input_rate == config.dropout:
        return [_Drawn("", (config.embedding, config.hidden), config.dropout)]
    return [
        _Drawn(" of inputs", (config.embedding,), config.input_rate),
        _Drawn("", (config.hidden,), config.dropout),
    ]
