"""Methods that begin as an autoencoder: one command, or from a run of `ae`; and what the other runs can be given."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from sritool.analysis.info import describe_checkpoint
from sritool.errors import CheckpointError, DataError, UsageError
from sritool.runs.folder import AUTOENCODER, BEST, LAST, METRICS
from sritool.runs.metrics_log import read_metrics
from sritool.runs.model import load_model
from sritool.runs.stage import Stage
from sritool.training import events
from sritool.training.sources import sort_sources
from sritool.training.state import RunState

NewRun = Callable[..., Any]
METHODS = ("vae-fb", "vae-fbp")


# Steps that become too large after two thirds of the plan: the second of three epochs is the best.
UNSTEADY: dict[str, Any] = {
    "learning_rate": 3.0,
    "clip": 0.0,
    "decay": {"start": 0.01, "end": 1.0, "begin": 0.67, "finish": 0.68},
}


@pytest.mark.parametrize("noise", [False, True])
@pytest.mark.parametrize("method", METHODS)
def test_a_given_encoder_is_the_stage_that_it_stands_for(new_run: NewRun, method: str, noise: bool) -> None:
    changes = {"optimizer": UNSTEADY, "autoencoder": {"noise": noise}}
    autoencoder = new_run("ae", "ae", training={"epochs": 3}, **changes)
    autoencoder.train()
    assert autoencoder.load(BEST).progress["epoch"] == 2
    encoders = []
    for keep, file in (("best", BEST), ("last", LAST)):
        whole = new_run(method, f"whole {keep}", pretraining={"epochs": 3, "keep": keep}, **changes)
        whole.train()
        encoder = {"encoder": str(autoencoder.folder / file)}
        given = new_run(method, f"given {keep}", pretraining=encoder, **changes)
        outcome = given.train()
        assert outcome.steps == 6
        assert (whole.folder / AUTOENCODER).is_file() == (keep == "best")
        one, other = whole.load().weights, given.load().weights
        assert all(torch.equal(tensor, other[name]) for name, tensor in one.items())
        encoders.append(one["encoder.embedding"])
    assert not torch.equal(*encoders)
    # Only to begin with: the run goes on though the autoencoder is gone.
    (autoencoder.folder / LAST).unlink()
    assert given.train().reason == "done"


class _Killed(Exception):  # noqa: N818 - an end, and no error
    """Stands for SIGKILL: nothing is saved on the way out."""


@pytest.mark.parametrize("where", ["best told", "worse told", "best saved", "before it is taken"])
def test_killed_around_the_best_autoencoder(
    new_run: NewRun, monkeypatch: pytest.MonkeyPatch, where: str
) -> None:
    changes = {
        "optimizer": UNSTEADY,
        "autoencoder": {"noise": True},
        "pretraining": {"epochs": 3, "keep": "best"},
        "training": {"epochs": 1},
    }
    whole, run, save = new_run("vae-fb", "whole", **changes), new_run("vae-fb", **changes), RunState.save
    whole.train()

    def kill_at(event: events.Event) -> None:
        if isinstance(event, events.Epoch) and event.stage and event.epoch == 2 + (where == "worse told"):
            raise _Killed

    def save_and_kill(self: RunState, name: str) -> None:
        save(self, name)
        if name == AUTOENCODER and self.position.epoch == 2:
            raise _Killed

    def die(self: RunState) -> None:
        raise _Killed

    with monkeypatch.context() as patched:
        if where == "best saved":
            patched.setattr(RunState, "save", save_and_kill)
        if where == "before it is taken":
            patched.setattr(RunState, "end_pretraining", die)
        run.stopped(_Killed, observer=kill_at if "told" in where else None)
    run.train()
    for name in (LAST, BEST, AUTOENCODER):
        one, other = whole.load(name).weights, run.load(name).weights
        assert all(torch.equal(tensor, other[key]) for key, tensor in one.items()), name


def test_the_best_autoencoder_is_gone(new_run: NewRun) -> None:
    run = new_run("vae-fb", optimizer=UNSTEADY, pretraining={"epochs": 3, "keep": "best"})
    run.train(max_steps=7)  # in the third epoch, which is not better
    (run.folder / AUTOENCODER).unlink()
    assert "autoencoder.pt" in str(run.stopped(CheckpointError))
    assert run.load().progress["pretraining"], "it can go on once the file is back"


def test_stages_are_told_and_logged_apart(new_run: NewRun) -> None:
    run = new_run("vae-fb", pretraining={"epochs": 2}, training={"epochs": 1})
    run.train()
    told = [(event.epoch, event.epochs, event.stage == "autoencoder") for event in run.told(events.Epoch)]
    assert told == [(1, 2, True), (2, 2, True), (1, 1, False)]
    assert {event.steps for event in run.told(events.Step)} == {9}
    records = [record for record in read_metrics(run.folder / METRICS) if record["kind"] == "epoch"]
    assert [(record["epoch"], record.get("stage") == "autoencoder") for record in records] == told_of(told)
    assert ["nll" in record for record in records] == [False, False, True]
    assert run.load(BEST).progress["epoch"] == 1


def told_of(told: list[tuple[int, int, bool]]) -> list[tuple[int, bool]]:
    return [(epoch, pretraining) for epoch, _, pretraining in told]


def test_a_third_of_the_plan_where_nothing_is_said(new_run: NewRun) -> None:
    run = new_run("vae-fbp", training={"epochs": 4})
    run.train(max_steps=1)
    assert run.told(events.Step)[0].epochs == 2
    assert run.told(events.Step)[0].steps == 1
    assert run.trainer.state.epochs == 2


def test_what_is_still_an_autoencoder_is_not_evaluated(new_run: NewRun) -> None:
    run = new_run("vae-fb", pretraining={"epochs": 2})
    assert run.train(max_steps=4).stage is Stage.AUTOENCODER
    assert not (run.folder / BEST).exists()
    with pytest.raises(CheckpointError, match="train on with --resume"):
        load_model(run.folder)
    assert dict(describe_checkpoint(run.folder / LAST))["stage"] == "autoencoder, of 2 epochs"
    assert run.train().stage is Stage.METHOD
    assert load_model(run.folder).latent == 3
    assert "stage" not in dict(describe_checkpoint(run.folder / LAST))


def test_encoders_that_do_not_fit(new_run: NewRun, subword_corpus: Any) -> None:
    def refused(source: Any, error: type[Exception], words: str, **changes: Any) -> None:
        given = {"encoder": str(source.folder / LAST)}
        run = new_run("vae-fb", f"from-{words}", pretraining=given, **changes)
        with pytest.raises(error, match=words):
            run.make()

    language_model, autoencoder, variational = (
        new_run("lm", "lm"),
        new_run("ae", "ae"),
        new_run("vae-anneal", "vae"),
    )
    other = new_run("ae", "other")
    other.corpus = subword_corpus
    for run in (language_model, autoencoder, variational, other):
        run.train(max_steps=1)
    refused(language_model, UsageError, "no encoder")
    refused(variational, UsageError, "a run of vae-anneal, not an autoencoder")
    refused(autoencoder, UsageError, "give --hidden 6", generator={"hidden": 7})
    refused(autoencoder, UsageError, "autoencoder.noise=false", autoencoder={"noise": True})
    refused(other, DataError, "another corpus")
    (autoencoder.folder / LAST).write_bytes(b"nothing")
    refused(autoencoder, CheckpointError, "not a sritool checkpoint")


def test_sources_are_told_apart(new_run: NewRun, tmp_path: Path) -> None:
    run = new_run("ae", "ae")
    run.train(max_steps=1)
    folder, file = tmp_path / "texts", run.folder / LAST
    folder.mkdir()
    runs = run.folder.parent
    assert sort_sources([], runs) == (None, None)
    assert sort_sources([folder], runs) == (None, folder)
    assert sort_sources([file, folder], runs) == (file, folder)
    for name in (run.folder, Path("ae")):
        assert sort_sources([name], runs) == (run.folder / BEST, None)
    for resuming in (False, True):
        bundled, none = sort_sources([Path("tiny-sri")], runs, resuming)
        assert (bundled and bundled.name, none) == (BEST, None)
    gone = tmp_path / "nothere"
    assert sort_sources([gone], runs, resuming=True) == (gone, None)
    with pytest.raises(CheckpointError, match="there is no such run"):
        sort_sources([gone], runs)
    for two in ([file, run.folder], [folder, tmp_path]):
        with pytest.raises(UsageError, match="give one"):
            sort_sources(two, runs)


def test_an_encoder_and_epochs_for_one_are_one_too_many(settings: Callable[..., Any]) -> None:
    with pytest.raises(UsageError, match="leave one out"):
        settings("vae-fb", pretraining={"epochs": 2, "encoder": "runs/mine-ae/best.pt"})


def test_nobody_is_warned_of_an_autoencoders_collapse(new_run: NewRun) -> None:
    run = new_run(
        "vae-fb", pretraining={"epochs": 5}, optimizer={"learning_rate": 1e-9}
    )  # which learns nothing
    assert run.train(max_steps=15).stage is Stage.METHOD
    assert len(run.told(events.Epoch)) == 5
    assert not run.told(events.Note)
    other = new_run("vae-anneal", "other", training={"epochs": 5}, optimizer={"learning_rate": 1e-9})
    other.train()
    assert "posterior collapse" in other.told(events.Note)[0].text


def test_the_learning_rate_is_halved_when_validation_stalls(new_run: NewRun) -> None:
    changes = {
        "optimizer": {"name": "sgd", "learning_rate": 1e-12, "halve_after": 2},
        "training": {"epochs": 6},
    }
    run = new_run("lm", **changes)  # which learns nothing, so that no epoch after the first is better
    run.train()
    assert run.load().trainer["position"]["halvings"] == 2
    rates = [group["lr"] for group in run.trainer.state.optimizer.param_groups]
    assert rates == [pytest.approx(1e-12 / 4)]


def test_steps_of_the_autoencoder_are_marked(new_run: NewRun) -> None:
    run = new_run("vae-fb", pretraining={"epochs": 1}, training={"epochs": 1})
    run.train()
    (first,) = [record for record in read_metrics(run.folder / METRICS) if record["kind"] == "step"]
    assert first["stage"] == "autoencoder"
