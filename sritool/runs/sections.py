"""The sections of a checkpoint as plain values: whether each is of its type and within bounds.

What a section holds comes from a file that anybody may have made. Nothing of it may reach a table, a terminal or an
allocation before it has been looked at here.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor

from sritool.config.checks import MOST, is_count, quoted
from sritool.data.tokenizer import CONTROL

_LONGEST_NAME = 1_000
_LARGEST = 1e38  # of a number that is no count: float32 ends at 3.4e38
_Check = Callable[[Any], bool]


def check_sections(values: Mapping[str, Any]) -> None:
    """Raises: ValueError naming the first value that no checkpoint has."""
    _check_fields("corpus", values["corpus"], _CORPUS)
    _check_fields("progress", values["progress"], _PROGRESS, optional={"pretraining"})
    _check_weights(values["weights"])
    _check_metrics(values["metrics"])
    if values["trainer"] is not None:
        _check_trainer(values["trainer"])


def owned(value: Any) -> Any:
    """A copy of plain values in which no list stands in two places and each tensor owns its numbers, on the CPU.

    Raises: TypeError for what is neither plain nor a tensor.
    """
    if isinstance(value, Tensor):
        kept = value.detach().cpu().contiguous()
        whole = kept.untyped_storage().nbytes() == kept.numel() * kept.element_size()
        return kept if whole else kept.clone()
    if isinstance(value, Mapping):
        return {key: owned(item) for key, item in value.items()}
    if isinstance(value, list):
        return [owned(item) for item in value]
    if isinstance(value, tuple):
        return tuple([owned(item) for item in value])
    for kind in (bool, int, float, str):
        if isinstance(value, kind):
            return kind(value)  # NumPy's numbers are Python's too, but their pickles are not
    if value is None:
        return None
    raise TypeError(f"a checkpoint holds plain values and tensors, not {type(value).__name__}")


def is_clean(text: Any, longest: int = _LONGEST_NAME) -> bool:
    """Whether this is a text that may be shown on one line."""
    return isinstance(text, str) and len(text) <= longest and not CONTROL.search(text)


def _is_length(value: Any) -> bool:
    return type(value) is int and 1 <= value < 1 << 31


def _is_bool(value: Any) -> bool:
    return type(value) is bool


def _is_duration(value: Any) -> bool:
    return type(value) in (int, float) and 0 <= value < MOST


def _is_path(value: Any) -> bool:
    return isinstance(value, str) and len(value) <= 4096 and "\0" not in value


_CORPUS: dict[str, _Check] = {
    "name": is_clean,
    "path": _is_path,
    "content_hash": is_clean,
    "max_length": _is_length,
    "lowercase": _is_bool,
    "split_punctuation": _is_bool,
}
_PROGRESS: dict[str, _Check] = {
    "epoch": is_count,
    "step": is_count,
    "seconds": _is_duration,
    "pretraining": _is_bool,
}


def _check_fields(
    section: str, values: Any, checks: Mapping[str, _Check], optional: frozenset[str] | set[str] = frozenset()
) -> None:
    if not isinstance(values, Mapping):
        raise ValueError(f"{section} is {quoted(values)}")
    missing = sorted(checks.keys() - values.keys() - optional)
    if missing:
        raise ValueError(f"{section} without {', '.join(missing)}")
    for name, value in values.items():
        if name in checks and not checks[name](value):
            raise ValueError(f"{section}.{name} is {quoted(value)}")


def _check_weights(weights: Any) -> None:
    if not isinstance(weights, Mapping) or not weights:
        raise ValueError("weights are no tensors by name")
    for name, tensor in weights.items():
        if not is_clean(name) or not isinstance(tensor, Tensor) or tensor.dtype != torch.float32:
            raise ValueError(f"weights {quoted(name)} are no float32 tensor")
        if not _finite(tensor):
            raise ValueError(f"weights {name} are not finite: the training had gone wrong")


def _finite(tensor: Tensor) -> bool:
    """Whether all numbers are; ten times faster than to ask each."""
    return not tensor.numel() or all(math.isfinite(end) for end in map(float, tensor.aminmax()))


def _check_metrics(records: Any) -> None:
    if not isinstance(records, list):
        raise ValueError("metrics are no list of records")
    for record in records:
        if not isinstance(record, Mapping) or not is_count(record.get("epoch")):
            raise ValueError("metrics hold something else than records of epochs")
        for name, value in record.items():
            plain = value is None or type(value) in (bool, float) or is_clean(value)
            if not is_clean(name) or not (plain or (type(value) is int and abs(value) < MOST)):
                raise ValueError(f"metrics hold {quoted(name)} = {quoted(value)}")


def _check_trainer(trainer: Any) -> None:
    if not isinstance(trainer, Mapping):
        raise ValueError("trainer is no table")
    position = trainer.get("position")
    if not isinstance(position, Mapping):
        raise ValueError("trainer has no position")
    for name, value in position.items():
        # The best validation so far is infinite while there was none.
        bounded = type(value) is float and (0 <= value < MOST or (name.startswith("best") and value == value))
        if not is_clean(name) or not (type(value) is bool or is_count(value) or bounded):
            raise ValueError(f"trainer.position has {quoted(name)} = {quoted(value)}")
    if not isinstance(trainer.get("optimizer"), Mapping):
        raise ValueError("trainer has no optimizer")
    method = trainer.get("method", {})
    if not isinstance(method, Mapping) or any(
        not is_clean(name) or type(value) not in (bool, int, float) for name, value in method.items()
    ):
        raise ValueError("trainer.method is no table of numbers")


def check_optimizer(
    stored: Mapping[str, Any], fresh: Mapping[str, Any], shapes: Sequence[torch.Size]
) -> None:
    """Whether an optimiser's stored state fits one that was just made.

    Args:   stored, fresh: as `Optimizer.state_dict` gives them; shapes: of the parameters, in its order.
    Raises: ValueError if groups, names, shapes or types differ, or a number is not finite.
    """
    groups, fresh_groups = stored["param_groups"], fresh["param_groups"]
    if not isinstance(groups, list) or len(groups) != len(fresh_groups):
        raise ValueError("its optimizer has other groups")
    for group, own in zip(groups, fresh_groups, strict=True):
        if not isinstance(group, Mapping) or group.get("params") != own["params"]:
            raise ValueError("its optimizer has other parameters")
        for name, value in group.items():
            if not _fits(value, own.get(name)) or not is_clean(name):
                raise ValueError(f"its optimizer has {quoted(name)} = {quoted(value)}")
    tensors = {"step", "exp_avg", "exp_avg_sq"} if "betas" in fresh_groups[0] else {"momentum_buffer"}
    state = stored["state"]
    if not isinstance(state, Mapping) or any(key not in range(len(shapes)) for key in state):
        raise ValueError("its optimizer has other parameters")
    for key, of in state.items():
        if not isinstance(of, Mapping) or of.keys() != tensors:
            raise ValueError(f"its optimizer has other tensors for parameter {key}")
        for name, value in of.items():
            if value is None:
                continue  # SGD's momentum buffer without momentum
            shape = torch.Size() if name == "step" else shapes[key]
            if not isinstance(value, Tensor) or value.shape != shape or value.dtype != torch.float32:
                raise ValueError(f"its optimizer's {quoted(name)} does not fit parameter {key}")
            if not _finite(value) or (name in ("step", "exp_avg_sq") and value.numel() and value.min() < 0):
                raise ValueError(f"its optimizer's {name} of parameter {key} are no possible numbers")


def _fits(value: Any, own: Any) -> bool:
    """Whether a setting of an optimiser may stand where its own stands: a number for a number, else the same."""
    if type(own) in (int, float):
        return is_count(value) or (type(value) is float and 0 <= value <= _LARGEST)
    if isinstance(own, tuple):
        return type(value) is tuple and len(value) == len(own) and all(map(_fits, value, own))
    if own is None or type(own) is bool:
        return value is None or type(value) is bool
    return type(value) is type(own) and bool(value == own)
