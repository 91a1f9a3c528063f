"""Planning a run: what a resumed one changes is told, with what it was."""

from __future__ import annotations

from sritool.config.settings import RunConfig
from sritool.config.values import build, merge, plain
from sritool.data.tokenizer import SPECIALS, WordTokenizer
from sritool.runs.checkpoint import Checkpoint
from sritool.training.plan import Plan, Start


def test_what_a_resumed_run_changes_is_told_with_what_it_was() -> None:
    before = RunConfig()
    given = {
        "sampler": {"evaluation_temperature": 0.5, "temperature": {"start": 0.25}},
        "optimizer": {"learning_rate": 0.001, "decay": 0.5},
    }
    after = build(RunConfig, merge(plain(before), given))
    saved = Checkpoint(before, WordTokenizer(SPECIALS), {}, {}, {})
    assert Plan(Start("mine"), before, None, saved).changes() == []
    assert Plan(Start("mine"), after, None, saved).changes() == [
        "sampler.temperature.start 1.0 → 0.25",
        "sampler.evaluation_temperature 1.0 → 0.5",
        "optimizer.learning_rate 0.004 → 0.001",
        "optimizer.decay 1 to 0.333333 → 0.5",
    ]
