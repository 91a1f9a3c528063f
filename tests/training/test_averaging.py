"""The average of the weights: what it is, where it is used, and that a resumed run goes on with it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from sritool.analysis.info import describe_checkpoint
from sritool.methods.registry import METHODS
from sritool.runs.folder import AUTOENCODER, BEST, LAST
from sritool.training import validation
from sritool.training.averaging import WeightAverage
from sritool.training.state import RunState
from support.tables import same

NewRun = Callable[..., Any]
EMA = {"optimizer": {"ema_decay": 0.9, "learning_rate": 0.05}}


def test_the_average_of_a_long_path_is_the_exponential_one() -> None:
    module = nn.Linear(1, 1, bias=False).double()
    average = WeightAverage(module, 0.9)
    for value in range(400):
        module.weight.data.fill_(float(value))
        average.update()
    # Of a line with slope 1 the average is decay / (1 − decay) behind.
    assert float(average.state()["weights"]["weight"]) == pytest.approx(399 - 9.0, abs=1e-6)


def test_a_short_path_is_not_averaged_with_where_it_began() -> None:
    module = nn.Linear(1, 1, bias=False)
    module.weight.data.fill_(1e3)
    average = WeightAverage(module, 0.9999)
    module.weight.data.fill_(0.0)
    for _ in range(50):
        average.update()
    assert abs(float(average.state()["weights"]["weight"])) < 1e-3


def test_in_place_and_back_again_bit_by_bit() -> None:
    module = nn.Sequential(nn.Linear(3, 2), nn.BatchNorm1d(2, momentum=None)).float()
    module[1].num_batches_tracked = None  # type: ignore[assignment]
    average = WeightAverage(module, 0.5)
    nn.init.normal_(module[0].weight)
    module[1].running_mean.add_(1.0)  # a running statistic is averaged too
    average.update()
    before, kept = copies(module.state_dict()), copies(average.state()["weights"])
    with average.in_place():
        assert same(copies(module.state_dict()), kept)
    assert same(copies(module.state_dict()), before)
    assert same(copies(average.state()["weights"]), kept)
    assert not torch.equal(before["1.running_mean"], kept["1.running_mean"])


def test_a_parameter_with_two_names_is_swapped_once() -> None:
    module = nn.ModuleList([nn.Linear(2, 2), nn.Linear(2, 2)])
    module[1].weight = module[0].weight
    average = WeightAverage(module, 0.5)
    module[0].weight.data.add_(1.0)
    before = module[0].weight.clone()
    with average.in_place():
        assert torch.allclose(module[1].weight, before - 1.0)
    assert torch.equal(module[1].weight, before)


def copies(tensors: Any) -> dict[str, Tensor]:
    return {name: tensor.clone() for name, tensor in tensors.items()}


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
    assert same(copies(run.trainer.state.method.modules.state_dict()), dict(last.weights))


@pytest.mark.parametrize("method", ["lm", "sri", "vae-fb"])
def test_validation_and_its_sample_see_the_average(
    method: str, new_run: NewRun, monkeypatch: pytest.MonkeyPatch
) -> None:
    run, seen = new_run(method, training={"epochs": 1}, pretraining={"epochs": 1}, **EMA), []

    def spied(original: Callable[..., Any]) -> Callable[..., Any]:
        def spy(given: Any, *rest: Any) -> Any:
            if not given.pretraining:
                seen.append(copies(given.modules.state_dict()))
            return original(given, *rest)

        return spy

    monkeypatch.setattr(validation, "measure", spied(validation.measure))
    monkeypatch.setattr("sritool.training.log.sample_of", spied(validation.sample_of))
    run.train()
    assert len(seen) == 2
    assert all(same(weights, dict(run.load(BEST).weights)) for weights in seen)


def test_the_average_changes_nothing_of_how_weights_are_trained(new_run: NewRun) -> None:
    plain, averaged = new_run("sri"), new_run("sri", "averaged", optimizer={"ema_decay": 0.9})
    for run in (plain, averaged):
        run.train()
    assert same(dict(plain.load(LAST).weights), dict(averaged.load(LAST).weights))
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
def test_a_stopped_run_goes_on_with_average_decay_and_warmup_bit_by_bit(method: str, new_run: NewRun) -> None:
    optimizer = {"ema_decay": 0.9, "weight_decay": 0.5, "warmup": 0.5, "learning_rate": 0.05}
    whole, stopped = (new_run(method, name, optimizer=optimizer) for name in ("whole", "stopped"))
    whole.train()
    for steps in (1, 4):
        stopped.train(max_steps=steps)
    stopped.train()
    for name in (LAST, BEST):
        left, right = whole.load(name), stopped.load(name)
        assert same(dict(left.weights), dict(right.weights))
    for part in ("optimizer", "average"):
        assert same(whole.load().trainer[part], stopped.load().trainer[part])
    figures = [
        [record.get("nll", record["recon"]) for record in run.load().metrics] for run in (whole, stopped)
    ]
    assert figures[0] == figures[1]


def test_tied_embeddings_are_averaged_once(new_run: NewRun) -> None:
    tied = {"tied_embeddings": True}
    whole, stopped = (new_run("lm", name, generator=tied, **EMA) for name in ("whole", "stopped"))
    whole.train()
    stopped.train(max_steps=4)
    stopped.train()
    assert same(dict(whole.load(BEST).weights), dict(stopped.load(BEST).weights))
    assert same(whole.load().trainer["average"], stopped.load().trainer["average"])


def test_the_best_autoencoder_is_kept_as_its_average(new_run: NewRun) -> None:
    run = new_run("vae-fb", training={"epochs": 1}, pretraining={"epochs": 2, "keep": "best"}, **EMA)
    run.train(max_steps=3)
    assert same(dict(run.load(AUTOENCODER).weights), dict(run.load().trainer["average"]["weights"]))
    run.train(max_steps=7)
    assert run.load().trainer["average"]["updates"] == 1, "it begins anew with the method"


def test_a_halving_goes_on_from_the_best_average(new_run: NewRun) -> None:
    changes = {"halve_after": 1, "halvings": 2, "return_to_best": True, "name": "sgd", "learning_rate": 1e-12}
    run = new_run("lm", training={"epochs": 3}, optimizer={**changes, "ema_decay": 0.9})
    run.train()
    assert same(dict(run.load(LAST).weights), dict(run.load(BEST).weights))
    assert run.load().trainer["average"]["updates"] == 0


@pytest.mark.parametrize(("before", "after"), [(0.0, 0.9), (0.9, 0.0)])
def test_a_resumed_run_may_begin_or_end_averaging(new_run: NewRun, before: float, after: float) -> None:
    run = new_run("lm", optimizer={"ema_decay": before})
    run.train(max_steps=2)
    first = run.load()
    optimizer = replace(first.config.optimizer, ema_decay=after)
    config = replace(first.config, optimizer=optimizer)
    state = RunState(run.corpus, config, run.folder, torch.device("cpu"), first)
    assert (state.average is not None) == bool(after)
    if state.average is not None:
        assert same(copies(state.average.state()["weights"]), dict(first.weights))


def test_info_says_which_weights_a_file_has(new_run: NewRun) -> None:
    run = new_run("lm", training={"epochs": 1}, **EMA)
    run.train()
    said = [dict(describe_checkpoint(run.folder / name)) for name in (BEST, LAST)]
    assert said[0]["weights"] == "averaged"
    assert str(said[1]["weights"]).startswith("as last updated")
    assert said[0]["optimizer.ema_decay"] == 0.9
