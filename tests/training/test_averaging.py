"""The average of the weights: its value, where it is used, and how a resumed run continues it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
import torch
from torch import nn

from sritool.analysis.info import describe_checkpoint
from sritool.methods.registry import METHODS
from sritool.runs.folder import AUTOENCODER, BEST, LAST
from sritool.training import validation
from sritool.training.averaging import WeightAverage
from sritool.training.state import RunState
from support.tables import same
from training.helpers import NewRun, assert_same_weights, copy_of

EMA = {"optimizer": {"ema_decay": 0.9, "learning_rate": 0.05}}


def test_long_path_has_the_exponential_average() -> None:
    module = nn.Linear(1, 1, bias=False).double()
    average = WeightAverage(module, 0.9)
    for value in range(400):
        module.weight.data.fill_(float(value))
        average.update()
    # On a line of slope 1 the average lags by decay / (1 − decay).
    assert float(average.state()["weights"]["weight"]) == pytest.approx(399 - 9.0, abs=1e-6)


def test_average_is_not_biased_towards_the_start() -> None:
    module = nn.Linear(1, 1, bias=False)
    module.weight.data.fill_(1e3)
    average = WeightAverage(module, 0.9999)
    module.weight.data.fill_(0.0)
    for _ in range(50):
        average.update()
    assert abs(float(average.state()["weights"]["weight"])) < 1e-3


def test_weights_are_swapped_and_restored_bitwise() -> None:
    module = nn.Sequential(nn.Linear(3, 2), nn.BatchNorm1d(2, momentum=None)).float()
    module[1].num_batches_tracked = None  # type: ignore[assignment]
    average = WeightAverage(module, 0.5)
    nn.init.normal_(module[0].weight)
    module[1].running_mean.add_(1.0)  # a running statistic is averaged too
    average.update()
    before, kept = copy_of(module.state_dict()), copy_of(average.state()["weights"])
    with average.in_place():
        assert same(copy_of(module.state_dict()), kept)
    assert same(copy_of(module.state_dict()), before)
    assert same(copy_of(average.state()["weights"]), kept)
    assert not torch.equal(before["1.running_mean"], kept["1.running_mean"])


def test_shared_parameter_is_swapped_once() -> None:
    module = nn.ModuleList([nn.Linear(2, 2), nn.Linear(2, 2)])
    module[1].weight = module[0].weight
    average = WeightAverage(module, 0.5)
    module[0].weight.data.add_(1.0)
    before = module[0].weight.clone()
    with average.in_place():
        assert torch.allclose(module[1].weight, before - 1.0)
    assert torch.equal(module[1].weight, before)


@pytest.mark.parametrize("method", METHODS)
def test_best_holds_the_average_and_last_holds_both(method: str, new_run: NewRun) -> None:
    run = new_run(method, training={"epochs": 1, "select": "last"}, pretraining={"epochs": 1}, **EMA)
    run.train()
    best, last = run.load(BEST), run.load(LAST)
    average = last.trainer["average"]
    assert average["updates"] == 3
    assert same(dict(best.weights), dict(average["weights"]))
    for name in ("generator.output", "generator.embedding"):
        assert not torch.equal(best.weights[name], last.weights[name])
    if method == "sri":
        assert not torch.equal(best.weights["preconditioner.fisher"], last.weights["preconditioner.fisher"])
    assert same(copy_of(run.trainer.state.method.modules.state_dict()), dict(last.weights))


@pytest.mark.parametrize("method", ["lm", "sri", "vae-fb"])
def test_validation_and_sample_use_the_average(
    method: str, new_run: NewRun, monkeypatch: pytest.MonkeyPatch
) -> None:
    run, seen = new_run(method, training={"epochs": 1}, pretraining={"epochs": 1}, **EMA), []

    def spied(original: Callable[..., Any]) -> Callable[..., Any]:
        def spy(given: Any, *rest: Any) -> Any:
            if not given.pretraining:
                seen.append(copy_of(given.modules.state_dict()))
            return original(given, *rest)

        return spy

    monkeypatch.setattr(validation, "measure", spied(validation.measure))
    monkeypatch.setattr("sritool.training.log.sample_of", spied(validation.sample_of))
    run.train()
    assert len(seen) == 2
    assert all(same(weights, dict(run.load(BEST).weights)) for weights in seen)


def test_averaging_does_not_change_training(new_run: NewRun) -> None:
    plain, averaged = new_run("sri"), new_run("sri", "averaged", optimizer={"ema_decay": 0.9})
    for run in (plain, averaged):
        run.train()
    assert_same_weights(plain, averaged, LAST)
    assert "average" not in plain.load(LAST).trainer
    assert [record["nll"] for record in plain.load().metrics] != [
        record["nll"] for record in averaged.load().metrics
    ]


@pytest.mark.parametrize(
    "method",
    [
        pytest.param(name, marks=() if name in ("lm", "sri", "vae-fb") else pytest.mark.slow)
        for name in METHODS
    ],
)
def test_resume_with_average_decay_and_warmup_is_bitwise(method: str, new_run: NewRun) -> None:
    optimizer = {"ema_decay": 0.9, "weight_decay": 0.5, "warmup": 0.5, "learning_rate": 0.05}
    whole, stopped = (new_run(method, name, optimizer=optimizer) for name in ("whole", "stopped"))
    whole.train()
    for steps in (1, 4):
        stopped.train(max_steps=steps)
    stopped.train()
    assert_same_weights(whole, stopped)
    for part in ("optimizer", "average"):
        assert same(whole.load().trainer[part], stopped.load().trainer[part])
    figures = [
        [record.get("nll", record["recon"]) for record in run.load().metrics] for run in (whole, stopped)
    ]
    assert figures[0] == figures[1]


def test_resume_with_averaged_tied_embeddings_is_bitwise(new_run: NewRun) -> None:
    tied = {"tied_embeddings": True}
    whole, stopped = (new_run("lm", name, generator=tied, **EMA) for name in ("whole", "stopped"))
    whole.train()
    stopped.train(max_steps=4)
    stopped.train()
    assert_same_weights(whole, stopped, BEST)
    assert same(whole.load().trainer["average"], stopped.load().trainer["average"])


def test_best_autoencoder_is_saved_as_its_average(new_run: NewRun) -> None:
    run = new_run("vae-fb", training={"epochs": 1}, pretraining={"epochs": 2, "keep": "best"}, **EMA)
    run.train(max_steps=3)
    assert same(dict(run.load(AUTOENCODER).weights), dict(run.load().trainer["average"]["weights"]))
    run.train(max_steps=7)
    assert run.load().trainer["average"]["updates"] == 1, "the average did not restart with the method"


def test_halving_restarts_from_the_best_average(new_run: NewRun) -> None:
    changes = {"halve_after": 1, "halvings": 2, "return_to_best": True, "name": "sgd", "learning_rate": 1e-12}
    run = new_run("lm", training={"epochs": 3}, optimizer={**changes, "ema_decay": 0.9})
    run.train()
    assert same(dict(run.load(LAST).weights), dict(run.load(BEST).weights))
    assert run.load().trainer["average"]["updates"] == 0


@pytest.mark.parametrize(("before", "after"), [(0.0, 0.9), (0.9, 0.0)])
def test_averaging_can_be_switched_on_or_off_on_resume(new_run: NewRun, before: float, after: float) -> None:
    run = new_run("lm", optimizer={"ema_decay": before})
    run.train(max_steps=2)
    first = run.load()
    optimizer = replace(first.config.optimizer, ema_decay=after)
    config = replace(first.config, optimizer=optimizer)
    state = RunState(run.corpus, config, run.folder, torch.device("cpu"), first)
    assert (state.average is not None) == bool(after)
    if state.average is not None:
        assert same(copy_of(state.average.state()["weights"]), dict(first.weights))


def test_info_reports_which_weights_a_file_holds(new_run: NewRun) -> None:
    run = new_run("lm", training={"epochs": 1}, **EMA)
    run.train()
    rows = [dict(describe_checkpoint(run.folder / name)) for name in (BEST, LAST)]
    assert rows[0]["weights"] == "averaged"
    assert str(rows[1]["weights"]).startswith("as last updated")
    assert rows[0]["optimizer.ema_decay"] == 0.9
