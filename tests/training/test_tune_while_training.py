"""`--tune-step-every`: the chosen step sizes take effect, are logged with their cost, and survive any stop."""

from __future__ import annotations

import signal
from typing import Any

import pytest
import torch

from sritool.config.values import build, read_toml
from sritool.errors import Interrupted
from sritool.runs.folder import CONFIG, LAST
from sritool.training import between_epochs as module
from sritool.training import events, retuning
from training.helpers import Killed, NewRun, assert_same_weights, records_of

PLAN = {"training": {"epochs": 3, "tune_step_every": 1}}
INITIAL = [0.2, 0.1, 0.1]


def choices(run: Any) -> list[Any]:
    return [(record["epoch"], record["step"], record["step_sizes"]) for record in records_of(run, "tune")]


def assert_same(run: Any, whole: Any) -> None:
    assert_same_weights(run, whole, LAST)
    ours, theirs = run.load(LAST), whole.load(LAST)
    assert ours.config == theirs.config
    assert choices(run) == choices(whole)
    assert [entry["nll"] for entry in ours.metrics] == [entry["nll"] for entry in theirs.metrics]


@pytest.fixture(scope="module")
def whole(begin_run: NewRun, tmp_path_factory: pytest.TempPathFactory) -> Any:
    """A run of three epochs of three steps that never stopped."""
    run = begin_run(tmp_path_factory.mktemp("whole"), **PLAN)
    assert run.train().reason == "done"
    return run


def test_choice_takes_effect_and_is_saved(whole: Any, new_run: NewRun) -> None:
    found = records_of(whole, "tune")
    assert [(record["epoch"], record["step"]) for record in found] == [(1, 3), (2, 6)]
    assert found[0]["step_sizes"] != INITIAL, "the test needs a schedule that changes"
    last = whole.load()
    assert last.config.sampler.schedule() == found[-1]["step_sizes"]
    assert (
        whole.trainer.state.method.sampler == whole.trainer.state.method.config.sampler == last.config.sampler
    )
    assert build(type(last.config), read_toml(whole.folder / CONFIG)) == last.config
    plain = new_run(training={"epochs": 3})
    plain.train()
    assert not torch.equal(plain.load().weights["generator.output"], last.weights["generator.output"])
    assert plain.load().config.sampler.schedule() == INITIAL


def test_choice_and_cost_are_reported(whole: Any) -> None:
    notes = [event.text for event in whole.told(events.Note) if event.text.startswith("step sizes ")]
    assert len(notes) == 2
    for record, note in zip(records_of(whole, "tune"), notes, strict=True):
        assert "% of training" in note
        assert record["choice"] in note or note.startswith("step sizes stay")
        assert record["tuning_seconds"] > 0
        assert 0 < record["share_of_training"] < 1
        assert record["gain"] >= 0
        assert record["temperature"] == 0.3


@pytest.mark.parametrize("stops", [[3], [2, 4], [6]])
@pytest.mark.slow
def test_resumed_run_matches_an_uninterrupted_one(whole: Any, new_run: NewRun, stops: list[int]) -> None:
    run = new_run(**PLAN)
    for steps in stops:
        assert run.train(max_steps=steps).reason == "max-steps"
    assert run.train().reason == "done"
    assert_same(run, whole)


def test_signal_during_a_search_repeats_it_on_resume(
    whole: Any, new_run: NewRun, monkeypatch: pytest.MonkeyPatch
) -> None:
    searching: list[int] = []
    retune = retuning.retune

    def watched(*given: Any) -> Any:
        searching.append(1)
        return retune(*given)

    monkeypatch.setattr(module, "retune", watched)
    run = new_run(**PLAN)
    run.stopped(Interrupted, signal=lambda: signal.SIGTERM if searching else None)
    position = run.load().trainer["position"]
    assert (position["epoch"], position["batch"], position["tuned"]) == (1, 0, 0)
    assert not records_of(run, "tune")
    run.train()
    assert_same(run, whole)


def test_kill_after_a_search_does_not_repeat_it(whole: Any, new_run: NewRun) -> None:
    def kill(event: events.Event) -> None:
        if isinstance(event, events.Note) and event.text.startswith("step sizes "):
            raise Killed

    run = new_run(**PLAN)
    run.stopped(Killed, observer=kill)
    run.train()
    assert_same(run, whole)


def test_language_model_has_nothing_to_tune(new_run: NewRun) -> None:
    run = new_run("lm", **PLAN)
    assert run.train().reason == "done"
    assert not records_of(run, "tune")


def test_search_after_every_second_epoch(new_run: NewRun) -> None:
    run = new_run(training={"epochs": 5, "tune_step_every": 2})
    run.train()
    assert [record["epoch"] for record in records_of(run, "tune")] == [2, 4]


def test_gain_is_measured_by_the_chosen_objective(new_run: NewRun) -> None:
    run = new_run(training={"epochs": 2, "tune_step_every": 1, "tune_objective": "given-noise"})
    run.train()
    (record,) = records_of(run, "tune")
    assert record["gain"] >= 0
    assert record["upper"] is None or record["upper"] >= record["lower"]
