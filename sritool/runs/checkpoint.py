"""Checkpoints: one file with everything about a model, as tensors and plain Python values, never code.

A checkpoint is written whole or not at all, so a reader sees either the old one or the new one.
"""

from __future__ import annotations

import io
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from sritool.config.settings import RunConfig
from sritool.config.values import build, plain
from sritool.data.tokenizer import Tokenizer, tokenizer_from_state
from sritool.errors import CheckpointError, SritoolError, advice_on, quoted
from sritool.files import cannot_write, whole_file
from sritool.runs.checkpoint_checks import TrainedOn, TrainingProgress, check_contents
from sritool.runs.pickle_grammar import RefusedError
from sritool.runs.untrusted_file import load_values, save_values

FORMAT = "sritool checkpoint"
VERSION = 1
_RECORDS = {"config": RunConfig, "corpus": TrainedOn, "progress": TrainingProgress}
_PARTS = {"config", "tokenizer", "weights", "corpus", "progress", "metrics", "trainer"}


@dataclass(frozen=True)
class Checkpoint:
    """A model, the corpus it was trained on, and the state of its training."""

    config: RunConfig
    tokenizer: Tokenizer
    weights: Mapping[str, Tensor]  # parameters and running statistics by name, float32
    corpus: TrainedOn
    progress: TrainingProgress
    metrics: list[dict[str, Any]] = field(default_factory=list)  # validation figures, one record per epoch
    trainer: Mapping[str, Any] | None = None  # optimiser and position; None if it cannot be resumed


def portable(checkpoint: Checkpoint) -> Checkpoint:
    """Return a checkpoint to hand to others: without the optimiser and without paths on this machine."""
    config, corpus = checkpoint.config, checkpoint.corpus
    start = config.warm_start
    start = replace(start, checkpoint=Path(start.checkpoint).name, embeddings=Path(start.embeddings).name)
    encoder = replace(config.pretraining, encoder=Path(config.pretraining.encoder).name)
    config = replace(config, pretraining=encoder, warm_start=start)
    return replace(checkpoint, config=config, corpus=replace(corpus, path=corpus.name), trainer=None)


def save_checkpoint(checkpoint: Checkpoint, path: Path) -> None:
    """Write a checkpoint; until the whole file is on the disk, the old one stays.

    If `path` is a link, it is replaced, not followed: otherwise a run folder made by a stranger could redirect the
    write anywhere.

    Raises:
        SritoolError: The file cannot be written.
    """
    try:
        with whole_file(path, follow=False) as file:
            save_values(_values_of(checkpoint), file)
    except OSError as error:
        raise SritoolError(cannot_write(path, error, "a folder you can write")) from error


def to_bytes(checkpoint: Checkpoint) -> bytes:
    """Return the bytes of a checkpoint file."""
    file = io.BytesIO()
    save_values(_values_of(checkpoint), file)
    return file.getvalue()


def from_bytes(content: bytes) -> Checkpoint:
    """Return the checkpoint from the bytes that `to_bytes` made.

    Raises:
        CheckpointError: The bytes are damaged.
    """
    try:
        values = load_values(io.BytesIO(content))
        return _checkpoint_of({name: values[name] for name in _PARTS})
    except (SritoolError, ValueError, KeyError) as error:
        raise CheckpointError(f"a checkpoint from another process arrived damaged: {error}") from error


def _values_of(checkpoint: Checkpoint) -> dict[str, Any]:
    # SentencePiece models are bytes; they are stored as tensors, since the format has no bytes.
    tokenizer = {
        key: torch.frombuffer(bytearray(value), dtype=torch.uint8) if isinstance(value, bytes) else value
        for key, value in checkpoint.tokenizer.state().items()
    }
    records = {name: plain(getattr(checkpoint, name)) for name in _RECORDS}
    parts = {**vars(checkpoint), **records, "tokenizer": tokenizer}
    return {"format": FORMAT, "version": VERSION, **parts}


def load_checkpoint(path: Path) -> Checkpoint:
    """Read a checkpoint onto the CPU.

    Raises:
        CheckpointError: The file is missing, damaged, not a checkpoint, of another version, or holds code.
    """
    if not path.is_file():
        raise CheckpointError(
            f"no checkpoint {path}; give a .pt file or a run folder that `sritool train` wrote"
        )
    try:
        with path.open("rb") as file:
            values = load_values(file)
    except OSError as error:
        raise CheckpointError(f"cannot read {path}: {error.strerror}; {advice_on(error)}") from error
    except RefusedError as error:
        raise CheckpointError(
            f"{path} is not a sritool checkpoint: {error}; give a .pt file that `sritool train` wrote"
        ) from error
    if not isinstance(values, dict) or values.get("format") != FORMAT:
        raise CheckpointError(
            f"{path} is not a sritool checkpoint; give a .pt file that `sritool train` wrote"
        )
    version = values.get("version")
    if type(version) is not int or version != VERSION:  # comparing a tensor gives no bool
        raise CheckpointError(
            f"{path} has checkpoint version {quoted(version)}, this sritool reads {VERSION}; "
            "upgrade sritool, or use the version that wrote it"
        )
    try:
        return _checkpoint_of({n: value for n, value in values.items() if n not in ("format", "version")})
    except (SritoolError, ValueError) as error:
        raise CheckpointError(f"{path} is damaged ({error}); use another checkpoint") from error


def _checkpoint_of(parts: dict[str, Any]) -> Checkpoint:
    """Build a checkpoint. Raises: ValueError or SritoolError that names the first invalid value."""
    if parts.keys() != _PARTS:
        missing = ", ".join(sorted(_PARTS - parts.keys()))
        raise ValueError(
            f"it has no {missing}" if missing else "it has parts that do not belong in a checkpoint"
        )
    check_contents(parts)
    tokenizer = parts.pop("tokenizer")
    if not isinstance(parts["config"], dict) or not isinstance(tokenizer, dict):
        raise ValueError("config and tokenizer are not tables")
    records: dict[str, Any] = {name: build(kind, parts.pop(name)) for name, kind in _RECORDS.items()}
    state = {
        key: bytes(value.numpy().tobytes()) if isinstance(value, Tensor) else value
        for key, value in tokenizer.items()
    }
    return Checkpoint(tokenizer=tokenizer_from_state(state), **records, **parts)
