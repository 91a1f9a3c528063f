"""Methods that are pretrained as an autoencoder, in one command or from a run of `ae`."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from sritool.analysis.info import describe_checkpoint
from sritool.errors import CheckpointError, DataError, UsageError
from sritool.runs.folder import AUTOENCODER, BEST, LAST
from sritool.runs.model import load_model
from sritool.runs.stage import Stage
from sritool.training import events
from sritool.training.sources import sort_sources
from sritool.training.state import RunState
from training.helpers import Killed, NewRun, assert_same_weights, equal_weights, records_of

METHODS = ("vae-fb", "vae-fbp")
# The steps become too large after two thirds of the plan, so that the second of three epochs is the best.
UNSTEADY: dict[str, Any] = {
    "learning_rate": 3.0,
    "clip": 0.0,
    "decay": {"start": 0.01, "end": 1.0, "begin": 0.67, "finish": 0.68},
}


@pytest.mark.parametrize("noise", [False, True])
@pytest.mark.parametrize("method", METHODS)
def test_given_encoder_replaces_the_pretraining_stage(new_run: NewRun, method: str, noise: bool) -> None:
    changes = {"optimizer": UNSTEADY, "autoencoder": {"noise": noise}}
    autoencoder = new_run("ae", "ae", training={"epochs": 3}, **changes)
    autoencoder.train()
    assert autoencoder.load(BEST).progress.epoch == 2
    encoders = []
    for keep, file in (("best", BEST), ("last", LAST)):
        whole = new_run(method, f"whole {keep}", pretraining={"epochs": 3, "keep": keep}, **changes)
        whole.train()
        encoder = {"encoder": str(autoencoder.folder / file)}
        given = new_run(method, f"given {keep}", pretraining=encoder, **changes)
        outcome = given.train()
        assert outcome.steps == 6
        assert (whole.folder / AUTOENCODER).is_file() == (keep == "best")
        assert equal_weights(whole.load(), given.load())
        assert len(given.load().config.warm_start.digest) == 64
        encoders.append(whole.load().weights["encoder.embedding"])
    assert not torch.equal(*encoders)
    # The autoencoder is needed only at the start: the run resumes without it.
    (autoencoder.folder / LAST).unlink()
    assert given.train().reason == "done"


@pytest.mark.parametrize("where", ["best reported", "worse reported", "best saved", "before it is used"])
def test_killed_around_saving_the_best_autoencoder(
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
        if isinstance(event, events.Epoch) and event.stage and event.epoch == 2 + (where == "worse reported"):
            raise Killed

    def save_and_kill(self: RunState, name: str) -> None:
        save(self, name)
        if name == AUTOENCODER and self.position.epoch == 2:
            raise Killed

    def die(self: RunState) -> None:
        raise Killed

    with monkeypatch.context() as patched:
        if where == "best saved":
            patched.setattr(RunState, "save", save_and_kill)
        if where == "before it is used":
            patched.setattr(RunState, "end_pretraining", die)
        run.stopped(Killed, observer=kill_at if "reported" in where else None)
    run.train()
    assert_same_weights(run, whole, LAST, BEST, AUTOENCODER)


def test_missing_best_autoencoder_is_an_error(new_run: NewRun) -> None:
    run = new_run("vae-fb", optimizer=UNSTEADY, pretraining={"epochs": 3, "keep": "best"})
    run.train(max_steps=7)  # in the third epoch, which is not better
    (run.folder / AUTOENCODER).unlink()
    assert "autoencoder.pt" in str(run.stopped(CheckpointError))
    assert run.load().progress.pretraining, "it cannot resume once the file is back"


def test_stages_are_reported_and_logged(new_run: NewRun) -> None:
    run = new_run("vae-fb", pretraining={"epochs": 2}, training={"epochs": 1})
    run.train()
    reported = [(event.epoch, event.epochs, event.stage) for event in run.told(events.Epoch)]
    assert reported == [(1, 2, "autoencoder"), (2, 2, "autoencoder"), (1, 1, "")]
    assert {event.steps for event in run.told(events.Step)} == {9}
    records = records_of(run)
    assert [(r["epoch"], r.get("stage")) for r in records] == [
        (1, "autoencoder"),
        (2, "autoencoder"),
        (1, None),
    ]
    assert ["nll" in record for record in records] == [False, False, True]
    assert [record["stage"] for record in records_of(run, "step")] == ["autoencoder"]
    assert run.load(BEST).progress.epoch == 1


def test_pretraining_is_a_third_of_the_plan_by_default(new_run: NewRun) -> None:
    run = new_run("vae-fbp", training={"epochs": 4})
    run.train(max_steps=1)
    assert run.told(events.Step)[0].epochs == 2
    assert run.told(events.Step)[0].steps == 1
    assert run.trainer.state.epochs == 2


def test_unfinished_autoencoder_is_not_evaluated(new_run: NewRun) -> None:
    run = new_run("vae-fb", pretraining={"epochs": 2})
    assert run.train(max_steps=4).stage is Stage.AUTOENCODER
    assert not (run.folder / BEST).exists()
    with pytest.raises(CheckpointError, match="train on with --resume"):
        load_model(run.folder)
    assert dict(describe_checkpoint(run.folder / LAST))["stage"] == "autoencoder, of 2 epochs"
    assert run.train().stage is Stage.METHOD
    assert load_model(run.folder).latent == 3
    assert "stage" not in dict(describe_checkpoint(run.folder / LAST))


def test_unsuitable_encoders_are_refused(new_run: NewRun, subword_corpus: Any) -> None:
    def refused(source: Any, error: type[Exception], words: str, **changes: Any) -> None:
        given = {"encoder": str(source.folder / LAST)}
        run = new_run("vae-fb", f"from-{words}", pretraining=given, **changes)
        with pytest.raises(error, match=words):
            run.make()

    language_model, autoencoder, variational = (new_run(name, name) for name in ("lm", "ae", "vae-anneal"))
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


def test_arguments_are_sorted_into_runs_and_folders(new_run: NewRun, tmp_path: Path) -> None:
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
    missing = tmp_path / "nothere"
    assert sort_sources([missing], runs, resuming=True) == (missing, None)
    with pytest.raises(CheckpointError, match="there is no such run"):
        sort_sources([missing], runs)
    for two in ([file, run.folder], [folder, tmp_path]):
        with pytest.raises(UsageError, match="give one"):
            sort_sources(two, runs)


def test_encoder_and_pretraining_epochs_exclude_each_other(settings: Callable[..., Any]) -> None:
    with pytest.raises(UsageError, match="leave one out"):
        settings("vae-fb", pretraining={"epochs": 2, "encoder": "runs/mine-ae/best.pt"})


def test_no_collapse_warning_during_pretraining(new_run: NewRun) -> None:
    still = {"learning_rate": 1e-9}  # nothing is learnt
    run = new_run("vae-fb", pretraining={"epochs": 5}, optimizer=still)
    assert run.train(max_steps=15).stage is Stage.METHOD
    assert len(run.told(events.Epoch)) == 5
    assert not run.told(events.Note)
    other = new_run("vae-anneal", "other", training={"epochs": 5}, optimizer=still)
    other.train()
    assert "posterior collapse" in other.told(events.Note)[0].text
