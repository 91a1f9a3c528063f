"""Figures of sentences side by side, and an origin for figures that a test makes up."""

from __future__ import annotations

from sritool.evaluation.estimates import Origin
from sritool.evaluation.metrics import Array
from sritool.evaluation.sentence_figures import SentenceFigures, is_measured

ORIGIN = Origin("adaptive", 4, "chain", 2, 0)


def columns_of(figures: SentenceFigures) -> dict[str, Array]:
    """Return the measured figures by name, [n] each: the last column of curves, no draws or codes."""
    found = {}
    for name, its_field in SentenceFigures.__dataclass_fields__.items():
        values = getattr(figures, name.removesuffix("_curve"))
        if not its_field.init and values.ndim == 1 and is_measured(values):
            found[name.removesuffix("_curve")] = values
    return found
