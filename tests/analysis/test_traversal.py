"""Latent traversal: the codes that are decoded, the words that change, and the choice of dimensions."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch

from sritool.analysis.traversal import changed_words, count_changed, traverse
from sritool.api import load
from sritool.errors import UsageError


@pytest.mark.parametrize(
    ("base", "other", "marks", "count"),
    [
        ("a dog runs", "a dog runs", "...", 0),
        ("a dog runs", "a cat runs", ".x.", 1),
        ("a dog runs", "a dog", "..", 1),
        ("a dog runs", "the big dog runs", "xx..", 2),
        ("a dog runs", "", "", 3),
        ("", "a dog", "xx", 2),
        ("a dog runs home", "two cats sleep", "xxx", 4),
        ("one two three", "three one two", "x..", 1),
    ],
)
def test_changed_words(base: str, other: str, marks: str, count: int) -> None:
    assert "".join("x" if changed else "." for changed in changed_words(base, other)) == marks
    assert count_changed(base, other) == count


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory, begin_run: Callable[..., Any]) -> Any:
    run = begin_run(tmp_path_factory.mktemp("runs"), training={"epochs": 1})
    run.train()
    return load(run.folder)


def test_one_coordinate_changes_at_a_time(model: Any) -> None:
    found = traverse(model, dimensions=[3, 1], points=3, reach=2.0, seed=5, max_length=7)
    code = model.prior(1, 5)[0]
    assert found.code == tuple(map(float, code))
    assert found.source == "prior draw, seed 5"
    assert [(step.dimension, step.value) for step in found.steps] == [
        (d, v) for d in (3, 1) for v in (-2, 0, 2)
    ]
    for step in found.steps:
        moved = code.copy()
        moved[step.dimension - 1] = step.value
        assert model.decode(moved[None])[0].split()[:7] == step.sentence.split()
        assert step.changed == count_changed(found.sentence, step.sentence)


def test_traversal_of_a_sentence_starts_at_its_code(model: Any) -> None:
    found = traverse(model, sentence="one nurse paints kites", points=2, dimensions=[2])
    code = model.posterior_mean(["one nurse paints kites"])[0]
    assert np.array_equal(np.float32(found.code), code)
    assert found.sentence == model.decode(code[None])[0]


def test_most_influential_dimensions_come_first(model: Any) -> None:
    changed = load(model.path)
    with torch.no_grad():
        for weight in (changed.generator.latent_to_gates, changed.generator.latent_to_initial):
            weight[:, 2] *= 100
            weight[:, 1] = 0
    found = traverse(changed)
    changes = {d: sum(step.changed for step in found.steps if step.dimension == d) for d in (1, 2, 3)}
    assert changes[2] == 0 < changes[3]
    order = list(dict.fromkeys(step.dimension for step in found.steps))
    assert order == sorted(order, key=lambda d: -changes[d])
    assert order[0] == 3


@pytest.mark.parametrize("dimension", [0, 4, -1])
def test_unknown_dimension(model: Any, dimension: int) -> None:
    with pytest.raises(UsageError, match=f"no dimension {dimension}.*1 to 3"):
        traverse(model, dimensions=[1, dimension])
