"""Time left of a run that has begun."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest

from sritool.analysis.reproduction.plan import Request, make_plan
from sritool.analysis.reproduction.time_estimates import START, Estimates


@pytest.mark.parametrize(
    ("done", "seconds", "left"),
    [(4, 8.0, 2 * 3 + 9 * 6.0), (8, 20.0, 8 * 6.0), (16, 68.0, 6.0)],
)
def test_epochs_with_z_are_estimated_by_their_own_length(
    monkeypatch: pytest.MonkeyPatch, done: int, seconds: float, left: float
) -> None:
    """Of 16 epochs, the first seven train a language model in a third of the time: 2 and 6 s on that machine."""
    (run,) = make_plan(Request("table1", "ptb", ("sri",))).runs
    cost = SimpleNamespace(epoch=3.0, early_epoch=1.0, epochs=16, early=7)
    monkeypatch.setattr(Estimates, "_cost", lambda *_: cost)
    estimates = Estimates.__new__(Estimates)
    training = SimpleNamespace(planned=16, seconds=seconds)
    state: Any = SimpleNamespace(trained=False, known=SimpleNamespace(training=training), epochs=done)
    assert estimates.training(run, state) == pytest.approx(START + left)
