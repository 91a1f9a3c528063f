"""Gradients and sums of the parts of a batch add up to those of the batch, for every method and sampler."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import pytest
import torch

from sritool.config.samplers import SAMPLERS
from sritool.config.settings import RunConfig
from sritool.config.values import build, merge
from sritool.data.batches import Batch
from sritool.methods.base import Clock, Method
from sritool.methods.registry import METHODS, build_method
from sritool.model.random import draw_uniform

WORDS = 9
DROPPED = {"dropout": 0.3, "weight_drop": 0.3, "word_dropout": 0.2}
OTHER = {
    "generator": {"embedding": 4, "hidden": 5, **DROPPED},
    "lagging": {"updates": 2},
    "refinement": {"steps": 2, "clip": 0.01},
    "training": {"measure_every": 1},
}
CASES: dict[str, dict[str, Any]] = {name: {"method": name} for name in METHODS if name != "sri"}
for name, case in CASES.items():
    case["generator"] = {"latent": 0 if name == "lm" else 3}
CASES["vae-fbp"]["free_bits"] = {"target": 0.01}
for name, preset in SAMPLERS.items():
    few: dict[str, Any] = {"steps": 3, "words": 1 if preset["sampler"]["preconditioned"] else 0}
    own = merge(preset, {"sampler": few, "training": {}})
    CASES[f"sri, {name}"] = {"method": "sri", "generator": {"latent": 3}, **own}
CASES["lm, residual"] = merge(CASES["lm"], {"generator": {"residual": True, "layers": 2}})
# The second part has no sentence.
PARTS = [slice(0, 2), slice(2, 2), slice(2, 3), slice(3, 7)]


def make(case: str) -> Method:
    method = build_method(build(RunConfig, merge(CASES[case], OTHER)), WORDS)
    method.modules.double()
    draw_uniform(method.modules, 0.8, seed=1)
    return method


def results_of(method: Method) -> tuple[dict[str, torch.Tensor], list[torch.Tensor]]:
    """Copies of the gradients and of the statistics that processes share."""
    gradients = {
        name: parameter.grad.clone()
        for name, parameter in method.modules.named_parameters()
        if parameter.grad is not None
    }
    return gradients, [tensor.clone() for tensor in method.statistics()]


@pytest.mark.parametrize("case", CASES)
def test_parts_add_up_to_the_batch(
    case: str, batch_of: Callable[[Sequence[int]], Batch], clock: Clock
) -> None:
    whole = batch_of([6, 0, 4, 2, 9, 5, 7])
    assert int(whole.lengths.min()) < len(whole.targets), "the test needs padding"
    method = make(case)
    sums = method.gradients(whole, clock)
    gradients, statistics = results_of(method)
    method, added, total = make(case), dict.fromkeys(sums, 0.0), None
    for which in PARTS:
        part = whole.part(which)
        for name, value in method.gradients(part, clock, whole).items():
            share = part.size / whole.size if name.startswith("mean ") else 1.0
            added[name] += share * value if part.size else 0.0
        found = results_of(method)
        if total is None:
            total = found
            continue
        for name, gradient in found[0].items():
            total[0][name] += gradient
        for before, tensor in zip(total[1], found[1], strict=True):
            before += tensor
    assert added == pytest.approx(sums, rel=1e-9)
    torch.testing.assert_close(total, (gradients, statistics), rtol=1e-9, atol=1e-12)
