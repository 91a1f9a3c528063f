"""Small generators with random parameters and batches of random sentences."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import pytest
import torch

from sritool.config.settings import GeneratorConfig
from sritool.data.batches import Batch, collate
from sritool.data.split import Split
from sritool.data.tokenizer import EOS, UNK, offsets_of
from sritool.model.generator import Generator

MakeGenerator = Callable[..., Generator]
MakeBatch = Callable[..., Batch]


def split_of(sentences: Sequence[Sequence[int]]) -> Split:
    """A split of sentences, given as targets."""
    offsets = offsets_of([len(sentence) for sentence in sentences])
    flat = np.array([token for sentence in sentences for token in sentence], dtype=np.int32)
    return Split(ids=flat, offsets=offsets, labels=None)


def random_sentences(lengths: Sequence[int], vocabulary: int, seed: int = 0) -> list[list[int]]:
    """Targets with these numbers of predictions; the second sentence is cut, without </s>."""
    random = np.random.default_rng(seed)
    sentences = [[*random.integers(UNK, vocabulary, length - 1).tolist(), EOS] for length in lengths]
    if len(sentences) > 1:
        sentences[1][-1] = vocabulary - 1
    return sentences


@pytest.fixture(scope="session")
def make_split() -> Callable[[Sequence[Sequence[int]]], Split]:
    return split_of


@pytest.fixture(scope="session")
def make_generator() -> MakeGenerator:
    """A generator with every parameter uniform in (−scale, scale)."""

    def make(
        vocabulary: int = 11,
        embedding: int = 5,
        hidden: int = 7,
        latent: int = 3,
        scale: float = 0.8,
        dropout: float = 0.5,
        dtype: torch.dtype = torch.float64,
        seed: int = 0,
        **settings: Any,
    ) -> Generator:
        generator = Generator(GeneratorConfig(embedding, hidden, latent, dropout, **settings), vocabulary)
        generator.initialise(scale, seed)
        return generator.to(dtype)

    return make


@pytest.fixture(scope="session")
def make_batch() -> MakeBatch:
    """Random sentences with the given numbers of predictions, side by side."""

    def make(lengths: Sequence[int], vocabulary: int = 11, seed: int = 0) -> Batch:
        split = split_of(random_sentences(lengths, vocabulary, seed))
        return collate(split, list(range(len(lengths))))

    return make
