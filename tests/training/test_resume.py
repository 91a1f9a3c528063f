"""Interrupted runs, stopped in any way and resumed, match an uninterrupted run bit for bit, for every method."""

from __future__ import annotations

import math
import shutil
import signal
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
import torch
from torch.nn.utils import parameters_to_vector

from sritool.errors import CheckpointError, DataError, Interrupted, NumericalError
from sritool.methods.base import Method
from sritool.methods.registry import METHODS
from sritool.runs.folder import BEST, LAST, METRICS
from sritool.runs.metrics_log import read_metrics
from sritool.training import events, new_method, state
from sritool.training.between_epochs import BetweenEpochs
from support.tables import same
from training.helpers import Killed, NewRun

EPOCH = 3  # steps
CLOCKS = {"validation_seconds", "seconds", "tokens_per_second"}
QUICK = ("sri", "vae-fb")  # vae-fb is pretrained as an autoencoder


def epochs(method: str) -> int:
    """Planned epochs, including those of pretraining."""
    return 2 + METHODS[method].pretrains


def without_clocks(values: Any) -> Any:
    if isinstance(values, list):
        return [without_clocks(value) for value in values]
    if isinstance(values, dict):
        return {key: without_clocks(value) for key, value in values.items() if key not in CLOCKS}
    return values


def assert_same_run(one: Any, other: Any) -> None:
    """Compare weights, optimiser, position, validation figures and logged steps; measured times may differ."""
    for name in (LAST, BEST):
        left, right = one.load(name), other.load(name)
        assert same(dict(left.weights), dict(right.weights)), name
        assert replace(left.progress, seconds=0.0) == replace(right.progress, seconds=0.0), name
        for part in ("trainer", "metrics"):
            assert same(*(without_clocks(getattr(side, part)) for side in (left, right))), f"{name}: {part}"
    logs = [without_clocks(read_metrics(run.folder / METRICS)) for run in (one, other)]
    assert same(*logs)
    validations = [("epoch", EPOCH * (epoch + 1)) for epoch in range(epochs(one.config.method))]
    assert [(record["kind"], record["step"]) for record in logs[0]] == [("step", 1), *validations]


@pytest.fixture(
    params=[pytest.param(name, marks=() if name in QUICK else pytest.mark.slow) for name in METHODS],
    scope="module",
)
def method(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture(scope="module")
def whole(method: str, begin_run: NewRun, tmp_path_factory: pytest.TempPathFactory) -> Any:
    """A run that never stopped."""
    run = begin_run(tmp_path_factory.mktemp("whole"), method)
    outcome = run.train()
    assert (outcome.reason, outcome.steps) == ("done", EPOCH * epochs(method))
    return run


@pytest.mark.parametrize("stops", [[3], [1, 5]])
def test_stopped_by_max_steps(method: str, whole: Any, new_run: NewRun, stops: list[int]) -> None:
    run = new_run(method)
    for steps in stops:
        outcome = run.train(max_steps=steps)
        assert (outcome.reason, outcome.steps) == ("max-steps", steps)
    assert run.train().reason == "done"
    assert_same_run(run, whole)


@pytest.mark.parametrize(("number", "code"), [(signal.SIGTERM, 143), (signal.SIGINT, 130)])
def test_stopped_by_a_signal_within_an_epoch(
    method: str, whole: Any, new_run: NewRun, number: int, code: int
) -> None:
    run = new_run(method)

    def at_fifth_step() -> int | None:
        steps = run.told(events.Step)
        return number if steps and steps[-1].step == 5 else None

    error = run.stopped(Interrupted, signal=at_fifth_step)
    assert error.exit_code == code
    assert "--resume" in str(error)
    assert run.load().progress.step == 5
    run.train()
    assert_same_run(run, whole)


def test_stopped_during_encoder_only_updates(begin_run: NewRun, new_run: NewRun, tmp_path: Any) -> None:
    whole = begin_run(tmp_path / "apart", "vae-lagging")
    whole.train()
    run = new_run("vae-lagging")
    for updates in (2, 5):  # of each four updates the first three are of the encoder alone
        run.events.clear()
        stop = lambda count=updates: signal.SIGTERM if len(run.told(events.Step)) == count else None  # noqa: E731
        run.stopped(Interrupted, signal=stop)
        assert run.load().trainer["method"]["updates"] > 0, "not stopped in the inner loop"
    run.train()
    assert_same_run(run, whole)


def test_stopped_by_a_signal_in_validation(method: str, whole: Any, new_run: NewRun) -> None:
    run = new_run(method)
    error = run.stopped(
        Interrupted, signal=lambda: signal.SIGTERM if len(run.told(events.Measuring)) == 3 else None
    )
    assert error.exit_code == 143
    position = run.load().trainer["position"]
    assert position["batch"] == 3, "not stopped in a validation"
    run.train()
    assert_same_run(run, whole)


def test_stopped_during_a_methods_own_validation(
    begin_run: NewRun, new_run: NewRun, tmp_path: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The lagging encoder's check may cover all validation sentences; an unfinished check changes nothing."""
    whole = begin_run(tmp_path, "vae-lagging", "whole")
    whole.train()
    run, checks, original = new_run("vae-lagging"), [], BetweenEpochs._after_epoch

    def watched(self: BetweenEpochs) -> dict[str, float]:
        checks.append(1)
        return original(self)

    monkeypatch.setattr(BetweenEpochs, "_after_epoch", watched)
    run.stopped(Interrupted, signal=lambda: signal.SIGTERM if checks else None)
    assert len(checks) == 1
    run.train()
    assert_same_run(run, whole)


@pytest.mark.parametrize(
    ("kind", "number"),
    [(events.Step, 1), (events.Step, 4), (events.Epoch, 1)],
    ids=["at step 1", "at step 4", "before a validation is saved"],
)
def test_killed_and_resumed(method: str, whole: Any, new_run: NewRun, kind: type, number: int) -> None:
    def kill(event: Any) -> None:
        if isinstance(event, kind) and (event.step if kind is events.Step else event.epoch) == number:
            raise Killed

    run = new_run(method)
    run.stopped(Killed, observer=kill)
    run.train()
    assert_same_run(run, whole)


def poison(monkeypatch: pytest.MonkeyPatch, kind: str, step: int) -> None:
    """Put a value that is not finite into one update, as an overflow would."""
    for owner in METHODS.values():
        original = owner.gradients

        def gradients(self: Method, batch: Any, clock: Any, original: Any = original) -> dict[str, float]:
            if kind == "weights" and clock.step == step:
                with torch.no_grad():
                    self.generator.output_bias[0] = math.nan
            sums = original(self, batch, clock)
            if kind == "gradient" and clock.step == step:
                module = getattr(self, "encoder", self.generator)  # the encoder may be updated alone
                gradient = module.recurrent.grad
                if gradient is not None:
                    gradient[0, 0] = math.inf
            if kind == "loss" and clock.step == step:
                sums["recon"] = math.nan
            return sums

        monkeypatch.setattr(owner, "gradients", gradients)


@pytest.mark.parametrize("kind", ["gradient", "loss", "weights"])
@pytest.mark.parametrize("step", [0, 5])
def test_nonfinite_values_leave_a_good_checkpoint(
    method: str, whole: Any, new_run: NewRun, monkeypatch: pytest.MonkeyPatch, kind: str, step: int
) -> None:
    run = new_run(method)
    with monkeypatch.context() as patch:
        poison(patch, kind, step)
        error = run.stopped(NumericalError)
    assert error.exit_code == 4
    assert f"step {step}" in str(error)
    if kind == "weights" and step == 0:
        assert not (run.folder / LAST).exists(), "there was no good state to save"
        return
    saved = run.load()
    assert all(bool(torch.isfinite(tensor).all()) for tensor in saved.weights.values())
    assert str(run.folder / LAST) in str(error)
    if kind != "weights":
        assert saved.progress.step == step
    if kind == "loss":  # resume in one case only, to save time
        run.train()
        assert_same_run(run, whole)


def test_run_cannot_resume_on_another_corpus(new_run: NewRun, subword_corpus: Any) -> None:
    run = new_run()
    run.train(max_steps=1)
    run.corpus = subword_corpus
    with pytest.raises((DataError, CheckpointError), match=r"new run|another checkpoint"):
        run.make()


def test_best_cannot_be_resumed(new_run: NewRun) -> None:
    run = new_run()
    run.train(max_steps=4)
    shutil.copy(run.folder / BEST, run.folder / LAST)
    with pytest.raises(CheckpointError, match=r"last\.pt is a model alone, which cannot be resumed"):
        run.make()


def test_finished_plan_is_not_trained_further(new_run: NewRun) -> None:
    run = new_run("lm", training={"epochs": 1})
    assert run.train().steps == 3
    assert run.train().steps == 3
    assert len(run.told(events.Step)) == 3


def test_longer_plan_continues(new_run: NewRun) -> None:
    run = new_run("lm", training={"epochs": 1})
    run.train()
    trainer = run.make()
    config = trainer.state.config
    trainer.state.method.config = replace(config, training=replace(config.training, epochs=2))
    assert trainer.run().steps == 6


def test_precision_is_chosen_once_and_kept(new_run: NewRun, monkeypatch: pytest.MonkeyPatch) -> None:
    run = new_run("lm", training={"precision": "auto"})
    for step, fastest in enumerate(("bfloat16", "float32"), 1):
        resolve = lambda asked, *_, fastest=fastest: fastest if asked == "auto" else asked  # noqa: E731
        monkeypatch.setattr(new_method, "resolve_precision", resolve)
        run.train(max_steps=step)
        assert run.trainer.state.method.precision == "bfloat16"
    assert run.load().config.training.precision == "bfloat16"


def test_bfloat16_trains_close_to_float32(new_run: NewRun) -> None:
    weights = []
    for precision in ("float32", "bfloat16"):
        run = new_run("lm", precision, training={"precision": precision})
        run.train(max_steps=3)
        weights.append(parameters_to_vector(run.trainer.state.method.modules.parameters()).detach())
    difference = float((weights[0] - weights[1]).norm() / weights[0].norm())
    assert 0 < difference < 0.02


@pytest.mark.parametrize("ours_first", [True, False])
def test_switching_sampler_on_resume_fits_the_statistics(
    new_run: NewRun, settings: Callable[..., Any], ours_first: bool
) -> None:
    """Statistics that the new sampler needs start at zero; those that it does not read are dropped."""
    ours, plain = ({"preconditioned": True, "words": 4}, {"preconditioned": False, "words": 0})
    before, after = (ours, plain) if ours_first else (plain, ours)
    run = new_run("sri", sampler=before)
    run.train(max_steps=2)
    first = run.load()
    config = replace(first.config, sampler=settings("sri", sampler=after).sampler)
    method = state.RunState(run.corpus, config, run.folder, torch.device("cpu"), first).method
    names = {name for name, _ in method.modules.named_buffers()}
    assert names == (set() if ours_first else {"preconditioner.fisher", "word_mass.mass"})
    for name, parameter in method.modules.named_parameters():
        assert torch.equal(parameter, first.weights[name])
    if not ours_first:
        assert not method.modules.get_buffer("preconditioner.fisher").any()
