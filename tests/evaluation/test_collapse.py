"""The verdict that a generator ignores z: its bound, and the same from figures and from a checkpoint's record."""

from __future__ import annotations

import math
from typing import Any

import pytest

from sritool.evaluation.collapse import IGNORES_Z, collapse_note, costs_nothing, ignores_z
from sritool.evaluation.metrics import Estimate
from sritool.runs.checkpoint import Checkpoint


def permuted(value: float, draws: int = 2) -> Estimate:
    return Estimate("permuted", value, 0.1, "nats/sentence", 9, draws, "encoder")


@pytest.mark.parametrize(
    ("value", "error", "nothing"),
    [
        (0.29, 0.1, True),
        (0.31, 0.1, False),
        (-5.0, 0.0, True),
        (math.nan, 0.1, False),
        (0.0, math.nan, False),
        (-math.inf, 0.1, False),
    ],
)
def test_bound_is_a_tenth_nat_plus_two_errors(value: float, error: float, nothing: bool) -> None:
    assert costs_nothing(value, error) == nothing


def test_model_without_z_does_not_ignore_it() -> None:
    assert not ignores_z([permuted(0.0, draws=0)])
    assert not ignores_z([])


@pytest.mark.parametrize(("value", "collapsed"), [(0.0, True), (9.0, False)])
def test_figures_take_precedence_over_the_record(new_run: Any, value: float, collapsed: bool) -> None:
    run = new_run()
    run.train()
    checkpoint: Checkpoint = run.load()
    checkpoint.metrics[-1].update({"permuted": value, "permuted se": 0.1})
    by_record = collapse_note(checkpoint)
    assert by_record == (f"{IGNORES_Z}, when it was last validated" if collapsed else "")
    assert collapse_note(checkpoint, [permuted(0.0)]) == IGNORES_Z
    assert collapse_note(checkpoint, [permuted(9.0)]) == ""
    checkpoint.metrics.clear()
    assert collapse_note(checkpoint) == ""
