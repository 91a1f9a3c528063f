"""One file that holds everything about a model: tensors and plain Python values, never code.

Written whole or not at all, so that a reader sees the old checkpoint or the new one.
`torch.load(…, weights_only=True)` opens it; here it is read by a stricter reader of our own (`archive`,
`plain_values`), as torch's does not notice damage and takes much that no checkpoint needs.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from sritool.config.checks import quoted
from sritool.config.settings import RunConfig
from sritool.config.values import build, plain
from sritool.data.tokenizer import Tokenizer, tokenizer_from_state
from sritool.errors import CheckpointError, SritoolError
from sritool.files import cannot_write, whole_file
from sritool.runs.archive import Archive, Refused, save_sealed
from sritool.runs.plain_values import read_values
from sritool.runs.sections import check_sections, owned

FORMAT = "sritool checkpoint"
VERSION = 1
_SECTIONS = {"config", "tokenizer", "weights", "corpus", "progress", "metrics", "trainer"}


@dataclass(frozen=True)
class Checkpoint:
    """A model with what it was trained on and by; `trainer` only in a checkpoint that can be resumed."""

    config: RunConfig
    tokenizer: Tokenizer
    weights: Mapping[str, Tensor]
    corpus: Mapping[str, Any]  # name, path, content_hash, and how its text was cleaned and cut
    progress: Mapping[str, Any]  # epoch, step, seconds of training, whether it was pretraining
    metrics: list[dict[str, Any]] = field(default_factory=list)  # validation, an entry an epoch
    trainer: Mapping[str, Any] | None = None  # optimiser and position in the data


def save_checkpoint(checkpoint: Checkpoint, path: Path) -> None:
    """Write atomically: after this returns the file is on the disk whole; before, the old one stands.

    A link of this name is replaced, not followed: whoever packed a run folder could make us write anywhere.

    Raises: SritoolError if it cannot be written.
    """
    values = {
        "format": FORMAT,
        "version": VERSION,
        "config": plain(checkpoint.config),
        "tokenizer": _bytes_to_tensors(checkpoint.tokenizer.state()),
        "weights": checkpoint.weights,
        "corpus": checkpoint.corpus,
        "progress": checkpoint.progress,
        "metrics": checkpoint.metrics,
        "trainer": checkpoint.trainer,
    }
    try:
        with whole_file(path, follow=False) as file:
            save_sealed(owned(values), file)
    except (OSError, RuntimeError) as error:
        # A full disk reaches us as torch's complaint about the position in its archive, raised from the OSError.
        cause = error if isinstance(error, OSError) else error.__context__
        if not isinstance(cause, OSError):
            raise
        raise SritoolError(cannot_write(path, cause, "a folder you can write")) from error


def load_checkpoint(path: Path) -> Checkpoint:
    """Read a checkpoint onto the CPU.

    Raises: CheckpointError if it is missing, damaged, not a checkpoint, of a newer version, or holds code.
    """
    values = _read(path)
    if not isinstance(values, dict) or values.get("format") != FORMAT:
        raise CheckpointError(
            f"{path} is not a sritool checkpoint; give a .pt file that `sritool train` wrote"
        )
    if type(values.get("version")) is not int or values["version"] != VERSION:  # a tensor compares to no bool
        raise CheckpointError(
            f"{path} has checkpoint version {quoted(values.get('version'))}, this sritool reads {VERSION}; "
            "upgrade sritool, or use the version that wrote it"
        )
    try:
        sections = {name: values.pop(name) for name in sorted(_SECTIONS)}
        if values.keys() != {"format", "version"}:
            raise ValueError("it has sections that no checkpoint has")
        check_sections(sections)
        config = build(RunConfig, sections.pop("config"))
        tokenizer = tokenizer_from_state(_tensors_to_bytes(sections.pop("tokenizer")))
        return Checkpoint(config, tokenizer, **sections)
    except (SritoolError, KeyError, TypeError, ValueError, AttributeError) as error:
        raise CheckpointError(f"{path} is damaged ({error}); use another checkpoint") from error


def _read(path: Path) -> Any:
    if not path.is_file():
        raise CheckpointError(
            f"no checkpoint {path}; give a .pt file or a run folder that `sritool train` wrote"
        )
    try:
        with path.open("rb") as file:
            return read_values(Archive(file))
    except OSError as error:
        raise CheckpointError(f"cannot read {path}: {error.strerror}; check its permissions") from error
    except Refused as error:
        raise CheckpointError(
            f"{path} is not a sritool checkpoint: {error}; give a .pt file that `sritool train` wrote"
        ) from error


def check_weights(module: torch.nn.Module, weights: Mapping[str, Tensor], path: Path | str) -> None:
    """Whether weights have a module's names and shapes; the module may be one without memory (device "meta").

    Raises: CheckpointError if they differ.
    """
    wanted = {name: tensor.shape for name, tensor in module.state_dict().items()}
    if not isinstance(weights, Mapping) or wanted != {
        name: getattr(tensor, "shape", None) for name, tensor in weights.items()
    }:
        raise CheckpointError(
            f"the weights in {path} do not fit its settings; the file is damaged, use another checkpoint"
        )


def load_weights(module: torch.nn.Module, weights: Mapping[str, Tensor], path: Path | str) -> None:
    """Copy weights into a module. Raises: CheckpointError if names or shapes differ."""
    check_weights(module, weights, path)
    module.load_state_dict(dict(weights))


def _bytes_to_tensors(state: Mapping[str, Any]) -> dict[str, Any]:
    """SentencePiece models travel as octets: a tensor is the plainest thing that holds them."""
    return {
        key: torch.frombuffer(bytearray(value), dtype=torch.uint8) if isinstance(value, bytes) else value
        for key, value in state.items()
    }


def _tensors_to_bytes(state: Mapping[str, Any]) -> dict[str, Any]:
    return {
        key: bytes(value.numpy().tobytes()) if isinstance(value, Tensor) else value
        for key, value in state.items()
    }
