"""Describes the content of a checkpoint."""

from __future__ import annotations

import math
from collections.abc import Iterator
from pathlib import Path

import torch

from sritool.config.values import flat
from sritool.methods.sri import PRECONDITIONER
from sritool.runs.checkpoint import Checkpoint, load_checkpoint
from sritool.runs.folder import BEST, LAST
from sritool.runs.stage import of_latest_stage
from sritool.runs.weights import method_without_memory
from sritool.training.configure import shown
from sritool.training.pretraining import pretraining_epochs
from sritool.training.validation import loss_of


def describe_checkpoint(path: Path) -> list[tuple[str, object]]:
    """Describe a checkpoint as (field, value) rows: method, corpus, sizes, progress, best validation, settings.

    Raises: CheckpointError if the file is damaged or not a checkpoint.
    """
    checkpoint = load_checkpoint(path)
    method = method_without_memory(checkpoint, path)
    corpus, progress = checkpoint.corpus, checkpoint.progress
    rows: list[tuple[str, object]] = [
        ("file", str(path)),
        ("megabytes", path.stat().st_size / 1e6),
        ("can be resumed", checkpoint.trainer is not None or (path.parent / LAST).is_file()),
        ("method", checkpoint.config.method),
        *([("recipe", checkpoint.config.recipe)] if checkpoint.config.recipe else []),
        ("corpus", corpus.name),
        ("corpus hash", corpus.content_hash[:12]),
        ("tokenizer", checkpoint.tokenizer.kind),
        ("vocabulary", len(checkpoint.tokenizer)),
        ("parameters", sum(p.numel() for p in method.modules.parameters())),
        *_beside(checkpoint),
        ("epochs done", progress.epoch),
        ("steps done", progress.step),
        ("seconds of training", round(progress.seconds, 1)),
    ]
    if checkpoint.metrics:
        trained = of_latest_stage(checkpoint.metrics)
        measured = [record for record in trained if math.isfinite(loss_of(method, record))]
        if checkpoint.config.training.select == "last":
            measured = measured[-1:]
        best = min(measured, key=lambda record: loss_of(method, record), default={})
        rows += [
            (f"best validation {name}", best[name])
            for name in ("epoch", "nll", "elbo", "posterior-kl", "recon", "au", "permuted")
            if name in best
        ]
    return rows + [row for row in flat(shown(checkpoint.config)).items() if "." in row[0]]


def _beside(checkpoint: Checkpoint) -> Iterator[tuple[str, object]]:
    """Yield the rows that only some checkpoints have."""
    config, progress = checkpoint.config, checkpoint.progress
    if config.optimizer.ema_decay:
        is_last = checkpoint.trainer is not None
        yield "weights", f"as last updated; {BEST} has their average" if is_last else "averaged"
    fisher = checkpoint.weights.get(f"{PRECONDITIONER}.fisher")
    if fisher is not None and bool(fisher.isfinite().all()):
        values: list[float] = torch.linalg.eigvalsh(fisher.double()).tolist()
        yield "Fisher information of z, least and largest eigenvalue", f"{values[0]:.3g}, {values[-1]:.3g}"
    if progress.pretraining:
        yield "stage", f"autoencoder, of {pretraining_epochs(config)} epochs"
    elif progress.epoch < config.language_model_epochs and not progress.before_z:
        yield "stage", f"language model, of {config.language_model_epochs} epochs; z begins after them"
    if progress.prior_fitted_from:
        source = progress.prior_fitted_from[:12]
        yield "prior fitted to the codes of the checkpoint with SHA-256", source
