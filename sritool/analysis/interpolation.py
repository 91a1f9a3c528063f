"""Decodes sentences between two codes, and measures how smoothly they change."""

from __future__ import annotations

import itertools
from collections.abc import Hashable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch

from sritool.data.blocks import name_of
from sritool.data.readers import read_sentences
from sritool.errors import DataError, UsageError
from sritool.evaluation.metrics import Array, mean_and_error
from sritool.evaluation.posterior_codes import CodeSettings, codes_of_text
from sritool.model.decoding import DecodingConfig
from sritool.model.random import Stream
from sritool.runs.model import Decoded, Floats, Report, TrainedModel

STRANGERS = 200  # pairs of independent samples, as the baseline for the distance of neighbours

Pair = tuple[str, str]


@dataclass(frozen=True)
class Way:
    """Path from one code to another. Raises: UsageError for fewer than two points."""

    points: int = 7  # both ends included
    spherical: bool = False  # along the arc, not the straight line

    def __post_init__(self) -> None:
        if self.points < 2:
            raise UsageError(f"points {self.points}: give at least 2, which are the two ends")


class Smoothness(NamedTuple):
    """Edit distances between neighbours, in words inserted, deleted or replaced."""

    neighbours: float  # mean over lines
    neighbours_error: float  # its standard error over lines; NaN for one
    strangers: float  # mean over pairs of independent samples of the prior, decoded in the same way
    strangers_error: float
    distinct: float  # share of different sentences in a line, mean over lines


def prior_pairs(model: TrainedModel, n: int, seed: int) -> Floats:
    """Draw n pairs of codes from the prior, [n, 2, latent]; a larger n begins with the same pairs."""
    return model.prior(2 * n, seed).reshape(n, 2, model.latent)


def sentence_pairs(
    model: TrainedModel,
    pairs: Sequence[Pair],
    chains: int | None,
    seed: int,
    report: Report = lambda *_: None,
) -> Floats:
    """Encode pairs of sentences, [n, 2, latent], by the mean of `chains` chains (None: by the mean of q(z|x))."""
    sentences = [sentence for pair in pairs for sentence in pair]
    codes = codes_of_text(model, sentences, CodeSettings(chains=chains, seed=seed), report=report)
    return codes.reshape(len(pairs), 2, model.latent)


def read_pairs(text: Path | str) -> list[Pair]:
    """Read tab-separated pairs of sentences from a file or "-", one pair per line.

    Raises: DataError, which names the line, if a line is not a pair.
    """
    where = name_of(Path(text))
    lines = [line.rstrip("\r") for line in read_sentences(Path(text), form="text").texts]
    return [parse_pair(line, f"{where} line {number}") for number, line in enumerate(lines, 1)]


def parse_pair(line: str, where: str) -> Pair:
    """Split a line into two sentences at its tab. Raises: DataError, which begins with `where`, without one tab."""
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
    report: Report = lambda *_: None,
) -> list[list[Decoded]]:
    """Decode `way.points` sentences on each line between two codes, both ends included.

    `ends` holds the first and last code of each line, [n, 2, latent]. The seed sets the drawn words.
    """
    lines = [codes_between(first, last, way.points, way.spherical) for first, last in ends]
    found = model.decode_whole(np.concatenate(lines), config, seed, report=report)
    return [found[begin : begin + way.points] for begin in range(0, len(found), way.points)]


def interpolate_once(
    model: TrainedModel,
    way: Way,
    seed: int,
    config: DecodingConfig,
    between: Pair | None = None,
    chains: int | None = None,
) -> list[str]:
    """Decode one line, between two sentences or between two draws of the prior.

    Sentences are encoded as in `sentence_pairs`. The seed sets the draws, the chains' noise and the drawn words.

    Raises: UsageError if the model has no z, or `between` is not two sentences.
    """
    model.require_latent("interpolate")
    if between is None:
        ends = prior_pairs(model, 1, seed)
    elif isinstance(between, str) or len(between) != 2:
        raise UsageError(f"between is {between!r}; give two sentences")
    else:
        ends = sentence_pairs(model, [between], chains, seed)
    return [sentence.text for sentence in interpolate(model, ends, way, config, seed)[0]]


def edit_distance(one: Sequence[Hashable], other: Sequence[Hashable]) -> int:
    """Return the fewest insertions, deletions and substitutions that turn one token sequence into the other.

    Source: Levenshtein 1966; by the dynamic programme of Wagner and Fischer 1974.
    """
    row = list(range(len(other) + 1))
    for i, token in enumerate(one, 1):
        diagonal, row[0] = row[0], i
        for j, against in enumerate(other, 1):
            cost = diagonal if token == against else 1 + min(diagonal, row[j], row[j - 1])
            diagonal, row[j] = row[j], cost
    return row[-1]


def edits(sentences: Sequence[str]) -> list[int]:
    """Return the edit distance of each sentence but the first to the one before it."""
    words = [text.split() for text in sentences]
    return [edit_distance(one, other) for one, other in itertools.pairwise(words)]


def smoothness(
    model: TrainedModel, lines: Sequence[Sequence[str]], config: DecodingConfig, seed: int
) -> Smoothness:
    """Measure how smoothly lines change, compared with pairs of independent samples of the prior.

    Lines are sentences that the model decoded with `config`; the seed sets the independent samples.
    """
    means = np.array([np.mean(edits(line)) for line in lines])
    numbers = torch.arange(2 * STRANGERS)
    codes = Stream(seed, "interpolation strangers").normal(numbers, model.latent).numpy()
    others = model.decode(codes, config, seed)
    strangers = np.array([edits(others[i : i + 2])[0] for i in range(0, len(others), 2)])
    distinct = float(np.mean([len(set(line)) / len(line) for line in lines]))
    return Smoothness(*mean_and_error(means), *mean_and_error(strangers), distinct)


def codes_between(first: Floats, last: Floats, points: int, spherical: bool = False) -> Floats:
    """Return codes [points, latent] on the line or arc from one code [latent] to another, with exact ends.

    The arc turns the direction at an even rate (Shoemake 1985, slerp) and changes the norm linearly, so that codes on
    the way are about as far from 0 as the ends, like draws of the prior. If one end is 0, the straight line is taken.
    Opposite directions have no shortest arc: it goes through the coordinate axis that is nearest to a right angle or,
    in one dimension, along the line.
    """
    a, b, t = first.astype(np.float64), last.astype(np.float64), np.linspace(0.0, 1.0, points)[:, None]
    codes = _arc(a, b, t) if spherical else (1 - t) * a + t * b
    codes[0], codes[-1] = a, b
    return codes.astype(np.float32)


def _arc(a: Array, b: Array, t: Array) -> Array:
    line, norms = (1 - t) * a + t * b, (np.linalg.norm(a), np.linalg.norm(b))
    if not all(norms):
        return line
    u, v = a / norms[0], b / norms[1]
    across = v - (u @ v) * u
    angle = np.arctan2(np.linalg.norm(across), u @ v)
    if np.linalg.norm(across) < 1e-7:  # the same direction, or the opposite one
        axis = np.zeros_like(u)
        axis[np.abs(u).argmin()] = 1.0
        across = axis - (u @ axis) * u
        if np.linalg.norm(across) < 1e-7:
            return line
    across /= np.linalg.norm(across)
    directions: Array = np.cos(t * angle) * u + np.sin(t * angle) * across
    return ((1 - t) * norms[0] + t * norms[1]) * directions
