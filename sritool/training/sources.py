"""What `--from RUN` and `--embeddings FILE` mean for the settings of a run that begins, and of one that goes on."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from sritool.config.settings import RunConfig
from sritool.config.values import merge, nested
from sritool.data.word_vectors import vector_width
from sritool.errors import UsageError
from sritool.methods.registry import METHODS
from sritool.runs.checkpoint import load_checkpoint
from sritool.training.configure import DEFAULT_METHOD, Given
from sritool.training.warm_start import is_autoencoder, sizes_of


def with_source(given: Given, source: Path | None) -> tuple[Given, Mapping[str, Any]]:
    """Return the settings of a new run with the checkpoint that it begins from, and the sizes that follow from it.

    Args:
        given: What the user gave.
        source: The checkpoint, if one was given beside the settings.

    Raises:
        CheckpointError: It cannot be read.
        DataError: Word vectors were given too, and cannot be read.
    """
    path, vectors = (
        str(source or given.get("warm_start.checkpoint") or ""),
        given.get("warm_start.embeddings"),
    )
    of_vectors = {"embedding": vector_width(Path(vectors))} if isinstance(vectors, str) and vectors else {}
    if not path:
        return given, of_vectors
    method = given.get("method") or DEFAULT_METHOD
    checkpoint = load_checkpoint(Path(path))
    if method not in METHODS:
        return given, {}  # refused where the settings are put together
    key = "warm_start.checkpoint"
    if METHODS[method].pretrains and is_autoencoder(checkpoint) and source is not None:
        key = "pretraining.encoder"
    sizes = sizes_of(checkpoint, method) if key == "warm_start.checkpoint" else of_vectors
    return Given(given.stored, merge(given.typed, nested(key, path))), sizes


def as_it_began(given: Given, source: Path | None, under: RunConfig) -> Given:
    """Return the settings of a resumed run, for which the checkpoint that it began from may be named again.

    Args:
        given: What the user gave.
        source: The checkpoint, if one was given; it need not be there any more.
        under: Settings of the run to be resumed.

    Raises:
        UsageError: The run began from another one.
    """
    recorded = under.warm_start.checkpoint or under.pretraining.encoder
    if source is not None and (not recorded or source not in (Path(recorded), Path(recorded).parent)):
        raise UsageError(
            f"the run to go on with began from {recorded or 'no other run'}, not from {source}; leave --from out, or "
            "start a new run without --resume"
        )
    return given
