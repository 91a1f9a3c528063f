"""Batches of the sizes that the presets train on, with random words instead of a corpus."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from sritool.config.presets import PRESETS
from sritool.config.settings import GeneratorConfig
from sritool.data.batches import Batch, collate
from sritool.data.split import Split
from sritool.data.tokenizer import EOS, UNK, offsets_of
from sritool.errors import UsageError


@dataclass(frozen=True)
class Shape:
    """One batch: sizes of the generator, of the vocabulary and of the sentences."""

    name: str
    preset: str
    vocabulary: int  # ids, with <pad>, <s>, </s> and <unk>
    length: int  # predictions per sentence, </s> included
    batch: int
    embedding: int
    hidden: int
    latent: int
    dropout: float

    @property
    def tokens(self) -> int:
        """Predictions in a batch without padding."""
        return self.length * self.batch

    @property
    def sizes(self) -> str:
        """The sizes as text, for the note of a table."""
        return (
            f"V {self.vocabulary:,}, T {self.length}, B {self.batch}, "
            f"H {self.hidden}, E {self.embedding}, d {self.latent}"
        )


def _of_preset(name: str, vocabulary: int, length: int) -> Shape:
    values = PRESETS[name]
    sizes = GeneratorConfig(**values["generator"])
    batch = values.get("training", {}).get("batch_size", 32)
    widths = (sizes.embedding, sizes.hidden, sizes.latent, sizes.dropout)
    return Shape(name, name, vocabulary, length, batch, *widths)


# Mean length with </s> and vocabulary of the training split, as `sritool preprocess` counts them. Exceptions: snli
# and yahoo have the usual figures for these samples, and yahoo's vocabulary is the limit of the loader.
SHAPES: dict[str, Shape] = {
    shape.name: shape
    for shape in (
        _of_preset("ptb", 10_002, 22),
        _of_preset("snli", 10_000, 10),
        _of_preset("captions", 5_009, 13),
        _of_preset("yelp", 8_355, 10),
        _of_preset("yahoo", 20_003, 80),
        _of_preset("tiny", 643, 13),
        Shape("middle", "captions", 8_000, 16, 32, embedding=128, hidden=256, latent=32, dropout=0.5),
        Shape("micro", "tiny", 40, 5, 4, embedding=6, hidden=8, latent=4, dropout=0.5),  # for tests
    )
}
PRESET_SHAPES = tuple(PRESETS)


def shapes_named(names: list[str]) -> list[Shape]:
    """Return the shapes of these names.

    Raises:
        UsageError: A name is unknown.
    """
    unknown = [name for name in names if name not in SHAPES]
    if unknown:
        raise UsageError(f"no shape {unknown[0]!r}; there are {', '.join(SHAPES)}")
    return [SHAPES[name] for name in names]


def random_split(shape: Shape, sentences: int, padded: bool = False, seed: int = 0) -> Split:
    """Draw sentences of uniform words, each of `shape.length` predictions; if padded, of half that or more."""
    random = np.random.default_rng(seed)
    lengths = np.full(sentences, shape.length)
    if padded:
        lengths[1:] = random.integers(max(1, shape.length // 2), shape.length + 1, sentences - 1)
    offsets = offsets_of(lengths.tolist())
    ids = random.integers(UNK, shape.vocabulary, int(offsets[-1])).astype(np.int32)
    ids[offsets[1:] - 1] = EOS
    return Split(ids=ids, offsets=offsets, labels=None)


def random_batch(shape: Shape, padded: bool = False, sentences: int | None = None, seed: int = 0) -> Batch:
    """Make one batch of random sentences on the CPU."""
    count = sentences or shape.batch
    return collate(random_split(shape, count, padded, seed), range(count))
