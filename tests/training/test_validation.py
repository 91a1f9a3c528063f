"""The budget of validation: a share of the training work, at most the configured level, fixed for a run."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from sritool.config.settings import LikelihoodConfig, RunConfig
from sritool.data.store import load_corpus
from sritool.evaluation.measure import Measured
from sritool.evaluation.metrics import Estimate
from sritool.methods.registry import METHODS, build_method
from sritool.runs.bundled import bundled_run
from sritool.runs.folder import BEST
from sritool.runs.model import load_model
from sritool.training import events, validation
from sritool.training.validation import (
    FEWEST,
    Level,
    affordable,
    from_dear_to_cheap,
    level_of,
    metrics_of,
    passes_of,
    summary_line,
)
from support.figures import ORIGIN
from training.helpers import NewRun, records_of

SET = LikelihoodConfig(samples=50, pilots=64, rounds=3)
SECOND = Level(5, LikelihoodConfig(4, 6, 1, 1), every=2)


def test_cheapest_validation_is_close_to_a_thorough_one(invoke: Callable[..., Any]) -> None:
    """It is 0.15 nats too high; with one round of pilots it would be 0.38."""
    invoke("preprocess", "tiny")
    split, folder = load_corpus(Path("data/tiny")).split("valid"), bundled_run("tiny-sri")
    assert folder is not None
    method, thorough = load_model(folder).method, LikelihoodConfig()

    def nll(level: LikelihoodConfig) -> float:
        estimates = validation.validate(method, split, 128, level, lambda *_: None)
        return next(estimate.value for estimate in estimates if estimate.metric == "nll")

    assert nll(from_dear_to_cheap(thorough)[-1]) == pytest.approx(nll(thorough), abs=0.2)


class Sentences:
    """A stand-in for a split, with the parts that the budget reads."""

    def __init__(self, count: int, length: int = 12) -> None:
        self.lengths = np.full(count, length)

    def __len__(self) -> int:
        return len(self.lengths)


def spent(method: Any, level: Level, train: Any) -> float:
    """Work of validation at this level as a share of the training work."""
    each = passes_of(method, metrics_of(method), level.likelihood, float(train.lengths.mean()))
    return level.sentences * each / (level.every * len(train) * method.work().training)


@pytest.mark.parametrize("pretraining", [False, True])
@pytest.mark.parametrize("name", METHODS)
def test_validation_stays_within_its_share(name: str, pretraining: bool) -> None:
    latent = 0 if name == "lm" else 32
    config = RunConfig(name)
    config = replace(config, generator=replace(config.generator, hidden=64, latent=latent))
    method = build_method(config, 3000)
    method.pretraining = pretraining and method.pretrains
    before = 0.0
    for count in (100, 2000, 12_000, 40_000, 1_000_000):
        train: Any = Sentences(count)
        level = level_of(method, config, train, Sentences(2000))  # type: ignore[arg-type]
        assert spent(method, level, train) <= 0.1
        assert FEWEST <= level.sentences <= 256
        rate = level.sentences * level.likelihood.samples / level.every
        assert rate >= before, "a larger corpus affords less"
        before = rate
    assert level == Level(256, config.validation.likelihood), (
        "a large corpus does not get the configured level"
    )


@pytest.mark.parametrize("hidden", [64, 512])
@pytest.mark.parametrize("count", [3000, 10_000, 40_000, 100_000])
def test_costly_methods_are_validated_as_a_plain_vae(count: int, hidden: int) -> None:
    train: Any = Sentences(count)
    levels = []
    for name in ("vae-anneal", "sri", "sa-vae", "vae-lagging", "vae-fb"):
        config = RunConfig(name)
        config = replace(config, generator=replace(config.generator, hidden=hidden))
        method = build_method(config, 3000)
        levels.append(level_of(method, config, train, Sentences(2000)))  # type: ignore[arg-type]
        assert spent(method, levels[0], train) <= 0.1
    assert len(set(levels)) == 1


def test_share_of_zero_means_no_bound() -> None:
    config = RunConfig("vae-anneal")
    config = replace(config, validation=replace(config.validation, share=0.0))
    method = build_method(config, 3000)
    train: Any = Sentences(10)
    valid: Any = Sentences(100)
    level = level_of(method, config, train, valid)
    assert level == Level(100, config.validation.likelihood)
    assert summary_line(level, method, config, valid, 8) is None


def test_draws_are_reduced_before_sentences() -> None:
    def cost(likelihood: LikelihoodConfig) -> float:
        return likelihood.samples + 2 * likelihood.pilots * likelihood.rounds

    found = [affordable(passes, cost, 256, SET) for passes in (1e9, 5e4, 2e4, 1e4, 1e3)]
    assert found[0] == Level(256, SET)
    for richer, poorer in pairwise(found):
        assert poorer.sentences * cost(poorer.likelihood) <= richer.sentences * cost(richer.likelihood)
        fewer_sentences = poorer.sentences < richer.sentences
        assert not fewer_sentences or poorer.likelihood == from_dear_to_cheap(SET)[-1]
    assert found[-1].sentences == FEWEST


def test_configured_samples_are_never_exceeded() -> None:
    few = LikelihoodConfig(samples=5, pilots=70, rounds=2)
    for candidate in from_dear_to_cheap(few):
        assert (candidate.samples, candidate.rounds) <= (5, 2)
        assert candidate.pilots <= 70
        assert (candidate.modes, candidate.degrees) == (few.modes, few.degrees)


def test_validation_is_due_every_n_epochs_and_at_the_end() -> None:
    for every in range(1, 9):
        for planned in range(1, 20):
            level = Level(64, SET, every)
            due = [done for done in range(1, planned + 1) if level.is_due(done, planned)]
            for done in range(planned + 1):
                assert level.to_come(done, planned) == sum(epoch > done for epoch in due)
            assert due[-1] == planned
            assert len(due) == max(1, planned // every)
            assert all(count * every <= max(done, every) for count, done in enumerate(due, 1))


@pytest.fixture
def every_second(monkeypatch: pytest.MonkeyPatch) -> None:
    """Runs that validate after every second epoch."""
    monkeypatch.setattr(validation, "level_of", lambda *_: SECOND)


@pytest.mark.parametrize("method", ["sri", "lm", "vae-lagging"])
@pytest.mark.slow
def test_validation_after_every_second_epoch(method: str, every_second: None, new_run: NewRun) -> None:
    run = new_run(method, training={"epochs": 5})
    assert run.train().reason == "done"
    records = records_of(run)
    assert [record["epoch"] for record in records] == [3, 5] == [e.epoch for e in run.told(events.Epoch)]
    draws = 0 if method == "lm" else 4
    assert {(record["sentences"], record["draws"]) for record in records} == {(5, draws)}
    assert run.load(BEST).progress.epoch in (3, 5)
    to_come = [step.validations for step in run.told(events.Step)]
    assert (to_come[0], to_come[-1]) == (2, 1)
    assert to_come == sorted(to_come, reverse=True)
    assert len([note for note in run.told(events.Note) if "validation" in note.text]) == 1
    halves = new_run(method, "halves", training={"epochs": 5})
    for steps in (2, 6, 8, None):
        halves.train(max_steps=steps)
    ours, theirs = (
        [{k: v for k, v in record.items() if not k.endswith("seconds")} for record in records_of(each)]
        for each in (halves, run)
    )
    assert ours == theirs


def test_pretraining_ends_with_a_validation(every_second: None, new_run: NewRun) -> None:
    run = new_run("vae-fb", training={"epochs": 2}, pretraining={"epochs": 3})
    run.train()
    assert [(r["epoch"], r.get("stage")) for r in records_of(run)] == [(3, "autoencoder"), (2, None)]


@pytest.mark.parametrize(("patience", "ends"), [(1, 4), (2, 4), (3, 6), (4, 6), (5, 8)])
def test_patience_counts_epochs(
    every_second: None, new_run: NewRun, monkeypatch: pytest.MonkeyPatch, patience: int, ends: int
) -> None:
    figures = iter([5.0, 6.0, 7.0, 8.0])
    estimate = lambda value: Estimate("nll", value, 0.1, "", 5, 4, "")  # noqa: E731
    monkeypatch.setattr(validation, "measure", lambda *_: Measured([estimate(next(figures))], {}, [], ORIGIN))
    run = new_run("lm", training={"epochs": 12, "patience": patience}, optimizer={"decay": 1.0})
    assert run.train().reason == "early stop"
    assert run.load().progress.epoch == ends
    assert run.load(BEST).progress.epoch == 2
