"""A time limit for the whole command: training stops early enough for the steps after it."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import pytest

from sritool.analysis import run_summary
from sritool.analysis.run_summary import summarise
from sritool.data.store import Corpus
from sritool.runs.folder import BEST, BEST_EPOCH, LAST
from sritool.training import deadline as module
from sritool.training import events, validation
from sritool.training import state as state_module
from sritool.training.deadline import Deadline
from training.helpers import NewRun, assert_same_weights, equal_weights

STEP = 10.0  # seconds


@pytest.fixture
def ticking(monkeypatch: pytest.MonkeyPatch) -> Callable[[Any], None]:
    """Make every step of a run take ten seconds, and everything else no time."""

    def tick(run: Any) -> None:
        def now() -> float:
            return STEP * len(run.told(events.Step))

        monkeypatch.setattr(module.time, "monotonic", now)
        assert state_module.time is module.time

    return tick


@pytest.mark.slow
def test_training_leaves_time_for_the_summary(new_run: NewRun, ticking: Callable[[Any], None]) -> None:
    steps = {}
    for with_summary in (False, True):
        run = new_run("lm", f"summary {with_summary}", training={"epochs": 1000}, validation={"share": 0.1})
        ticking(run)
        outcome = run.train(deadline=Deadline(1000.0, 0.0, with_summary))
        assert outcome.reason == "max-time"
        steps[with_summary] = outcome.steps
        assert outcome.seconds <= 0.98 * 1000
    assert steps[False] * STEP > 900, "without a summary, training should use nearly all of the time"
    assert steps[True] < steps[False]
    assert run.load(BEST).metrics, "it was not validated"


def test_encoder_only_updates_count_as_updates(new_run: NewRun, ticking: Callable[[Any], None]) -> None:
    """Otherwise the machine would seem slower than it is, and the time for measuring is planned from its speed."""
    run = new_run("vae-lagging")
    ticking(run)
    run.train(max_steps=2)
    assert run.trainer.times._update() == STEP


def test_deadline_within_an_epoch_validates_the_latest_model(
    new_run: NewRun, ticking: Callable[[Any], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    """What was learnt since the last validation is kept, and resuming restores the run without a deadline."""
    run, whole = (
        new_run("lm", name, training={"batch_size": 4}, optimizer={"learning_rate": 0.03})
        for name in ("run", "whole")
    )
    whole.train()
    epoch = whole.load().metrics[0]["step"]
    assert whole.load().metrics[1]["nll"] < whole.load().metrics[0]["nll"], "no progress in the second epoch"
    ticking(run)
    outcome = run.train(deadline=Deadline((epoch + 4) * STEP / 0.98, 0.0))
    assert outcome.reason == "max-time"
    assert epoch < outcome.steps < 2 * epoch
    best, aside = run.load(BEST), run.load(BEST_EPOCH)
    assert [record["step"] for record in best.metrics] == [epoch, outcome.steps]
    assert [record["step"] for record in aside.metrics] == [epoch] == [r["step"] for r in run.load().metrics]
    assert best.metrics[1]["nll"] < best.metrics[0]["nll"]
    monkeypatch.setattr(validation, "loss_of", lambda *_: math.inf)  # no later epoch is better than the first
    run.train(max_steps=outcome.steps + 1)
    assert not (run.folder / BEST_EPOCH).exists()
    assert equal_weights(run.load(BEST), aside)
    monkeypatch.undo()
    run.train()
    assert_same_weights(run, whole)


def test_deadline_within_the_first_epoch_validates_too(
    new_run: NewRun, ticking: Callable[[Any], None]
) -> None:
    """Resuming continues as if that validation had not happened."""
    run, whole = (new_run("lm", name, training={"batch_size": 4}) for name in ("run", "whole"))
    ticking(run)
    outcome = run.train(deadline=Deadline(50.0, 0.0))
    assert outcome.reason == "max-time"
    assert 1 <= outcome.steps < 6
    assert len(run.load(BEST).metrics) == 1
    assert math.isfinite(run.load(BEST).metrics[0]["nll"])
    assert run.load().metrics == []
    run.train()
    whole.train()
    assert_same_weights(run, whole)
    for name in (BEST, LAST):
        left, right = ([(r["epoch"], r["nll"]) for r in each.load(name).metrics] for each in (run, whole))
        assert left == right


def test_deadline_counts_from_the_start_of_the_command(
    new_run: NewRun, ticking: Callable[[Any], None]
) -> None:
    run = new_run("lm")
    ticking(run)
    first = run.train(deadline=Deadline(30.0, 0.0))
    began = STEP * first.steps
    second = run.train(deadline=Deadline(30.0, began))
    assert 0 < first.steps < second.steps


def test_time_reserved_for_the_summary() -> None:
    assert Deadline(summary=True).for_summary(0.1, 1000.0, 60.0) == pytest.approx(40)
    assert Deadline().for_summary(0.1, 1000.0, 200.0) == module.LEAST_SUMMARY
    assert Deadline(20.0).for_summary(0.1, 10.0, 0.0) == pytest.approx(5), (
        "a short limit must not be used up by the summary"
    )
    assert Deadline().for_summary(0.0, 10.0, 0.0) == math.inf


def test_summary_measures_what_fits(new_run: NewRun, corpus: Corpus, monkeypatch: pytest.MonkeyPatch) -> None:
    run = new_run("lm")
    run.train()
    monkeypatch.setattr(run_summary, "LEAST", 4)

    def of(seconds: float) -> Any:
        return summarise(corpus, run.folder, "cpu", 0, lambda *_: None, seconds)

    nothing, much, all_ = of(0.0), of(1e6), of(math.inf)
    assert {estimate.sentences for estimate in nothing.estimates} == {4}
    assert any("4 of the 10" in note for note in nothing.notes)
    assert much.estimates == all_.estimates
    assert much.notes == all_.notes
    assert {estimate.sentences for estimate in all_.estimates} == {10}
