"""Latent traversal: a code is moved along one dimension at a time and decoded at each step."""

from __future__ import annotations

import difflib
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from sritool.errors import UsageError
from sritool.evaluation.posterior_codes import CodeSettings, codes_of_text
from sritool.inference.langevin import FARTHEST
from sritool.model.decoding import DecodingConfig
from sritool.runs.model import TrainedModel

FEW = 3  # dimensions shown by default


class Step(NamedTuple):
    """The code with one coordinate replaced, and the decoded sentence."""

    dimension: int  # from 1
    value: float  # of that coordinate, in standard deviations of the prior
    changed: int  # words that differ from the sentence of the unmoved code, as `count_changed` counts them
    sentence: str


class Traversal(NamedTuple):
    """All steps, dimension by dimension."""

    source: str  # the sentence that was encoded, or a description of the prior draw
    code: tuple[float, ...]  # [latent]
    sentence: str  # decoded from the unmoved code
    steps: list[Step]


def traverse(
    model: TrainedModel,
    sentence: str | None = None,
    dimensions: Sequence[int] = (),
    points: int = 7,
    reach: float = 3.0,
    seed: int = 0,
    max_length: int = 200,
) -> Traversal:
    """Decode a code greedily while one coordinate takes each of `points` values from −reach to reach.

    Args:
        model: A model with z.
        sentence: Its mean of q(z|x) is the code; None: the first draw of the prior.
        dimensions: Numbers from 1; none: the FEW that change the most words.
        points: Values of each coordinate.
        reach: Largest value, in standard deviations of the prior.
        seed: Seed of the draw from the prior.
        max_length: Longest decoded sentence, in tokens.

    Raises:
        UsageError: The model has no z, a dimension does not exist, or the reach is out of range.
    """
    model.require_latent("move a code")
    if not 0 < reach <= FARTHEST:
        raise UsageError(f"reach {reach}: give more than 0 and at most {FARTHEST:g}")
    for dimension in dimensions:
        if not 1 <= dimension <= model.latent:
            raise UsageError(f"no dimension {dimension}; give some of 1 to {model.latent}")
    if sentence is None:
        code, source = model.prior(1, seed)[0], f"prior draw, seed {seed}"
    else:
        code, source = codes_of_text(model, [sentence], CodeSettings())[0, 0], sentence
    tried = list(dict.fromkeys(dimensions)) or list(range(1, model.latent + 1))
    values = np.linspace(-reach, reach, points, dtype=np.float32)
    codes = np.tile(code, (len(tried), points, 1))
    for row, dimension in enumerate(tried):
        codes[row, :, dimension - 1] = values
    all_codes = np.concatenate([code[None], codes.reshape(-1, model.latent)])
    base, *moved = model.decode(all_codes, DecodingConfig(max_length=max_length))
    steps = [
        Step(tried[k // points], float(values[k % points]), count_changed(base, text), text)
        for k, text in enumerate(moved)
    ]
    if not dimensions:
        changes = {d: sum(step.changed for step in steps if step.dimension == d) for d in tried}
        most_changed = sorted(tried, key=lambda d: (-changes[d], d))[:FEW]
        steps = [step for d in most_changed for step in steps if step.dimension == d]
    return Traversal(source, tuple(map(float, code)), base, steps)


def changed_words(base: str, other: str) -> list[bool]:
    """Return, for each word of `other`, whether it lies outside the parts that it has in common with `base`."""
    one, two = base.split(), other.split()
    changed = [True] * len(two)
    for block in difflib.SequenceMatcher(None, one, two, autojunk=False).get_matching_blocks():
        changed[block.b : block.b + block.size] = [False] * block.size
    return changed


def count_changed(base: str, other: str) -> int:
    """Count the unmatched words of each sentence, and return the larger count."""
    matched = changed_words(base, other).count(False)
    return max(len(base.split()), len(other.split())) - matched
