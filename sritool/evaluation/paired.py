"""Differences between two models on the same sentences, with the standard error of the difference itself.

Most of the standard error of a single figure comes from how hard the sentences are, which is common to all models. It
cancels in the difference sentence by sentence.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from sritool.evaluation.metrics import Array, mean_and_error

ERRORS = 2.0
"""Standard errors beyond which a difference is marked."""


class Difference(NamedTuple):
    """A figure of one model minus that of another, on the sentences measured for both."""

    value: float
    standard_error: float
    sentences: int

    @property
    def is_clear(self) -> bool:
        """Whether it is beyond two standard errors."""
        return abs(self.value) > ERRORS * self.standard_error


def difference(own: Array, reference: Array) -> Difference | None:
    """Return the paired difference of two models' terms; None if they share fewer than two sentences.

    Both are terms of the same sentences in the same order, from `sentence_terms`: [n].
    """
    if len(own) != len(reference):
        return None
    values = own - reference
    known = values[np.isfinite(values)]
    if len(known) < 2:
        return None
    return Difference(*mean_and_error(known), len(known))
