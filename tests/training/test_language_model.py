"""Plans that begin with epochs as a language model: what is trained when, and resuming at any step."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
import torch

from sritool.analysis.info import describe_checkpoint
from sritool.data.batches import collate, training_batches
from sritool.methods.base import Clock
from sritool.runs.checkpoint import save_checkpoint
from sritool.runs.checkpoint_checks import TrainingProgress
from sritool.runs.folder import BEST, LAST
from sritool.runs.model import load_model
from sritool.training import events, validation
from sritool.training.cost import cost_of
from sritool.training.language_model import language_model_of
from sritool.training.position import Position
from training.helpers import NewRun, assert_same_weights, copy_of

STEPS = 3  # per epoch
PLAN: dict[str, Any] = {
    "training": {"epochs": 4, "language_model": 0.5},
    "optimizer": {"learning_rate": 0.01, "ema_decay": 0.9, "weight_decay": 0.1},
}
MAPS = ("generator.latent_to_gates", "generator.latent_to_initial")
LATENT_MAPS = ("latent_to_gates", "latent_to_initial")  # in every layer


def weights(run: Any, name: str = LAST) -> dict[str, torch.Tensor]:
    return dict(run.load(name).weights)


@pytest.mark.parametrize("layers", [1, 2])
@pytest.mark.parametrize("tied", [False, True])
def test_gradient_is_that_of_the_likelihood_at_z_zero(new_run: NewRun, layers: int, tied: bool) -> None:
    sizes = {"dropout": 0.0, "layers": layers, "tied_embeddings": tied, "residual": tied}
    state = new_run("sri", generator=sizes, training={"epochs": 2}).make().state
    method, lm = state.method, language_model_of(state.method)
    batch = collate(state.train, training_batches(state.train.lengths, 8, 0, 0)[0])
    sums = lm.gradients(batch, Clock(0, 0, 0, 0.0))
    gradients = {name: p.grad for name, p in method.generator.named_parameters() if p.grad is not None}
    trained = {name for name, _ in method.generator.named_parameters() if not name.endswith(LATENT_MAPS)}
    assert set(gradients) == trained
    zeros = torch.zeros(batch.size, method.latent)
    expected = -method.generator.log_likelihood(batch.inputs, batch.targets, zeros).sum()
    assert sums["recon"] == pytest.approx(expected.item(), rel=1e-5)
    found = copy_of(gradients)
    method.modules.zero_grad()
    (expected / batch.size).backward()
    for name, gradient in found.items():
        torch.testing.assert_close(gradient, method.generator.get_parameter(name).grad, msg=name)


@pytest.mark.parametrize("method", ["sri", "vae-anneal", "vae-lagging"])
def test_latent_maps_and_encoder_are_trained_later(new_run: NewRun, method: str) -> None:
    run = new_run(method, **PLAN)
    first = copy_of(run.make().state.method.modules.state_dict())
    run.train(max_steps=2 * STEPS - 1)
    early = weights(run)
    assert dict(describe_checkpoint(run.folder / LAST))["stage"].startswith("language model, of 2 epochs")
    assert all(not early[name].any() for name in MAPS)
    unchanged = {name for name in first if torch.equal(first[name], early[name])}
    assert unchanged == {name for name in first if not name.startswith("generator.") or name in MAPS}
    run.train(max_steps=2 * STEPS + 1)
    late = weights(run)
    assert all(late[name].all() for name in MAPS), "the maps were not drawn"
    drawn = new_run(method, "drawn").make().state.method.modules.state_dict()
    for name in MAPS:  # Adam's first step is at most the learning rate, plus the decay
        torch.testing.assert_close(late[name], drawn[name], atol=0.012, rtol=0.0)
    run.train()
    assert "stage" not in dict(describe_checkpoint(run.folder / LAST))
    stages = [(event.epoch, event.stage) for event in run.told(events.Epoch)]
    assert stages == [(1, "language model"), (2, "language model"), (3, ""), (4, "")]


def test_best_model_uses_z(new_run: NewRun) -> None:
    run = new_run("sri", **PLAN)
    run.train(max_steps=2 * STEPS - 1)
    assert load_model(run.folder).checkpoint.progress.epoch == 1, (
        "there must be a best.pt from the first epoch on"
    )
    state = run.make().state
    state.position.best -= 100.0  # no later model can be better
    state.save(LAST)
    run.train()
    assert run.load(BEST).progress.epoch > 2
    assert weights(run, BEST)[MAPS[0]].any()


@pytest.mark.parametrize("method", ["sri", "vae-fb"])
@pytest.mark.parametrize("stops", [[2], [5], [6], [7], [6, 6, 7]])
def test_resume_at_any_step(new_run: NewRun, method: str, stops: list[int]) -> None:
    whole, run = (new_run(method, name, pretraining={"epochs": 1}, **PLAN) for name in ("whole", "stopped"))
    whole.train()
    before = STEPS if method == "vae-fb" else 0
    for steps in stops:
        run.train(max_steps=before + steps)
    assert run.train().reason == "done"
    assert_same_weights(run, whole)


def test_method_schedules_span_the_remaining_epochs(settings: Any) -> None:
    config = settings("sri", training={"epochs": 10, "language_model": 0.45})  # rounded to 4 whole epochs
    position = Position()
    for progress, own in ((0.2, 0.0), (0.4, 0.0), (0.7, 0.5), (1.0, 1.0)):
        assert position.own_progress(progress, config) == pytest.approx(own)
    assert position.own_progress(0.2, settings("sri", training={"epochs": 10})) == 0.2
    # A plan of one epoch has none to spare for the language model.
    assert position.own_progress(0.5, settings("sri", training={"epochs": 1, "language_model": 0.9})) == 0.5
    # Once z is trained, a longer plan does not return to the language model.
    longer = settings("sri", training={"epochs": 20, "language_model": 0.45})
    assert Position(epoch=10, before_z=4).own_progress(0.5, longer) == pytest.approx(0.3 / 0.8)


def test_language_model_leaves_an_epoch_for_z(settings: Any) -> None:
    training = {"epochs": 10, "language_model": 0.9999999999}
    assert settings("vae-anneal", training=training).language_model_epochs == 9


def test_kl_weight_rises_over_the_epochs_with_z_of_a_longer_plan(new_run: NewRun) -> None:
    """Ten epochs of rise, whether the plan has 20 epochs, or only gets them after z has begun in its third."""
    kl = {"epochs": 10, "share": 1.0}
    run = new_run("vae-anneal", kl=kl, **PLAN)
    run.train(max_steps=3 * STEPS + 1)
    last = run.load(LAST)
    assert last.progress.before_z == 2
    config = replace(last.config, training=replace(last.config.training, epochs=22))
    save_checkpoint(replace(last, config=config), run.folder / LAST)
    method = run.make().state.method
    assert method.kl_ramp.finish == pytest.approx(10 / 20)


def test_resuming_without_these_epochs_starts_z(new_run: NewRun) -> None:
    run = new_run("sri", **PLAN)
    run.train(max_steps=STEPS + 1)
    assert not weights(run)[MAPS[0]].any()
    last = run.load(LAST)
    config = replace(last.config, training=replace(last.config.training, language_model=0.0))
    save_checkpoint(replace(last, config=config), run.folder / LAST)
    run.train(max_steps=STEPS + 2)
    assert weights(run)[MAPS[0]].all()
    run.train()
    assert run.load(BEST).progress.before_z == 1


def test_warm_start_redraws_untrained_latent_maps(new_run: NewRun) -> None:
    given = new_run("sri", "given", **PLAN)
    given.train(max_steps=1)
    source = {"checkpoint": str(given.folder / LAST)}
    run = new_run("vae-anneal", "from", warm_start=source)
    run.train(max_steps=1)
    assert weights(run)[MAPS[0]].all()


def test_halvings_do_not_end_the_language_model(new_run: NewRun) -> None:
    plan = {**PLAN, "optimizer": {"learning_rate": 1e-12, "halve_after": 1, "halvings": 1}}
    run = new_run("sri", **plan)
    run.train()
    stages = [event.stage for event in run.told(events.Epoch)]
    assert stages[:3] == ["language model", "language model", ""]


def test_warm_started_run_skips_the_language_model(new_run: NewRun) -> None:
    given = new_run("lm")
    given.train()
    source = {"checkpoint": str(given.folder / LAST)}
    run = new_run("sri", "from", warm_start=source, **PLAN)
    run.train(max_steps=1)
    assert run.told(events.Step)[0].stage == ""
    assert weights(run)[MAPS[0]].all()
    assert dict(describe_checkpoint(run.folder / LAST))["training.language_model"] == 0.5


def test_cost_estimate_covers_both_stages(corpus: Any, settings: Any) -> None:
    config = settings("sri", training={"epochs": 5, "language_model": 0.4})
    whole = cost_of(config, corpus, torch.device("cpu"))
    assert (whole.epochs, whole.early) == (5, 2)
    assert whole.seconds_early > 0
    assert whole.seconds == pytest.approx(whole.steps * (3 * whole.seconds_a_step + 2 * whole.seconds_early))
    done = cost_of(config, corpus, torch.device("cpu"), progress=TrainingProgress(3, 30, 1.0))
    assert (done.epochs, done.early, done.seconds_early) == (2, 0, 0.0)


def test_time_left_includes_the_cost_of_z(new_run: NewRun) -> None:
    run = new_run("sri", **PLAN)
    run.train()
    beyond = [event.beyond for event in run.told(events.Step)]
    work = [
        method.work().training
        for method in (run.trainer.state.method, new_run("lm", "lm").make().state.method)
    ]
    assert work[0] > work[1]
    assert all(seconds > 0 for seconds in beyond[2 : 2 * STEPS - 1]), "no estimate though the speed is known"
    assert beyond[2 * STEPS :] == [0.0] * 2 * STEPS


def test_both_stages_validate_the_same_sentences(new_run: NewRun, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(validation, "FEWEST", 2)
    sentences = {}
    for method in ("lm", "sri"):
        run = new_run(method, method, **PLAN, validation={"share": 0.5})
        run.train()
        sentences[method] = {record["sentences"] for record in run.load().metrics}
    assert len(sentences["sri"]) == 1, "the two stages differ"
    assert min(sentences["lm"]) > max(sentences["sri"])
