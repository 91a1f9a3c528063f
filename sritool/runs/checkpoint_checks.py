"""Checks of the plain values in a checkpoint, and of the tensors of its optimiser: types and bounds.

The values come from a file that anybody may have made. Each is checked here before it reaches a table, a terminal
or an allocation.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Annotated, Any

import torch
from pydantic import AfterValidator, Field
from pydantic.dataclasses import dataclass
from torch import Tensor

from sritool.config.validation import Count, FilePath, Flag, Number
from sritool.data.tokenizer import CONTROL
from sritool.errors import quoted

_LONGEST_TEXT = 1_000  # characters
_COUNT_LIMIT = 1 << 53  # a float represents every whole number below it


def _is_text(value: Any) -> bool:
    """Whether this is a string that can be shown on one line."""
    return isinstance(value, str) and len(value) <= _LONGEST_TEXT and not CONTROL.search(value)


def _checked_line(text: str) -> str:
    if not _is_text(text):
        raise ValueError("it is not one line of text")
    return text


_Line = Annotated[str, Field(strict=True), AfterValidator(_checked_line)]


@dataclass(frozen=True)
class TrainedOn:
    """The corpus that a model was trained on, and how its text was cleaned and cut."""

    name: _Line
    path: FilePath
    content_hash: _Line
    max_length: Annotated[int, Field(strict=True, ge=1, lt=1 << 31)]
    lowercase: Flag
    split_punctuation: Flag


@dataclass(frozen=True)
class TrainingProgress:
    """How far a checkpoint's training had come."""

    epoch: Count
    step: Count
    seconds: Number  # of training
    pretraining: Flag = False  # whether it was still an autoencoder
    before_z: Count = 0  # epochs done as a language model when z began
    prior_fitted_from: _Line = ""  # SHA-256 of the checkpoint given to fit-prior


def check_contents(values: Mapping[str, Any]) -> None:
    """Check the parts of a checkpoint that are not records: records check themselves.

    Raises:
        UsageError, ValueError: A value is invalid; the message names the first one.
    """
    _check_weights(values["weights"])
    _check_metrics(values["metrics"])
    if values["trainer"] is not None:
        _check_trainer(values["trainer"])
        _check_average(values["trainer"].get("average"), values["weights"])


def check_optimizer(
    stored: Mapping[str, Any], fresh: Mapping[str, Any], shapes: Sequence[torch.Size]
) -> None:
    """Check that an optimiser's stored state fits a new optimiser.

    Args:
        stored: With the "state" to check.
        fresh: `state_dict()` of the new optimiser.
        shapes: Shapes of the new optimiser's parameters.

    Raises:
        ValueError: Names, shapes or types differ, or a number is not finite.
        KeyError: `stored` has no state.
    """
    is_adam = "betas" in fresh["param_groups"][0]
    names = {"step", "exp_avg", "exp_avg_sq"} if is_adam else {"momentum_buffer"}
    state = stored["state"]
    if not isinstance(state, dict) or any(key not in range(len(shapes)) for key in state):
        raise ValueError("its optimizer has other parameters")
    for key, tensors in state.items():
        if not isinstance(tensors, dict) or tensors.keys() != names:
            raise ValueError(f"its optimizer has other tensors for parameter {key}")
        for name, tensor in tensors.items():
            if tensor is None:  # SGD's momentum buffer without momentum
                continue
            shape = torch.Size() if name == "step" else shapes[key]
            if not isinstance(tensor, Tensor) or tensor.shape != shape or tensor.dtype != torch.float32:
                raise ValueError(f"its optimizer's {name} does not fit parameter {key}")
            negative = name in ("step", "exp_avg_sq") and bool((tensor < 0).any())
            if negative or not _is_finite(tensor):
                raise ValueError(f"its optimizer's {name} of parameter {key} has impossible values")


def _is_count(value: Any) -> bool:
    return type(value) is int and 0 <= value < _COUNT_LIMIT


def _is_finite(tensor: Tensor) -> bool:
    """Whether all numbers are finite; ten times faster than checking each."""
    return not tensor.numel() or all(math.isfinite(end) for end in map(float, tensor.aminmax()))


def _check_weights(weights: Any) -> None:
    if not isinstance(weights, dict) or not weights:
        raise ValueError("weights are not a table of tensors")
    for name, tensor in weights.items():
        if not _is_text(name) or not isinstance(tensor, Tensor) or tensor.dtype != torch.float32:
            raise ValueError(f"weights {quoted(name)} are not a float32 tensor")
        if not _is_finite(tensor):
            raise ValueError(f"weights {name} are not finite: the training had gone wrong")


def _check_average(average: Any, weights: Mapping[str, Tensor]) -> None:
    """Check that each averaged weight has the shape of its weight; None means that the run has no average."""
    if average is None:
        return
    if not isinstance(average, dict) or average.keys() != {"updates", "weights"}:
        raise ValueError("trainer.average is not an average of weights")
    if not _is_count(average["updates"]):
        raise ValueError(f"trainer.average has updates = {quoted(average['updates'])}")
    _check_weights(average["weights"])
    for name, tensor in average["weights"].items():
        if name not in weights or tensor.shape != weights[name].shape:
            raise ValueError(f"the average of {name} does not fit its weights")


def _check_metrics(records: Any) -> None:
    if not isinstance(records, list):
        raise ValueError("metrics are not a list of records")
    for record in records:
        known = record if isinstance(record, dict) else {}
        counts, seconds = (known.get("epoch"), known.get("step")), known.get("validation_seconds")
        if not all(map(_is_count, counts)) or type(seconds) not in (int, float):
            raise ValueError("metrics hold something other than records of epochs")
        for name, value in record.items():
            plain = value is None or type(value) in (bool, float) or _is_text(value)
            if not _is_text(name) or not (plain or (type(value) is int and abs(value) < _COUNT_LIMIT)):
                raise ValueError(f"metrics hold {quoted(name)} = {quoted(value)}")


def _check_trainer(trainer: Any) -> None:
    """Check that all tables are there; their contents are checked when a run is resumed."""
    if not isinstance(trainer, dict):
        raise ValueError("trainer is not a table")
    tables: dict[str, Any] = {"method": {}, **trainer}
    for name in ("position", "optimizer", "method"):
        if not isinstance(tables.get(name), dict):
            raise ValueError(f"trainer.{name} is not a table")
