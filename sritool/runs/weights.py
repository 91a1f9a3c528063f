"""Whether the weights of a checkpoint fit its settings: asked before any memory is taken for a model."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import torch
from torch import Tensor, nn

from sritool.config.settings import RunConfig
from sritool.errors import CheckpointError, UsageError
from sritool.methods.base import Method
from sritool.methods.lm import LanguageModel
from sritool.methods.registry import build_method
from sritool.runs.checkpoint import Checkpoint


def method_without_memory(checkpoint: Checkpoint, path: Path | str) -> Method:
    """Build the method of a checkpoint with parameters that have shapes and no memory.

    Args:
        checkpoint: Its settings say which method and which sizes.
        path: Its file, for the message.

    Raises:
        CheckpointError: There is no such method, or the weights or the vocabulary do not fit it.
    """
    return _fitting(checkpoint.config, len(checkpoint.tokenizer), checkpoint.weights, path)


def method_for_weights(
    config: RunConfig, vocabulary_size: int, weights: Mapping[str, Tensor], path: Path | str
) -> Method:
    """Build a method with memory for its parameters, which are not drawn yet, if these weights fit it.

    Args:
        config: The settings of the run.
        vocabulary_size: Number of word ids.
        weights: Parameters by name; they are only compared.
        path: The file of the weights, for the message.

    Raises:
        CheckpointError: There is no such method, or the weights do not fit it; then nothing was allocated.
    """
    _fitting(config, vocabulary_size, weights, path)
    return build_method(config, vocabulary_size)


def load_weights(module: nn.Module, weights: Mapping[str, Tensor], path: Path | str) -> None:
    """Copy weights into a module.

    Args:
        module: Where they go.
        weights: Parameters by name.
        path: Their file, for the message.

    Raises:
        CheckpointError: Names or shapes differ.
    """
    _check_shapes(module, weights, path)
    module.load_state_dict(dict(weights))


def _fitting(
    config: RunConfig, vocabulary_size: int, weights: Mapping[str, Tensor], path: Path | str
) -> Method:
    """The method without memory for its parameters, whatever sizes the settings of a file ask for."""
    try:
        with torch.device("meta"):
            method = build_method(config, vocabulary_size)
    except UsageError as error:
        reason = str(error).partition(";")[0]
        raise CheckpointError(f"{path} is damaged ({reason}); use another checkpoint") from error
    if (method.latent == 0) != isinstance(method, LanguageModel):
        raise CheckpointError(
            f"{path} is damaged ({method.name} with {method.latent} dimensions of z); use another checkpoint"
        )
    _check_shapes(method.modules, weights, path)
    return method


def _check_shapes(module: nn.Module, weights: Mapping[str, Tensor], path: Path | str) -> None:
    wanted = {name: tensor.shape for name, tensor in module.state_dict().items()}
    if wanted != {name: tensor.shape for name, tensor in weights.items()}:
        raise CheckpointError(
            f"the weights in {path} do not fit its settings; the file is damaged, use another checkpoint"
        )
