"""Every command that shows something about z reports whether the generator ignores z."""

from __future__ import annotations

import numpy as np
import pytest

import sritool
from support.tables import Run

NOTE = "the generator ignores z"
FEW = ("--samples", "8", "--pilots", "8")


@pytest.mark.parametrize(
    "command",
    [
        ("evaluate", "mine-sri", *FEW),
        ("evaluate", "mine-sri", "--metrics", "nll", *FEW),
        ("evaluate", "mine-sri", "mine-lm", *FEW),
        ("compare", "mine-sri", "--metrics", "permuted"),
        ("sample", "mine-sri", "-n", "2"),
        ("interpolate", "mine-sri", "-n", "1", "--points", "2"),
        ("encode", "mine-sri", "--text", "mine.txt"),
        ("decode", "mine-sri", "--codes", "codes.npy"),
    ],
    ids=" ".join,
)
def test_collapse_is_reported(run: Run, command: tuple[str, ...], monkeypatch: pytest.MonkeyPatch) -> None:
    np.save("codes.npy", sritool.load("mine-sri").prior(2))
    for bound, notes in ((1e9, 1), (-1e9, 0)):
        monkeypatch.setattr("sritool.evaluation.collapse.COLLAPSE_NATS", bound)
        result = run(*command)
        assert (result.exit_code, result.stderr.count(NOTE)) == (0, notes)


def test_language_model_is_not_reported_as_collapsed(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sritool.evaluation.collapse.COLLAPSE_NATS", 1e9)
    for command in (("sample", "mine-lm", "-n", "2"), ("evaluate", "mine-lm")):
        assert NOTE not in run(*command).stderr


def test_refusal_does_not_mention_collapse(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sritool.evaluation.collapse.COLLAPSE_NATS", 1e9)
    result = run("evaluate", "mine-sri", "--metrics", "elbo-gain")
    assert (result.exit_code, result.stderr.count(NOTE)) == (2, 0)
    assert "elbo-gain: not measured, as sri has no encoder; give other metrics" in result.stderr
