"""Types and bounds of the plain values in a checkpoint, and of the tensors of its optimiser.

The values come from a file that anybody may have made. Each is looked at here before it reaches a table, a terminal
or an allocation.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor

from sritool.config.checks import MOST, is_count
from sritool.data.tokenizer import CONTROL
from sritool.errors import quoted

_LONGEST_TEXT, _LONGEST_PATH = 1_000, 4_096  # characters
_LARGEST = 1e38  # of a number that is no count: float32 ends at 3.4e38


def check_contents(values: Mapping[str, Any]) -> None:
    """Check all parts of a checkpoint but its settings and its tokenizer, which check themselves.

    Args:
        values: The parts by name: corpus, progress, weights, metrics and trainer.

    Raises:
        ValueError: Names the first value that no checkpoint has.
    """
    _check_fields("corpus", values["corpus"], _CORPUS)
    _check_fields("progress", values["progress"], _PROGRESS, optional={"pretraining"})
    weights = values["weights"]
    if not isinstance(weights, dict) or not weights:
        raise ValueError("weights are no tensors by name")
    for name, tensor in weights.items():
        if not _is_text(name) or not isinstance(tensor, Tensor) or tensor.dtype != torch.float32:
            raise ValueError(f"weights {quoted(name)} are no float32 tensor")
        if not _is_finite(tensor):
            raise ValueError(f"weights {name} are not finite: the training had gone wrong")
    _check_metrics(values["metrics"])
    if values["trainer"] is not None:
        _check_trainer(values["trainer"])


def check_optimizer(
    stored: Mapping[str, Any], fresh: Mapping[str, Any], shapes: Sequence[torch.Size]
) -> None:
    """Check that an optimiser's stored state fits an optimiser that was just made.

    Args:
        stored: What a checkpoint has of `Optimizer.state_dict()`.
        fresh: `Optimizer.state_dict()` of the new optimiser.
        shapes: Shapes of the parameters, in the optimiser's order.

    Raises:
        ValueError: Groups, names, shapes or types differ, or a number is not finite.
        KeyError: `stored` has no groups or no state.
    """
    groups, own_groups = stored["param_groups"], fresh["param_groups"]
    if not isinstance(groups, list) or len(groups) != len(own_groups):
        raise ValueError("its optimizer has other groups")
    for group, own in zip(groups, own_groups, strict=True):
        if not isinstance(group, dict) or group.get("params") != own["params"]:
            raise ValueError("its optimizer has other parameters")
        for name, value in group.items():
            if not _is_setting(value, own.get(name)) or not _is_text(name):
                raise ValueError(f"its optimizer has {quoted(name)} = {quoted(value)}")
    names = {"step", "exp_avg", "exp_avg_sq"} if "betas" in own_groups[0] else {"momentum_buffer"}
    state = stored["state"]
    if not isinstance(state, dict) or any(key not in range(len(shapes)) for key in state):
        raise ValueError("its optimizer has other parameters")
    for key, tensors in state.items():
        if not isinstance(tensors, dict) or tensors.keys() != names:
            raise ValueError(f"its optimizer has other tensors for parameter {key}")
        for name, tensor in tensors.items():
            if tensor is None:
                continue  # SGD's momentum buffer without momentum
            shape = torch.Size() if name == "step" else shapes[key]
            if not isinstance(tensor, Tensor) or tensor.shape != shape or tensor.dtype != torch.float32:
                raise ValueError(f"its optimizer's {name} does not fit parameter {key}")
            negative = name in ("step", "exp_avg_sq") and bool((tensor < 0).any())
            if negative or not _is_finite(tensor):
                raise ValueError(f"its optimizer's {name} of parameter {key} are no possible numbers")


def _is_text(value: Any) -> bool:
    """Whether this is a text that may be shown on one line."""
    return isinstance(value, str) and len(value) <= _LONGEST_TEXT and not CONTROL.search(value)


def _is_path(value: Any) -> bool:
    return isinstance(value, str) and len(value) <= _LONGEST_PATH and "\0" not in value


def _is_length(value: Any) -> bool:
    return type(value) is int and 1 <= value < 1 << 31


def _is_bool(value: Any) -> bool:
    return type(value) is bool


def _is_duration(value: Any) -> bool:
    return type(value) in (int, float) and 0 <= value < MOST


def _is_finite(tensor: Tensor) -> bool:
    """Whether all numbers are; ten times faster than to ask each."""
    return not tensor.numel() or all(math.isfinite(end) for end in map(float, tensor.aminmax()))


def _is_setting(value: Any, own: Any) -> bool:
    """Whether an optimiser's setting may stand in its own's place: a number for a number, else the same."""
    if type(own) in (int, float):
        return is_count(value) or (type(value) is float and 0 <= value <= _LARGEST)
    if isinstance(own, tuple):
        return type(value) is tuple and len(value) == len(own) and all(map(_is_setting, value, own))
    if own is None or type(own) is bool:
        return value is None or type(value) is bool
    return type(value) is type(own) and bool(value == own)


_CORPUS: dict[str, Callable[[Any], bool]] = {
    "name": _is_text,
    "path": _is_path,
    "content_hash": _is_text,
    "max_length": _is_length,
    "lowercase": _is_bool,
    "split_punctuation": _is_bool,
}
_PROGRESS: dict[str, Callable[[Any], bool]] = {
    "epoch": is_count,
    "step": is_count,
    "seconds": _is_duration,
    "pretraining": _is_bool,
}


def _check_fields(
    part: str, values: Any, checks: Mapping[str, Callable[[Any], bool]], optional: set[str] | None = None
) -> None:
    if not isinstance(values, dict):
        raise ValueError(f"{part} is {quoted(values)}")
    missing = sorted(checks.keys() - values.keys() - (optional or set()))
    if missing:
        raise ValueError(f"{part} without {', '.join(missing)}")
    for name, value in values.items():
        if name in checks and not checks[name](value):
            raise ValueError(f"{part}.{name} is {quoted(value)}")


def _check_metrics(records: Any) -> None:
    if not isinstance(records, list):
        raise ValueError("metrics are no list of records")
    for record in records:
        if not isinstance(record, dict) or not is_count(record.get("epoch")):
            raise ValueError("metrics hold something else than records of epochs")
        for name, value in record.items():
            plain = value is None or type(value) in (bool, float) or _is_text(value)
            if not _is_text(name) or not (plain or (type(value) is int and abs(value) < MOST)):
                raise ValueError(f"metrics hold {quoted(name)} = {quoted(value)}")


def _check_trainer(trainer: Any) -> None:
    if not isinstance(trainer, dict) or not isinstance(trainer.get("position"), dict):
        raise ValueError("trainer has no position")
    for name, value in trainer["position"].items():
        # The best validation so far is infinite while there was none.
        bounded = _is_duration(value) or (
            str(name).startswith("best") and type(value) is float and value == value
        )
        if not _is_text(name) or not (_is_bool(value) or is_count(value) or bounded):
            raise ValueError(f"trainer.position has {quoted(name)} = {quoted(value)}")
    if not isinstance(trainer.get("optimizer"), dict):
        raise ValueError("trainer has no optimizer")
    method = trainer.get("method", {})
    if not isinstance(method, dict) or any(
        not _is_text(name) or type(value) not in (bool, int, float) for name, value in method.items()
    ):
        raise ValueError("trainer.method is no table of numbers")
