"""Dropout masks of a batch, each a pure function of (seed, epoch, sentence, place in the chain)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from torch import Tensor

from sritool.config.settings import GeneratorConfig
from sritool.data.batches import Batch
from sritool.model.random import Kept, Stream


class Masks(NamedTuple):
    """Dropout factors, 0 or 1/(1 − rate)."""

    embedding: Tensor  # [time, batch, embedding]
    hidden: Tensor  # [time, batch, hidden]


class Dropout(NamedTuple):
    """The masks of every sentence at several places of a chain: random bits, spread to factors when asked for."""

    time: int
    widths: tuple[int, int]  # embedding, hidden
    kept: Kept | None  # None: nothing is dropped

    @classmethod
    def draw(cls, config: GeneratorConfig, batch: Batch, stream: Stream, indices: Sequence[int]) -> Dropout:
        """Those with these indices among each sentence's masks."""
        time, widths = batch.targets.shape[0], (config.embedding, config.hidden)
        count = time * sum(widths)
        kept = stream.keep(batch.examples, count, config.dropout, indices) if config.dropout else None
        return cls(time, widths, kept)

    def masks(self, place: int) -> Masks | None:
        """Those of indices[place]; None where the rate is 0."""
        if self.kept is None:
            return None
        flat = self.kept.factors(place)
        # Time is the slower index of a sentence's own factors, so that padding does not change them.
        both = flat.view(flat.shape[0], self.time, sum(self.widths)).transpose(0, 1)
        return Masks(*both.split(self.widths, dim=-1))
