"""Estimated cost of a run, with a clock that advances only during updates."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch

from sritool.methods.encoder_method import Descent, EncoderMethod
from sritool.training import cost
from sritool.training.cost import cost_of

ENCODER, BOTH = 1.0, 5.0  # seconds


def test_encoder_only_updates_are_timed_separately(
    corpus: Any, settings: Callable[..., Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    spent = [0.0]
    descent = EncoderMethod.descent

    def timed(*args: Any, generator: bool = True, **given: Any) -> Descent:
        spent[0] += BOTH if generator else ENCODER
        return descent(*args, generator=generator, **given)

    monkeypatch.setattr(EncoderMethod, "descent", timed)
    monkeypatch.setattr(cost.time, "perf_counter", lambda: spent[0])
    found = cost_of(settings("vae-lagging"), corpus, torch.device("cpu"))
    assert (found.seconds_a_step, found.beside, found.seconds_beside) == (BOTH, 3, ENCODER)
    assert found.epoch == 3 * BOTH
    assert found.aggressive_epoch == 3 * (BOTH + 3 * ENCODER)
    assert found.seconds == 2 * 3 * BOTH
