"""Checks that the weights of a checkpoint fit its settings, before any memory is allocated for a model."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import torch
from torch import Tensor, nn

from sritool.errors import CheckpointError, UsageError
from sritool.methods.base import Method
from sritool.methods.registry import build_method
from sritool.runs.checkpoint import Checkpoint


def method_without_memory(checkpoint: Checkpoint, path: Path | str) -> Method:
    """Build the method of a checkpoint without allocating its parameters, whatever sizes its settings demand.

    Raises:
        CheckpointError: There is no such method, or the weights or the vocabulary do not fit it.
    """
    try:
        with torch.device("meta"):
            method = build_method(checkpoint.config, len(checkpoint.tokenizer))
    except UsageError as error:
        reason = str(error).partition(";")[0]
        raise CheckpointError(f"{path} is damaged ({reason}); use another checkpoint") from error
    if (method.latent > 0) != method.has_code:
        raise CheckpointError(
            f"{path} is damaged ({method.name} with {method.latent} dimensions of z); use another checkpoint"
        )
    _check_shapes(method.modules, checkpoint.weights, path)
    return method


def load_weights(module: nn.Module, weights: Mapping[str, Tensor], path: Path | str) -> None:
    """Copy weights into a module by parameter name; `path` is their file, for the message.

    Raises:
        CheckpointError: Names or shapes differ.
    """
    _check_shapes(module, weights, path)
    module.load_state_dict(dict(weights))


def _check_shapes(module: nn.Module, weights: Mapping[str, Tensor], path: Path | str) -> None:
    wanted = {name: tensor.shape for name, tensor in module.state_dict().items()}
    if wanted != {name: tensor.shape for name, tensor in weights.items()}:
        raise CheckpointError(
            f"the weights in {path} do not fit its settings; the file is damaged, use another checkpoint"
        )
