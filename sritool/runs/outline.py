"""Methods built from the settings in a checkpoint, after a look at whether its weights fit them."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import torch
from torch import Tensor

from sritool.config.settings import RunConfig
from sritool.errors import CheckpointError, UsageError
from sritool.methods.base import Method
from sritool.methods.lm import LanguageModel
from sritool.methods.registry import build_method
from sritool.runs.checkpoint import Checkpoint, check_weights


def outline_method(config: RunConfig, vocabulary_size: int, path: Path | str) -> Method:
    """A method whose parameters have shapes and no memory, whatever sizes the settings of a file ask for.

    Raises: CheckpointError naming the file for an unknown method, or sizes that no such method has.
    """
    try:
        with torch.device("meta"):
            method = build_method(config, vocabulary_size)
    except (UsageError, RuntimeError, OverflowError, TypeError) as error:
        reason = str(error).partition(";")[0] if isinstance(error, UsageError) else "its sizes are absurd"
        raise CheckpointError(f"{path} is damaged ({reason}); use another checkpoint") from error
    if (method.latent == 0) != isinstance(method, LanguageModel):
        raise CheckpointError(
            f"{path} is damaged ({method.name} with {method.latent} dimensions of z); use another checkpoint"
        )
    return method


def outline_of(checkpoint: Checkpoint, path: Path | str) -> Method:
    """The outline of a checkpoint's method, after a look at whether its weights and its vocabulary fit that.

    Raises: CheckpointError naming the file if they do not; then nothing was allocated.
    """
    method = outline_method(checkpoint.config, len(checkpoint.tokenizer), path)
    check_weights(method.modules, checkpoint.weights, path)
    return method


def build_fitting(
    config: RunConfig, vocabulary_size: int, weights: Mapping[str, Tensor], path: Path | str
) -> Method:
    """A method with parameters not yet drawn, after a look at whether these weights fit its settings.

    Raises: CheckpointError naming the file of the weights if they do not; then nothing was allocated.
    """
    check_weights(outline_method(config, vocabulary_size, path).modules, weights, path)
    return build_method(config, vocabulary_size)
