"""Regularisation under every method: training works, and a resumed run matches an uninterrupted one bitwise."""

from __future__ import annotations

from typing import Any

import pytest
import torch

from sritool.methods.registry import METHODS
from training.helpers import NewRun, assert_same_weights

REGULARISED: dict[str, Any] = {"dropout": 0.5, "input_dropout": 0.25, "dropout_mask": "sentence"}
REGULARISED |= {"word_dropout": 0.2, "tied_embeddings": True, "weight_drop": 0.25}


@pytest.mark.parametrize(
    "name", [pytest.param(name, marks=() if name == "sri" else pytest.mark.slow) for name in METHODS]
)
def test_resumed_run_matches_bit_for_bit(new_run: NewRun, name: str) -> None:
    whole, stopped, plain = (
        new_run(name, folder, generator=generator)
        for folder, generator in (("whole", REGULARISED), ("stopped", REGULARISED), ("plain", {}))
    )
    for run in (whole, plain):
        assert run.train().reason == "done"
    assert stopped.train(max_steps=4).reason == "max-steps"
    assert stopped.train().reason == "done"
    assert_same_weights(whole, stopped)
    weights = whole.load().weights
    assert all(bool(torch.isfinite(tensor).all()) for tensor in weights.values())
    assert not torch.equal(plain.load().weights["generator.recurrent"], weights["generator.recurrent"])
