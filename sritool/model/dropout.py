"""Dropout masks of a batch, each a pure function of (seed, epoch, sentence, place in the chain).

Sources: one mask per sentence: Gal and Ghahramani 2016, "A theoretically grounded application of dropout in recurrent
neural networks"; whole words: Bowman et al. 2016, "Generating sentences from a continuous space"; recurrent
weights: Merity, Keskar and Socher 2018, "Regularizing and optimizing LSTM language models".
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import cached_property
from typing import NamedTuple

from torch import Tensor

from sritool.config.settings import GeneratorConfig
from sritool.data.batches import Batch
from sritool.data.tokenizer import UNK
from sritool.model.random import Stream, unpacked


class Masks(NamedTuple):
    """Dropout factors, 0 or 1/(1 − rate); None where nothing is dropped. With one mask per sentence, time is 1.

    `word` is not a factor: word dropout replaces a whole word by <unk>.
    """

    embedding: Tensor | None = None  # [time or 1, batch, embedding]
    hidden: Tensor | None = None  # of each layer's states  [layers, time or 1, batch, hidden]
    word: Tensor | None = None  # whether the word stays  [time, batch], bool
    recurrent: Tensor | None = None  # of the weights, for the whole batch  [layers, 4·hidden, hidden]

    @property
    def of_inputs(self) -> bool:
        """Whether something is dropped before the recurrence."""
        return self.embedding is not None or self.word is not None

    def inputs(self, words: Tensor) -> Tensor:
        """Replace the dropped words by <unk>: ids [time, batch]."""
        return words if self.word is None else words.masked_fill(~self.word, UNK)

    def part(self, sentences: Tensor) -> Masks:
        """Return the masks of some sentences."""
        embedding, word = (
            None if mask is None else mask[:, sentences] for mask in (self.embedding, self.word)
        )
        hidden = None if self.hidden is None else self.hidden[:, :, sentences]
        return Masks(embedding, hidden, word, self.recurrent)


def of_layer(masks: Tensor | None, layer: int) -> Tensor | None:
    """Return the mask of one layer, if there are masks."""
    return None if masks is None else masks[layer]


def dropped(values: Tensor, mask: Tensor | None) -> Tensor:
    """Apply a mask to values, if there is one."""
    return values if mask is None else values * mask


class _Drawn(NamedTuple):
    """Factors with one rate, drawn for a sentence at one place in the chain."""

    purpose: str  # of its random numbers, appended to the stream's
    widths: tuple[int, ...]  # of the parts that share the draw
    times: int
    rate: float

    @property
    def units(self) -> int:
        """Number of factors."""
        return self.times * sum(self.widths)


class Dropout:
    """Masks of every sentence at several places in a chain: random bits, expanded to factors on demand."""

    def __init__(self, config: GeneratorConfig, time: int, bits: Sequence[Tensor | None]) -> None:
        self.bits = tuple(bits)
        self._drawn = _drawn(config, time)
        self._layers = config.layers
        rows = 4 * config.hidden * config.layers
        self._recurrent = _Drawn(" of weights", (config.hidden,), rows, config.weight_drop)

    @classmethod
    def draw(
        cls,
        config: GeneratorConfig,
        batch: Batch,
        stream: Stream,
        indices: Sequence[int],
        whole: Batch | None = None,
    ) -> Dropout:
        """Draw each sentence's masks at these places in the chain.

        `whole` is the batch that `batch` is a part of; None: `batch` itself.
        """
        dropout = cls(config, batch.targets.shape[0], ())

        def bits(what: _Drawn, examples: Tensor, places: Sequence[int]) -> Tensor | None:
            purpose = stream._replace(purpose=stream.purpose + what.purpose)
            return purpose.keep(examples, what.units, what.rate, places) if what.rate else None

        own = [bits(what, batch.examples, indices) for what in dropout._drawn]
        # The first sentence of a training batch is the key of its weights' mask.
        first = (batch if whole is None else whole).examples[:1]
        dropout.bits = (*own, bits(dropout._recurrent, first, (0,)))
        return dropout

    @cached_property
    def recurrent(self) -> Tensor | None:
        """The factors of the recurrent weights, the same at all places: [layers, 4·hidden, hidden]."""
        bits, what = self.bits[-1], self._recurrent
        if bits is None:
            return None
        return unpacked(bits[0], what.units, what.rate).view(self._layers, -1, *what.widths)

    def masks(self, place: int) -> Masks | None:
        """Return the masks at indices[place]; None where nothing is dropped."""
        found: list[Tensor | None] = []
        for what, bits in zip(self._drawn, self.bits[:-1], strict=True):
            if bits is None:
                found += [None] * len(what.widths)
                continue
            flat = unpacked(bits[place], what.units, what.rate)
            # Time is the slower index of a sentence's factors, so that padding does not change them.
            by_time = flat.unflatten(1, (what.times, -1)).transpose(0, 1)
            found += by_time.split(what.widths, dim=-1)
        embedding, hidden, word = found
        if hidden is not None:
            hidden = hidden.unflatten(-1, (self._layers, -1)).movedim(2, 0)
        if word is not None:
            word = word.squeeze(-1) > 0
            word[0].fill_(True)  # <s> is never dropped
        masks = Masks(embedding, hidden, word, self.recurrent)
        return masks if any(mask is not None for mask in masks) else None


def _drawn(config: GeneratorConfig, time: int) -> list[_Drawn]:
    """What to draw, in the order of the fields of `Masks`."""
    times = 1 if config.dropout_mask == "sentence" else time
    inputs, outputs = config.input_rate, config.dropout
    words = _Drawn(" of words", (1,), time, config.word_dropout)
    states = config.hidden * config.layers
    if inputs == outputs:
        return [_Drawn("", (config.embedding, states), times, outputs), words]
    embeddings = _Drawn(" of inputs", (config.embedding,), times, inputs)
    return [embeddings, _Drawn("", (states,), times, outputs), words]
