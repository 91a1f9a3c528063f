"""The training loop: limits, clipping, validation, the best model, early stopping, halvings, warnings."""

from __future__ import annotations

import math
from collections.abc import Callable
from itertools import chain
from typing import Any

import numpy as np
import pytest
import torch
from torch.nn.utils import parameters_to_vector

from sritool.analysis.info import describe_checkpoint
from sritool.config.settings import RunConfig
from sritool.config.values import build, read_toml
from sritool.data.batches import training_batches
from sritool.errors import NumericalError
from sritool.evaluation.collapse import has_collapsed
from sritool.evaluation.measure import Measured
from sritool.evaluation.metrics import Estimate
from sritool.methods.registry import METHODS, build_method
from sritool.runs.folder import BEST, CONFIG, LAST, METRICS
from sritool.runs.stage import Stage
from sritool.training import events, validation
from sritool.training.deadline import Deadline
from support.figures import ORIGIN
from training.helpers import NewRun, assert_same_weights, equal_weights, records_of

FIXED = {"steps": 3, "step_sizes": [0.1], "temperature": 0.3}


@pytest.fixture
def fake_nll(monkeypatch: pytest.MonkeyPatch) -> Callable[..., None]:
    """Make validation return these figures, one per epoch."""

    def fake(values: list[float], permuted: float = 5.0) -> None:
        remaining = iter(values)

        def measured(*_: Any) -> Measured:
            found = {"nll": next(remaining), "permuted": permuted}
            return Measured([Estimate(k, v, 0.1, "", 5, 4, "") for k, v in found.items()], {}, [], ORIGIN)

        monkeypatch.setattr(validation, "measure", measured)

    return fake


@pytest.mark.parametrize("method", METHODS)
def test_time_limit_of_zero_still_leaves_a_run(method: str, new_run: NewRun) -> None:
    run = new_run(method)
    outcome = run.train(deadline=Deadline(0))
    assert (outcome.reason, outcome.steps) == ("max-time", 0)
    # While a method is still pretrained as an autoencoder there is no model to evaluate.
    best = set() if outcome.stage is Stage.AUTOENCODER else {BEST}
    assert {path.name for path in run.folder.iterdir()} == {LAST, CONFIG, METRICS} | best
    initial = run.trainer.state.method.modules.state_dict()
    assert all(torch.equal(tensor, initial[name]) for name, tensor in run.load(LAST).weights.items())


def test_total_steps_respect_the_limit(new_run: NewRun) -> None:
    run = new_run("lm")
    run.train(max_steps=2)
    assert {event.steps for event in run.told(events.Step)} == {2}
    whole = new_run("lm", "whole")
    whole.train()
    assert {event.steps for event in whole.told(events.Step)} == {6}


def test_files_of_a_run(new_run: NewRun) -> None:
    run = new_run()
    run.train()
    config = run.trainer.state.config
    assert build(type(config), read_toml(run.folder / CONFIG)) == config == run.load(BEST).config
    assert run.load(BEST).trainer is None
    assert run.load(LAST).trainer is not None
    assert run.load(BEST).corpus.content_hash == run.corpus.info.content_hash
    epochs = records_of(run)
    assert all(0 < record["validation_seconds"] < record["seconds"] for record in epochs)
    assert [record["epoch"] for record in epochs] == [1, 2]
    assert epochs == run.load().metrics
    for name in ("nll", "recon", "posterior-kl", "permuted"):
        assert math.isfinite(epochs[0][name])
        assert math.isfinite(epochs[0][f"{name} se"])
    assert epochs[0]["nll"] != epochs[1]["nll"]


def test_each_sentence_is_seen_once_per_epoch(new_run: NewRun, monkeypatch: pytest.MonkeyPatch) -> None:
    run, seen = new_run("lm"), []
    original = METHODS["lm"].gradients

    def spied(self: Any, batch: Any, clock: Any) -> dict[str, float]:
        seen.append((clock, batch.examples.tolist()))
        return original(self, batch, clock)

    monkeypatch.setattr(METHODS["lm"], "gradients", spied)
    run.train()
    for epoch in range(2):
        mine = [examples for clock, examples in seen if clock.epoch == epoch]
        assert sorted(chain.from_iterable(mine)) == list(range(22))
        lengths = run.corpus.split("train").lengths
        assert mine == [batch.tolist() for batch in training_batches(lengths, 8, 0, epoch)]
    assert [clock.step for clock, _ in seen] == list(range(6))
    assert [clock.progress for clock, _ in seen] == pytest.approx([k / 6 for k in range(6)])


def test_reported_events(new_run: NewRun) -> None:
    run = new_run(training={"measure_every": 2})
    run.train()
    steps = run.told(events.Step)
    assert [(step.epoch, step.step, step.epochs, step.steps) for step in steps] == [
        (1 + k // 3, k + 1, 2, 6) for k in range(6)
    ]
    assert all(step.recon > 0 and step.gradient_norm > 0 and step.tokens_per_second > 0 for step in steps)
    assert all(step.columns["moved"] > 0 and 0 <= step.columns["unstable"] <= 1 for step in steps)
    measuring = run.told(events.Measuring)
    assert {event.label for event in measuring} >= {"validation: inference and likelihood"}
    assert all(0 <= event.done <= event.total == 5 for event in measuring)
    epochs = run.told(events.Epoch)
    assert [epoch.epoch for epoch in epochs] == [1, 2]
    known = set(run.corpus.tokenizer.words)
    assert all(set(epoch.sample.split()) <= known for epoch in epochs)


@pytest.mark.parametrize("clip", [0.05, 0.0])
def test_gradient_norm_is_clipped(new_run: NewRun, clip: float) -> None:
    """With SGD at rate 1, a step has the length of the clipped gradient."""
    run = new_run(optimizer={"name": "sgd", "learning_rate": 1.0, "clip": clip}, sampler=FIXED)
    trainer = run.make(max_steps=1)
    parameters = trainer.state.method.modules.parameters
    before = parameters_to_vector(parameters()).detach().clone()
    trainer.run()
    (step,) = run.told(events.Step)
    assert step.gradient_norm > 0.05
    expected = clip or step.gradient_norm
    moved = parameters_to_vector(parameters()).detach() - before
    assert float(moved.norm()) == pytest.approx(expected, rel=1e-3)


def test_training_learns(new_run: NewRun) -> None:
    """The entropy of 27 equally likely sentences is ln 27; an untrained model has about 12 nats."""
    run = new_run(
        "lm",
        training={"epochs": 16, "save_every": 1000},
        optimizer={"learning_rate": 0.1},
        generator={"hidden": 16, "dropout": 0.0},
    )
    run.train()
    nll = [record["nll"] for record in run.load().metrics]
    assert nll[0] > 7
    assert min(nll) < math.log(27) + 2.5
    assert run.load(BEST).progress.epoch == 1 + int(np.argmin(nll))


def test_best_is_the_epoch_with_the_lowest_nll(new_run: NewRun, fake_nll: Callable[..., None]) -> None:
    fake_nll([9.0, 5.0, 7.0, 5.0])
    run = new_run("lm", training={"epochs": 4})
    assert run.train().reason == "done"
    assert run.load(BEST).progress.epoch == 2
    assert [epoch.best for epoch in run.told(events.Epoch)] == [True, True, False, False]


@pytest.mark.parametrize("method", ["sri", "lm"])
def test_nan_validations_end_in_advice_for_the_method(
    new_run: NewRun, fake_nll: Callable[..., None], method: str
) -> None:
    fake_nll([math.nan] * 2)
    error = new_run(method).stopped(NumericalError)
    assert "no validation of this run was finite" in str(error)
    assert ("step" in str(error).partition("try")[2]) == (method == "sri")


def test_validation_always_uses_the_same_sentences(new_run: NewRun, monkeypatch: pytest.MonkeyPatch) -> None:
    seen, original = [], validation.measure

    def spied(method: Any, split: Any, examples: Any, settings: Any, *rest: Any) -> Measured:
        seen.append((examples.tolist(), settings.seed))
        return original(method, split, examples, settings, *rest)

    monkeypatch.setattr(validation, "measure", spied)
    new_run("lm").train()
    new_run("lm", "other", training={"seed": 5}).train()
    assert len(seen) == 4
    assert all(each == seen[0] for each in seen)
    assert len(set(seen[0][0])) == 5


CONSTANT_RATE: dict[str, Any] = {"optimizer": {"decay": 1.0}}


@pytest.mark.parametrize(
    ("method", "patience", "changes", "stops_after"),
    [
        ("lm", 1, CONSTANT_RATE, 3),
        ("lm", 2, CONSTANT_RATE, 4),
        ("lm", 0, CONSTANT_RATE, None),
        # The default rate is constant for 4 of 8 epochs, and must then have been falling for `patience` epochs.
        ("lm", 1, {}, 5),
        ("lm", 2, {}, 6),
        ("lm", 1, {"optimizer": {"decay": {"start": 1.0, "end": 0.5, "begin": 0.5, "finish": 0.5}}}, 4),
        ("lm", 1, {"optimizer": {"decay": {"start": 0.5, "end": 1.0, "begin": 0.0, "finish": 0.75}}}, 6),
        ("lm", 1, {"optimizer": {"decay": 1.0, "warmup": 0.75}}, 6),
        # The method's objective must have been constant for as many epochs too.
        ("sri", 1, {"sampler": {"temperature": {"start": 0.1, "end": 0.5, "finish": 0.75}}}, 7),
        ("sri", 2, {"sampler": {"temperature": {"start": 0.1, "end": 0.5, "finish": 0.625}}}, 7),
        ("vae-cyclical", 1, {"cycles": {"count": 2, "ramp": 0.5}}, 7),
        ("vae-cyclical", 1, {"cycles": {"count": 2, "ramp": 0.9}}, None),
        ("sri", 1, {"sampler": {"temperature": {"start": 0.1, "end": 0.5, "finish": 1.0}}}, None),
        ("lm", 1, {"sampler": {"temperature": {"start": 0.1, "end": 0.5, "finish": 1.0}}}, 5),
    ],
)
def test_early_stopping_waits_for_patience_and_schedules(
    new_run: NewRun,
    fake_nll: Callable[..., None],
    method: str,
    patience: int,
    changes: dict[str, Any],
    stops_after: int | None,
) -> None:
    fake_nll([6.0, 5.0, *[7.0] * 6])
    run = new_run(method, training={"epochs": 8, "patience": patience, "batch_size": 22}, **changes)
    outcome = run.train()
    assert outcome.reason == ("done" if stops_after is None else "early stop")
    assert len(run.told(events.Epoch)) == (stops_after or 8)
    assert run.load(BEST).progress.epoch == 2
    assert run.train().reason == outcome.reason, "a resumed run must not continue past its end"
    assert len(run.told(events.Epoch)) == (stops_after or 8)


def warnings(run: Any) -> list[str]:
    return [note.text for note in run.told(events.Note) if note.warning]


def test_posterior_collapse_is_warned_of_once(new_run: NewRun) -> None:
    """The parameters stay near 0, so nothing depends on z."""
    optimizer = {"learning_rate": 1e-9, "initial_scale": 1e-4}
    run = new_run(training={"epochs": 4, "batch_size": 22}, optimizer=optimizer)
    run.train()
    (warning,) = warnings(run)
    assert "posterior collapse" in warning
    kinds = [type(event) for event in run.events]
    assert kinds.index(events.Note) > [i for i, kind in enumerate(kinds) if kind is events.Epoch][2]


@pytest.mark.parametrize(("permuted", "collapsed"), [(0.29, True), (0.31, False)])
def test_collapse_bound_allows_two_standard_errors(
    new_run: NewRun, fake_nll: Callable[..., None], permuted: float, collapsed: bool
) -> None:
    fake_nll([5.0] * 3, permuted)  # the bound is 0.1 nats plus twice the error of 0.1
    run = new_run(training={"epochs": 3, "batch_size": 22})
    run.train()
    assert len(warnings(run)) == collapsed
    assert has_collapsed(run.load()) == collapsed  # from the checkpoint's record alone


def test_language_model_gets_no_collapse_warning(new_run: NewRun) -> None:
    run = new_run("lm", training={"epochs": 4, "batch_size": 22})
    run.train()
    assert warnings(run) == []


def test_last_halving_ends_the_run(new_run: NewRun, fake_nll: Callable[..., None]) -> None:
    fake_nll([5.0, 6.0, 6.0, 6.0, 6.0])
    run = new_run("lm", training={"epochs": 5}, optimizer={"halve_after": 1, "halvings": 2})
    assert run.train().reason == "halvings"
    assert run.load().progress.epoch == 3
    assert run.train().reason == "halvings", "a resumed run must not continue past its end"


@pytest.mark.parametrize("back", [True, False])
def test_halving_can_return_to_the_best_model(
    new_run: NewRun, fake_nll: Callable[..., None], back: bool
) -> None:
    fake_nll([5.0, 6.0])
    run = new_run("lm", training={"epochs": 2}, optimizer={"halve_after": 1, "return_to_best": back})
    run.train()
    assert equal_weights(run.load(BEST), run.load()) == back
    assert run.load(BEST).progress.epoch == 1


def test_run_that_returned_to_best_resumes_bitwise(new_run: NewRun, fake_nll: Callable[..., None]) -> None:
    changes = {"training": {"epochs": 4}, "optimizer": {"halve_after": 1, "return_to_best": True}}
    figures = [5.0, 6.0, 4.0, 7.0]
    fake_nll(figures)
    whole = new_run("lm", "whole", **changes)
    whole.train()
    parts = new_run("lm", "parts", **changes)
    for steps, rest in ((7, figures), (10, figures[2:]), (None, figures[3:])):
        fake_nll(rest)
        parts.train(max_steps=steps)
    assert_same_weights(whole, parts)


def test_last_model_can_be_selected(new_run: NewRun, fake_nll: Callable[..., None]) -> None:
    fake_nll([6.0, 5.0, 7.0])
    run = new_run("lm", training={"epochs": 3, "select": "last"})
    run.train()
    assert [epoch.best for epoch in run.told(events.Epoch)] == [True, True, False], (
        "`best` must still follow the validation figures"
    )
    assert run.load(BEST).progress.epoch == 3
    assert dict(describe_checkpoint(run.folder / BEST))["best validation epoch"] == 3


def test_best_model_can_be_selected_by_elbo(new_run: NewRun, monkeypatch: pytest.MonkeyPatch) -> None:
    figures = iter([(5.0, -7.0), (6.0, -5.0), (7.0, -6.0)])

    def measured(_method: Any, _split: Any, _chosen: Any, settings: Any, *_: Any) -> Measured:
        assert "elbo" in settings.metrics
        nll, elbo = next(figures)
        return Measured(
            [Estimate("nll", nll, 0.1, "", 5, 4, ""), Estimate("elbo", elbo, 0.1, "", 5, 4, "")],
            {},
            [],
            ORIGIN,
        )

    monkeypatch.setattr(validation, "measure", measured)
    run = new_run("vae-anneal", training={"epochs": 3, "select": "elbo"})
    run.train()
    assert run.load(BEST).progress.epoch == 2
    assert dict(describe_checkpoint(run.folder / BEST))["best validation elbo"] == -5.0


def test_sri_is_never_selected_by_elbo() -> None:
    config = build(RunConfig, {"training": {"select": "elbo"}})
    method = build_method(config, 9)
    assert validation.chosen_by(method) == "nll"
