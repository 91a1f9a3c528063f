"""Sentences on the way from one code to another, and how smoothly they change."""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch

from sritool.analysis import latent_paths
from sritool.analysis.text_metrics import edit_distance
from sritool.data.readers import read_sentences
from sritool.errors import DataError, UsageError
from sritool.evaluation.posterior_codes import CodeSettings, codes_of_split
from sritool.model.decoding import DecodingConfig
from sritool.model.random import Stream
from sritool.runs.model import Floats, Report, TrainedModel

STRANGERS = 200  # pairs of independent samples that the distance of neighbours is held against

Pair = tuple[str, str]


@dataclass(frozen=True)
class Way:
    """From one code to another."""

    points: int = 7  # both ends included
    spherical: bool = False  # along the arc

    def __post_init__(self) -> None:
        if self.points < 2:
            raise UsageError(f"points {self.points}: give at least 2, which are the two ends")


class Smoothness(NamedTuple):
    """How far neighbours are apart, in words inserted, deleted or replaced."""

    neighbours: float  # mean over lines
    neighbours_error: float  # its standard error over lines; NaN for one
    strangers: float  # mean of two independent samples of the prior, decoded alike
    strangers_error: float
    distinct: float  # share of a line's sentences that differ, mean over lines


def prior_pairs(model: TrainedModel, n: int, seed: int) -> Floats:
    """n pairs of codes from the prior: [n, 2, latent]; the first of more are the same."""
    model.require_latent("interpolate")
    return model.prior(2 * n, seed).reshape(n, 2, model.latent)


def sentence_pairs(
    model: TrainedModel, pairs: Sequence[Pair], chains: int, seed: int, report: Report | None = None
) -> Floats:
    """Codes of pairs of sentences, each the mean of so many chains: [n, 2, latent].

    Raises: UsageError if the model has no z.
    """
    model.require_latent("interpolate")
    split = model.split([sentence for pair in pairs for sentence in pair])
    how = CodeSettings(chains=chains, seed=seed)
    codes = codes_of_split(model, split, np.arange(len(split)), how, report=report, keep=False)
    return codes.reshape(len(pairs), 2, model.latent)


def read_pairs(text: Path | str) -> list[Pair]:
    """Pairs of a file or "-", one a line, a tab between the two. Raises: DataError naming the line."""
    where = "standard input" if str(text) == "-" else str(text)
    try:
        lines = [line.rstrip("\r") for line in read_sentences(Path(text), form="text").texts]
    except DataError as error:
        pairs = "two sentences a line, a tab between them"
        raise DataError(str(error).replace("one sentence a line", pairs)) from error
    return [parse_pair(line, f"{where} line {number}") for number, line in enumerate(lines, 1)]


def parse_pair(line: str, where: str) -> Pair:
    """Two sentences with a tab between them. Raises: DataError."""
    parts = line.split("\t")
    if len(parts) != 2:
        count = "no tab" if len(parts) == 1 else f"{len(parts) - 1} tabs"
        raise DataError(f"{where} has {count}; give two sentences with one tab between them")
    return parts[0], parts[1]


def interpolate(
    model: TrainedModel,
    ends: Floats,
    way: Way,
    config: DecodingConfig,
    seed: int,
    report: Report | None = None,
) -> list[list[str]]:
    """The sentences of each line, both ends included: ends [n, 2, latent] → n lists of `way.points`."""
    lines = [latent_paths.between(first, last, way.points, way.spherical) for first, last in ends]
    found = model.decode(np.concatenate(lines), config, seed, report=report)
    return [found[begin : begin + way.points] for begin in range(0, len(found), way.points)]


def interpolate_once(
    model: TrainedModel,
    way: Way,
    seed: int,
    config: DecodingConfig,
    between: Pair | None = None,
    chains: int = 5,
) -> list[str]:
    """One line: between the codes of two sentences, or between two draws of the prior."""
    ends = sentence_pairs(model, [between], chains, seed) if between else prior_pairs(model, 1, seed)
    return interpolate(model, ends, way, config, seed)[0]


def edits(sentences: Sequence[str]) -> list[int]:
    """Of each sentence but the first, the distance to the one before it; 0 where it is repeated."""
    words = [text.split() for text in sentences]
    return [edit_distance(one, other) for one, other in itertools.pairwise(words)]


def smoothness(
    model: TrainedModel, lines: Sequence[Sequence[str]], config: DecodingConfig, seed: int
) -> Smoothness:
    """Of these lines; what they are held against does not depend on them."""
    means = [float(np.mean(edits(line))) for line in lines]
    everyone = torch.arange(2 * STRANGERS)
    codes = Stream(seed, "interpolation strangers").normal(everyone, model.latent).numpy()
    others = model.decode(codes, config, seed)
    strangers = [edits(others[i : i + 2])[0] for i in range(0, len(others), 2)]
    distinct = float(np.mean([len(set(line)) / len(line) for line in lines]))
    return Smoothness(*_mean(means), *_mean(strangers), distinct)


def _mean(values: Sequence[float]) -> tuple[float, float]:
    """With its standard error."""
    error = float(np.std(values, ddof=1)) / math.sqrt(len(values)) if len(values) > 1 else math.nan
    return float(np.mean(values)), error
