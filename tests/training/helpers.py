"""Helpers shared by the training tests: a stand-in for SIGKILL, and comparisons of runs."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch

from sritool.runs.folder import BEST, LAST, METRICS
from sritool.runs.metrics_log import read_metrics

NewRun = Callable[..., Any]


class Killed(Exception):  # noqa: N818 - an end, not an error
    """Stands in for SIGKILL: nothing is saved on the way out."""


def equal_weights(one: Any, other: Any) -> bool:
    """Whether two checkpoints have the same weights, bit for bit."""
    left, right = one.weights, other.weights
    return left.keys() == right.keys() and all(torch.equal(left[name], right[name]) for name in left)


def assert_same_weights(run: Any, other: Any, *files: str) -> None:
    """Check that the checkpoints of two runs (by default last.pt and best.pt) have the same weights."""
    for name in files or (LAST, BEST):
        assert equal_weights(run.load(name), other.load(name)), name


def records_of(run: Any, kind: str = "epoch") -> list[dict[str, Any]]:
    """The records of one kind in the run's metrics log."""
    return [record for record in read_metrics(run.folder / METRICS) if record["kind"] == kind]


def copy_of(tensors: Any) -> dict[str, torch.Tensor]:
    return {name: tensor.detach().clone() for name, tensor in tensors.items()}
