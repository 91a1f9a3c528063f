"""How θ is moved: warm-up, weight decay."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import nn

from sritool.config.schedules import Ramp
from sritool.config.settings import OptimizerConfig
from sritool.config.values import build
from sritool.errors import UsageError
from sritool.methods.registry import METHODS
from sritool.training import events
from sritool.training.optimizer import learning_rate, make_optimizer, update

NewRun = Callable[..., Any]


def rates_of(run: Any) -> list[float]:
    """Train a run; the learning rate of each of its updates."""
    rates = []

    def watch(event: events.Event) -> None:
        if isinstance(event, events.Step):
            rates.append(run.trainer.state.optimizer.param_groups[0]["lr"])

    run.train(observer=watch)
    return rates


def test_the_rate_rises_in_a_line_and_then_follows_its_plan(new_run: NewRun) -> None:
    decay = {"start": 1.0, "end": 0.25, "begin": 0.5}
    run = new_run("lm", optimizer={"learning_rate": 0.6, "decay": decay, "warmup": 0.5})
    assert rates_of(run) == pytest.approx([0.2, 0.4, 0.6, 0.6, 0.6 * 0.75, 0.6 * 0.5])


def test_the_rate_follows_its_plan(new_run: NewRun) -> None:
    decay = {"start": 1.0, "end": 0.25, "begin": 0.5}
    run = new_run("lm", optimizer={"learning_rate": 0.6, "decay": decay})
    assert rates_of(run) == pytest.approx([0.6, 0.6, 0.6, 0.6, 0.6 * 0.75, 0.6 * 0.5])


def test_warmup_decay_and_halvings_are_factors() -> None:
    settings = OptimizerConfig(learning_rate=0.8, warmup=0.5, decay=Ramp(1.0, 0.5))
    assert learning_rate(settings, 0.2, 0.25, 2) == pytest.approx(0.8 * 0.5 * 0.9 * 0.25)


def test_both_stages_of_a_method_are_warmed_up(new_run: NewRun) -> None:
    optimizer = {"learning_rate": 0.3, "decay": 1.0, "warmup": 1.0}
    run = new_run("vae-fb", training={"epochs": 1}, pretraining={"epochs": 1}, optimizer=optimizer)
    assert rates_of(run) == pytest.approx([0.1, 0.2, 0.3] * 2)


@pytest.mark.parametrize("name", ["adam", "sgd"])
def test_weight_decay_is_decoupled_and_spares_biases(name: str) -> None:
    """Beside the same update without it, weights have lost rate · λ of themselves before, and biases nothing."""
    moved = {}
    for weight_decay in (0.0, 0.5):
        torch.manual_seed(0)
        module = nn.Linear(3, 2)
        before = module.weight.detach().clone()
        optimizer = make_optimizer(module, OptimizerConfig(name=name), torch.device("cpu"))
        module(torch.ones(4, 3)).square().sum().backward()
        update(module, optimizer, 0.1, weight_decay)
        moved[weight_decay] = copies_of(module)
    assert torch.allclose(moved[0.5]["weight"], moved[0.0]["weight"] - 0.1 * 0.5 * before, atol=1e-6)
    assert torch.equal(moved[0.5]["bias"], moved[0.0]["bias"])


def test_what_has_no_gradient_is_not_decayed() -> None:
    """As the generator, while the encoder alone is updated."""
    module = nn.Linear(3, 2)
    before = copies_of(module)
    update(module, make_optimizer(module, OptimizerConfig(), torch.device("cpu")), 0.1, 0.5)
    assert all(torch.equal(tensor, before[name]) for name, tensor in copies_of(module).items())


def copies_of(module: nn.Module) -> dict[str, torch.Tensor]:
    return {name: parameter.detach().clone() for name, parameter in module.named_parameters()}


@pytest.mark.parametrize("method", METHODS)
def test_decay_makes_weights_smaller_and_not_biases(method: str, new_run: NewRun) -> None:
    """With a rate of almost nothing and a decay by half an update, weights are halved and biases stay."""
    optimizer = {"name": "sgd", "learning_rate": 1e-9, "weight_decay": 0.5e9, "decay": 1.0}
    run = new_run(method, optimizer=optimizer, training={"batch_size": 22}, pretraining={"epochs": 2})
    trainer = run.make(max_steps=1)
    before = copies_of(trainer.state.method.modules)
    trainer.run()
    for name, tensor in copies_of(trainer.state.method.modules).items():
        ahead = run.config.lagging.updates if (method, name[:7]) == ("vae-lagging", "encoder") else 1
        factor = 1.0 if name.endswith("bias") else 0.5**ahead
        assert torch.allclose(tensor, factor * before[name], atol=1e-6), name
    assert {name for name in before if name.endswith("bias")} >= {
        f"generator.{name}" for name in ("gate_bias", "initial_bias", "output_bias")
    }


def test_a_decay_that_leaves_nothing_is_refused() -> None:
    with pytest.raises(UsageError, match="weight_decay"):
        build(OptimizerConfig, {"learning_rate": 0.5, "weight_decay": 2.0})
