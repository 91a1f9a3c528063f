"""Latent traversal: one code moved along one dimension after another, and the sentences that it decodes to."""

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

FEW = 3  # dimensions, where none are asked for


class Step(NamedTuple):
    """The code with one coordinate replaced, and what it decodes to."""

    dimension: int  # from 1
    value: float  # of that coordinate, in standard deviations of the prior
    changed: int  # words that are not in the sentence of the code itself, or are missing of it
    sentence: str


class Traversal(NamedTuple):
    """All steps, dimension by dimension."""

    source: str  # where the code comes from
    code: tuple[float, ...]  # [latent]
    sentence: str  # that the code itself decodes to
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
    """Decode a code greedily with one coordinate at each of `points` values from −reach to reach.

    The code is the sentence's mean of q(z|x), or else the prior's first draw; the seed is of the draw. Dimensions are
    told from 1; none: the FEW that change the most words. A reach is in standard deviations of the prior. A decoded
    sentence has `max_length` words at most.

    Raises: UsageError if the model has no z, there is no such dimension, or no code has such a reach.
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
    every = np.concatenate([code[None], codes.reshape(-1, model.latent)])
    base, *moved = model.decode(every, DecodingConfig(max_length=max_length))
    steps = [
        Step(tried[k // points], float(values[k % points]), count_changed(base, text), text)
        for k, text in enumerate(moved)
    ]
    if not dimensions:
        changes = {d: sum(step.changed for step in steps if step.dimension == d) for d in tried}
        kept = sorted(tried, key=lambda d: (-changes[d], d))[:FEW]
        steps = [step for d in kept for step in steps if step.dimension == d]
    return Traversal(source, tuple(map(float, code)), base, steps)


def changed_words(base: str, other: str) -> list[bool]:
    """Tell for each word of `other` whether it is changed: not in its place among the longest common parts."""
    one, two = base.split(), other.split()
    changed = [True] * len(two)
    for block in difflib.SequenceMatcher(None, one, two, autojunk=False).get_matching_blocks():
        changed[block.b : block.b + block.size] = [False] * block.size
    return changed


def count_changed(base: str, other: str) -> int:
    """Count the words of either sentence without a partner in the other one, whichever has more of them."""
    kept = changed_words(base, other).count(False)
    return max(len(base.split()), len(other.split())) - kept
