"""Settings against overfitting, under every method: it trains, and a resumed run goes on bit for bit."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch

from sritool.methods.registry import METHODS

REGULARISED: dict[str, Any] = {"dropout": 0.5, "input_dropout": 0.25, "dropout_mask": "sentence"}
REGULARISED |= {"word_dropout": 0.2, "tied_embeddings": True, "weight_drop": 0.25}


@pytest.mark.parametrize(
    "name", [pytest.param(name, marks=() if name == "sri" else pytest.mark.slow) for name in METHODS]
)
def test_a_resumed_run_goes_on_bit_for_bit(
    begin_run: Callable[..., Any], tmp_path_factory: pytest.TempPathFactory, name: str
) -> None:
    whole, stopped, plain = (
        begin_run(tmp_path_factory.mktemp("runs"), name, generator=generator)
        for generator in (REGULARISED, REGULARISED, {})
    )
    for run in (whole, plain):
        assert run.train().reason == "done"
    assert stopped.train(max_steps=4).reason == "max-steps"
    assert stopped.train().reason == "done"
    expected, found = whole.load().weights, stopped.load().weights
    assert expected.keys() == found.keys()
    for key, value in expected.items():
        assert bool(torch.isfinite(value).all()), key
        assert torch.equal(found[key], value), key
    assert not torch.equal(plain.load().weights["generator.recurrent"], expected["generator.recurrent"])
