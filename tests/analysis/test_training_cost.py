"""Whether a run has ended, from its own last.pt."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from sritool.analysis import training_cost
from sritool.analysis.training_cost import training_of
from sritool.data.store import Corpus
from sritool.runs.checkpoint import Checkpoint, save_checkpoint
from sritool.runs.folder import BEST, LAST
from sritool.runs.model import load_model
from sritool.training.position import is_over
from training.helpers import NewRun


def with_more_epochs(saved: Checkpoint, epochs: int, **position: object) -> Checkpoint:
    assert saved.trainer is not None
    training = replace(saved.config.training, epochs=epochs)
    trainer = {**saved.trainer, "position": {**saved.trainer["position"], **position}}
    return replace(saved, config=replace(saved.config, training=training), trainer=trainer)


def test_a_run_resumed_with_more_epochs_has_not_ended(
    new_run: NewRun, corpus: Corpus, monkeypatch: pytest.MonkeyPatch
) -> None:
    """best.pt keeps the shorter plan until an epoch of the longer one is better."""
    monkeypatch.setattr(training_cost, "prepared_corpus", lambda *_: corpus)
    run = new_run("lm")
    run.train()
    save_checkpoint(with_more_epochs(run.load(LAST), 9), run.folder / LAST)
    found = training_of(load_model(run.folder / BEST), Path("unused"))
    assert (found.planned, found.ended) == (9, False)
    assert "of 9 epochs" in found.left


@pytest.mark.parametrize("halvings", [0, 1])
def test_a_run_may_end_before_its_plan(new_run: NewRun, halvings: int) -> None:
    run = new_run("lm", optimizer={"halve_after": 1, "halvings": 1})
    run.train(max_steps=1)
    saved = with_more_epochs(run.load(LAST), 9, halvings=halvings)
    assert is_over(saved, run.folder / LAST) == (halvings == 1)
