"""Updates of the parameters: warm-up, schedule and halvings of the learning rate, weight decay."""

from __future__ import annotations

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
from training.helpers import NewRun, copy_of


def rates_of(run: Any) -> list[float]:
    """Train a run and return the learning rate of each update."""
    rates = []

    def watch(event: events.Event) -> None:
        if isinstance(event, events.Step):
            rates.append(run.trainer.state.optimizer.param_groups[0]["lr"])

    run.train(observer=watch)
    return rates


@pytest.mark.parametrize(("warmup", "first_half"), [(0.0, [0.6, 0.6, 0.6]), (0.5, [0.2, 0.4, 0.6])])
def test_rate_warms_up_and_then_follows_its_schedule(
    new_run: NewRun, warmup: float, first_half: list[float]
) -> None:
    decay = {"start": 1.0, "end": 0.25, "begin": 0.5}
    run = new_run("lm", optimizer={"learning_rate": 0.6, "decay": decay, "warmup": warmup})
    assert rates_of(run) == pytest.approx([*first_half, 0.6, 0.6 * 0.75, 0.6 * 0.5])


def test_rate_is_halved_when_validation_stalls(new_run: NewRun) -> None:
    optimizer = {"name": "sgd", "learning_rate": 1e-12, "halve_after": 2, "decay": 1.0}
    run = new_run("lm", optimizer=optimizer, training={"epochs": 6})  # nothing is learnt
    run.train()
    assert run.load().trainer["position"]["halvings"] == 2
    assert [group["lr"] for group in run.trainer.state.optimizer.param_groups] == [
        pytest.approx(1e-12 / 4, abs=0.0)
    ]


def test_warmup_decay_and_halvings_multiply() -> None:
    settings = OptimizerConfig(learning_rate=0.8, warmup=0.5, decay=Ramp(1.0, 0.5))
    assert learning_rate(settings, 0.2, 0.25, 2) == pytest.approx(0.8 * 0.5 * 0.9 * 0.25)


def test_warmup_applies_to_both_stages(new_run: NewRun) -> None:
    optimizer = {"learning_rate": 0.3, "decay": 1.0, "warmup": 1.0}
    run = new_run("vae-fb", training={"epochs": 1}, pretraining={"epochs": 1}, optimizer=optimizer)
    assert rates_of(run) == pytest.approx([0.1, 0.2, 0.3] * 2)


@pytest.mark.parametrize("name", ["adam", "sgd"])
def test_weight_decay_is_decoupled_and_spares_biases(name: str) -> None:
    """Compared with the same update without decay, weights lose rate · λ of their old value, and biases nothing."""
    moved = {}
    for weight_decay in (0.0, 0.5):
        torch.manual_seed(0)
        module = nn.Linear(3, 2)
        before = module.weight.detach().clone()
        optimizer = make_optimizer(module, OptimizerConfig(name=name), torch.device("cpu"))
        module(torch.ones(4, 3)).square().sum().backward()
        update(module, optimizer, 0.1, weight_decay)
        moved[weight_decay] = copy_of(dict(module.named_parameters()))
    assert torch.allclose(moved[0.5]["weight"], moved[0.0]["weight"] - 0.1 * 0.5 * before, atol=1e-6)
    assert torch.equal(moved[0.5]["bias"], moved[0.0]["bias"])


def test_parameters_without_gradient_are_not_decayed() -> None:
    """Such as the generator, while only the encoder is updated."""
    module = nn.Linear(3, 2)
    before = copy_of(dict(module.named_parameters()))
    update(module, make_optimizer(module, OptimizerConfig(), torch.device("cpu")), 0.1, 0.5)
    assert all(
        torch.equal(tensor, before[name]) for name, tensor in copy_of(dict(module.named_parameters())).items()
    )


@pytest.mark.parametrize("method", METHODS)
def test_decay_shrinks_weights_but_not_biases(method: str, new_run: NewRun) -> None:
    """With a tiny rate and a decay by half per update, weights are halved and biases stay."""
    optimizer = {"name": "sgd", "learning_rate": 1e-9, "weight_decay": 0.5e9, "decay": 1.0}
    run = new_run(method, optimizer=optimizer, training={"batch_size": 22}, pretraining={"epochs": 2})
    trainer = run.make(max_steps=1)
    before = copy_of(dict(trainer.state.method.modules.named_parameters()))
    trainer.run()
    for name, tensor in copy_of(dict(trainer.state.method.modules.named_parameters())).items():
        updates = run.config.lagging.updates if (method, name[:7]) == ("vae-lagging", "encoder") else 1
        factor = 1.0 if name.endswith("bias") else 0.5**updates
        assert torch.allclose(tensor, factor * before[name], atol=1e-6), name
    assert {name for name in before if name.endswith("bias")} >= {
        f"generator.{name}" for name in ("gate_bias", "initial_bias", "output_bias")
    }


def test_weight_decay_of_one_per_update_is_refused() -> None:
    with pytest.raises(UsageError, match="weight_decay"):
        build(OptimizerConfig, {"learning_rate": 0.5, "weight_decay": 2.0})
