"""The effect of `--from RUN` and `--embeddings FILE` on the settings of a new run and of a resumed one."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from sritool.config.settings import RunConfig
from sritool.config.values import merge, nested, plain
from sritool.data.word_vectors import vector_width
from sritool.errors import CheckpointError, UsageError
from sritool.methods.registry import METHODS
from sritool.runs.bundled import bundled_run
from sritool.runs.checkpoint import load_checkpoint
from sritool.runs.folder import BEST, LAST, find_checkpoint
from sritool.runs.hub import hub_model
from sritool.training.configure import DEFAULT_METHOD, Given
from sritool.training.pretraining import is_autoencoder
from sritool.training.warm_start import SIZES, sizes_of


def sort_sources(
    given: Sequence[Path], runs_dir: Path, resuming: bool = False
) -> tuple[Path | None, Path | None]:
    """Sort the values of --from into a checkpoint to begin from and a folder with the files of a corpus.

    Args:
        given: Paths, or names as `find_checkpoint` takes them.
        runs_dir: The folder where runs are found by name.
        resuming: Whether a run is resumed; its checkpoint is no longer needed and may be missing.

    Returns:
        The checkpoint and the folder; None for one that was not given.

    Raises:
        UsageError: There are two of a kind.
        CheckpointError: A run, file or folder does not exist.
    """
    runs: list[Path] = []
    folders: list[Path] = []
    for path in given:
        holds_run = any((path / name).is_file() for name in (BEST, LAST))
        (folders if path.is_dir() and not holds_run else runs).append(path)
    for paths, kind in ((runs, "runs"), (folders, "folders")):
        if len(paths) > 1:
            raise UsageError(f"--from names two {kind}, {paths[0]} and {paths[1]}; give one")
    folder = folders[0] if folders else None
    if not runs:
        return None, folder
    run = runs[0]
    if run.exists() or (runs_dir / run).is_dir() or bundled_run(str(run)) or hub_model(run):
        return find_checkpoint(run, runs_dir), folder
    if resuming:
        return run, folder
    raise CheckpointError(
        f"--from {run}: there is no such run, file or folder; check the spelling of its name"
    )


def with_source(given: Given, source: Path | None) -> tuple[Given, Mapping[str, Any]]:
    """Add the checkpoint that a new run begins from to its settings.

    Args:
        given: Settings that the user gave.
        source: The checkpoint, if one was given with --from.

    Returns:
        The settings, and the generator sizes that follow from the checkpoint or from word vectors.

    Raises:
        CheckpointError: The checkpoint cannot be read.
        DataError: Word vectors were given and cannot be read.
    """
    path = str(source or given.get("warm_start.checkpoint") or "")
    vectors = given.get("warm_start.embeddings")
    of_vectors = {"embedding": vector_width(Path(vectors))} if isinstance(vectors, str) and vectors else {}
    if not path:
        return given, of_vectors
    method = given.get("method") or DEFAULT_METHOD
    checkpoint = load_checkpoint(Path(path))
    if method not in METHODS:
        return given, {}  # `resolve_config` refuses it
    key = "warm_start.checkpoint"
    if METHODS[method].pretrains and is_autoencoder(checkpoint) and source is not None:
        key = "pretraining.encoder"
    sizes = sizes_of(checkpoint, method) if key == "warm_start.checkpoint" else of_vectors
    return Given(given.stored, merge(given.typed, nested(key, path))), sizes


def with_original_source(
    given: Given, source: Path | None, under: RunConfig
) -> tuple[Given, Mapping[str, Any]]:
    """Add the checkpoint that a resumed run began from to its settings.

    The checkpoint may be given again, and need not exist any more.

    Returns:
        The settings, and the generator sizes that followed from the checkpoint or from word vectors.

    Raises:
        UsageError: The run did not begin from `source`.
    """
    recorded = under.warm_start.checkpoint or under.pretraining.encoder
    path = Path(recorded).resolve()
    if source is not None and (not recorded or source.resolve() not in (path, path.parent)):
        raise UsageError(
            f"the run to resume began from {recorded or 'no other run'}, not from {source}; leave --from out, or "
            "start a new run without --resume"
        )
    stored, before = given.stored, Given(plain(under))
    for key in ("warm_start.checkpoint", "pretraining.encoder", "warm_start.digest"):
        # When the run began, --from overrode these keys of a settings file; only training writes the digest.
        if source is not None or key == "warm_start.digest" or not given.get(key):
            stored = merge(stored, nested(key, before.get(key)))
    return Given(stored, given.typed), _sizes_from(under)


def _sizes_from(under: RunConfig) -> Mapping[str, Any]:
    """Sizes that follow from the files a run began with; a preset must not change them."""
    generator = plain(under.generator)
    if under.warm_start.checkpoint:
        return {name: generator[name] for name in (*SIZES, "latent", "code_bias")}
    return {"embedding": generator["embedding"]} if under.warm_start.embeddings else {}
