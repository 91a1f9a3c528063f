"""The search for step sizes during training: candidates, cost and objective."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from sritool.methods.base import Method
from sritool.methods.registry import build_method
from sritool.training.retuning import retune


@pytest.fixture(scope="module")
def method(corpus: Any, settings: Callable[..., Any]) -> Method:
    """Random parameters, large enough for z to matter; 3 steps of 0.2, 0.1 and 0.1."""
    made = build_method(settings("sri"), len(corpus.tokenizer))
    made.generator.initialise(1.5, seed=4)
    return made


def test_steps_above_the_integrators_limit_are_not_tried(corpus: Any, settings: Callable[..., Any]) -> None:
    sampler = {"step_sizes": [1.5, 0.5], "exponential": True}
    exponential = build_method(settings("sri", sampler=sampler), len(corpus.tokenizer))
    exponential.initialise()
    tried = [row.values for row in retune(exponential, corpus.split("valid"), 0.5, epoch=3).rows]
    assert tried == [(0.25,), (0.5,), (1.0,)], "a step of 2 × 1.5 is above the limit of 2"


def test_search_is_small_and_its_draws_change_by_epoch(corpus: Any, method: Method) -> None:
    tuned = retune(method, corpus.split("valid"), 0.5, epoch=3)
    assert [row.values for row in tuned.rows] == [(0.25,), (0.5,), (1.0,), (2.0,)]
    assert (tuned.temperature, tuned.sentences, tuned.chains) == (0.3, 7, 64)
    again = retune(method, corpus.split("valid"), 0.5, epoch=3)
    assert again.rows == tuned.rows
    later = retune(method, corpus.split("valid"), 0.5, epoch=4)
    assert later.rows[0].upper != tuned.rows[0].upper


def test_single_step_size_is_chosen_by_the_objective(corpus: Any, settings: Callable[..., Any]) -> None:
    chosen = {}
    for objective in ("entropy", "given-noise"):
        sampler = {"step_sizes": [0.02], "preconditioned": False}
        config = settings(
            "sri",
            sampler=sampler,
            training={"tune_objective": objective},
            optimizer={"initial_scale": 1.0},  # so that sentences depend on z
        )
        method = build_method(config, len(corpus.tokenizer))
        method.initialise()
        tuned = retune(method, corpus.split("valid"), 0.5, epoch=3)
        side = "upper" if objective == "entropy" else "lower"
        assert max(tuned.rows, key=lambda row, side=side: getattr(row, side).value).chosen  # type: ignore[misc]
        chosen[objective] = tuned.chosen.schedule
        sizes = {row.schedule[0] for row in tuned.rows}
        assert (min(sizes), max(sizes)) == (0.001, 0.3)
    assert chosen["entropy"] > chosen["given-noise"], (
        "the objectives of the paper and ours should disagree here"
    )
