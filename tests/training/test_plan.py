"""The plan of a resumed run: it lists the settings that change, with old and new values."""

from __future__ import annotations

from sritool.config.settings import RunConfig
from sritool.config.values import build, merge, plain
from sritool.data.tokenizer import SPECIALS, WordTokenizer
from sritool.runs.checkpoint import Checkpoint
from sritool.runs.checkpoint_checks import TrainedOn, TrainingProgress
from sritool.training.plan import Plan, Start


def test_changed_settings_are_listed_with_both_values() -> None:
    before = RunConfig()
    given = {
        "sampler": {"evaluation_temperature": 0.5, "temperature": {"start": 0.25}},
        "optimizer": {"learning_rate": 0.001, "decay": 0.5},
    }
    after = build(RunConfig, merge(plain(before), given))
    corpus, progress = TrainedOn("mine", "data/mine", "ab12", 9, True, False), TrainingProgress(0, 0, 0.0)
    saved = Checkpoint(before, WordTokenizer(SPECIALS), {}, corpus, progress)
    assert Plan(Start("mine"), before, None, saved).changes() == []
    assert Plan(Start("mine"), after, None, saved).changes() == [
        "sampler.temperature.start 1.0 → 0.25",
        "sampler.evaluation_temperature 1.0 → 0.5",
        "optimizer.learning_rate 0.004 → 0.001",
        "optimizer.decay 1 to 0.333333 → 0.5",
    ]
