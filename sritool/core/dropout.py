"""Dropout masks of a batch, each a pure function of (seed, epoch, sentence, place in the chain)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from torch import Tensor

from sritool.core.config import GeneratorConfig
from sritool.core.random import Stream
from sritool.corpus.batches import Batch


class Masks(NamedTuple):
    """Dropout factors, 0 or 1/(1 − rate)."""

    embedding: Tensor  # [time, batch, embedding]
    hidden: Tensor  # [time, batch, hidden]


class Dropout:
    """The masks of every sentence at several places of a chain.

    Their random bits are drawn together and spread to factors one place at a time, when asked for.

    Args: indices: which of each sentence's masks, as many as there are places.
    """

    def __init__(self, config: GeneratorConfig, batch: Batch, stream: Stream, indices: Sequence[int]) -> None:
        self._time, self._size = batch.targets.shape
        self._widths = (config.embedding, config.hidden)
        count = self._time * sum(self._widths)
        self._kept = stream.keep(batch.examples, count, config.dropout, indices) if config.dropout else None

    def masks(self, place: int) -> Masks | None:
        """Those of indices[place]; None where the rate is 0."""
        if self._kept is None:
            return None
        flat = self._kept.factors(place)
        # Time is the slower index of a sentence's own factors, so that padding does not change them.
        both = flat.view(self._size, self._time, sum(self._widths)).transpose(0, 1)
        return Masks(*both.split(self._widths, dim=-1))
