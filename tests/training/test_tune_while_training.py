"""`--tune-step-every`: the choice takes effect, is logged with its cost, and survives any stop bit by bit."""

from __future__ import annotations

import signal
from collections.abc import Callable
from typing import Any

import pytest
import torch

from sritool.config.values import build, read_toml
from sritool.errors import Interrupted
from sritool.runs.folder import CONFIG, LAST, METRICS
from sritool.runs.metrics_log import read_metrics
from sritool.training import between_epochs as module
from sritool.training import events, retuning

NewRun = Callable[..., Any]
PLAN = {"training": {"epochs": 3, "tune_step_every": 1}}
BEGIN = [0.2, 0.1, 0.1]


def tunings(run: Any) -> list[dict[str, Any]]:
    return [record for record in read_metrics(run.folder / METRICS) if record["kind"] == "tune"]


def choices(run: Any) -> list[Any]:
    return [(record["epoch"], record["step"], record["step_sizes"]) for record in tunings(run)]


@pytest.fixture(scope="module")
def whole(begin_run: NewRun, tmp_path_factory: pytest.TempPathFactory) -> Any:
    """A run of three epochs of three steps that never stopped."""
    run = begin_run(tmp_path_factory.mktemp("whole"), **PLAN)
    assert run.train().reason == "done"
    return run


def test_choice_takes_effect_and_is_kept(whole: Any, new_run: NewRun) -> None:
    found = tunings(whole)
    assert [(record["epoch"], record["step"]) for record in found] == [(1, 3), (2, 6)]
    assert found[0]["step_sizes"] != BEGIN, "an unfit schedule that stays shows nothing"
    last = whole.load()
    assert last.config.sampler.schedule() == found[-1]["step_sizes"]
    assert (
        whole.trainer.state.method.sampler == whole.trainer.state.method.config.sampler == last.config.sampler
    )
    assert build(type(last.config), read_toml(whole.folder / CONFIG)) == last.config
    plain = new_run(training={"epochs": 3})
    plain.train()
    assert not torch.equal(plain.load().weights["generator.output"], last.weights["generator.output"])
    assert plain.load().config.sampler.schedule() == BEGIN


def test_choice_and_cost_are_told(whole: Any) -> None:
    notes = [event.text for event in whole.told(events.Note) if event.text.startswith("step sizes ")]
    assert len(notes) == 2
    for record, note in zip(tunings(whole), notes, strict=True):
        assert "% of training" in note
        assert record["choice"] in note or note.startswith("step sizes stay")
        assert record["tuning_seconds"] > 0
        assert 0 < record["share_of_training"] < 1
        assert record["gain"] >= 0
        assert record["temperature"] == 0.3


@pytest.mark.parametrize("stops", [[3], [2, 4], [6]])
@pytest.mark.slow
def test_a_stopped_run_goes_on_as_if_it_had_not(whole: Any, new_run: NewRun, stops: list[int]) -> None:
    run = new_run(**PLAN)
    for steps in stops:
        assert run.train(max_steps=steps).reason == "max-steps"
    assert run.train().reason == "done"
    assert_same(run, whole)


def test_a_signal_inside_a_search_leaves_it_to_the_next(
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
    assert not tunings(run)
    run.train()
    assert_same(run, whole)


def test_a_kill_after_a_search_repeats_nothing(whole: Any, new_run: NewRun) -> None:
    class Killed(Exception):  # noqa: N818 - an end, and no error
        pass

    def kill(event: events.Event) -> None:
        if isinstance(event, events.Note) and event.text.startswith("step sizes "):
            raise Killed

    run = new_run(**PLAN)
    run.stopped(Killed, observer=kill)
    run.train()
    assert_same(run, whole)


def assert_same(run: Any, whole: Any) -> None:
    ours, theirs = run.load(LAST), whole.load(LAST)
    assert all(torch.equal(ours.weights[name], value) for name, value in theirs.weights.items())
    assert ours.config == theirs.config
    assert choices(run) == choices(whole)
    assert [entry["nll"] for entry in ours.metrics] == [entry["nll"] for entry in theirs.metrics]


def test_a_language_model_has_nothing_to_tune(new_run: NewRun) -> None:
    run = new_run("lm", **PLAN)
    assert run.train().reason == "done"
    assert not tunings(run)


def test_every_second_epoch(new_run: NewRun) -> None:
    run = new_run(training={"epochs": 5, "tune_step_every": 2})
    run.train()
    assert [record["epoch"] for record in tunings(run)] == [2, 4]


def test_the_gain_is_told_by_the_objective_that_chose(new_run: NewRun) -> None:
    run = new_run(training={"epochs": 2, "tune_step_every": 1, "tune_objective": "given-noise"})
    run.train()
    (record,) = tunings(run)
    assert record["gain"] >= 0
    assert record["upper"] is None or record["upper"] >= record["lower"]
