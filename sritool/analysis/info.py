"""What is in a checkpoint."""

from __future__ import annotations

import math
from pathlib import Path

import torch

from sritool.config.values import flat
from sritool.methods.sri import PRECONDITIONER
from sritool.runs.checkpoint import Checkpoint, load_checkpoint
from sritool.runs.folder import BEST, LAST
from sritool.runs.weights import method_without_memory
from sritool.training.configure import shown
from sritool.training.pretraining import pretraining_epochs
from sritool.training.validation import loss_of


def describe_checkpoint(path: Path) -> list[tuple[str, object]]:
    """Describe a checkpoint as (field, value) rows: method, corpus, sizes, progress, best validation, settings.

    Raises:
        CheckpointError: It is no checkpoint, or is damaged.
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
        ("corpus", corpus["name"]),
        ("corpus hash", str(corpus["content_hash"])[:12]),
        ("tokenizer", checkpoint.tokenizer.kind),
        ("vocabulary", len(checkpoint.tokenizer)),
        ("parameters", sum(p.numel() for p in method.modules.parameters())),
        *_average(checkpoint),
        *_preconditioner(checkpoint),
        *_stage(checkpoint),
        *_fitted_prior(checkpoint),
        ("epochs done", progress["epoch"]),
        ("steps done", progress["step"]),
        ("seconds of training", round(float(progress["seconds"]), 1)),
    ]
    if checkpoint.metrics:
        trained = [record for record in checkpoint.metrics if not record.get("pretraining")]
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


def _average(checkpoint: Checkpoint) -> list[tuple[str, object]]:
    """Which weights the file has, where the run averages them."""
    if not checkpoint.config.optimizer.ema_decay:
        return []
    is_last = checkpoint.trainer is not None
    return [("weights", f"as last updated; {BEST} has their average" if is_last else "averaged")]


def _preconditioner(checkpoint: Checkpoint) -> list[tuple[str, object]]:
    """How sharp the posterior is beside the prior, by direction, as the chain of a preconditioned sampler has it."""
    fisher = checkpoint.weights.get(f"{PRECONDITIONER}.fisher")
    if fisher is None or not bool(fisher.isfinite().all()):
        return []
    values: list[float] = torch.linalg.eigvalsh(fisher.double()).tolist()
    return [("Fisher information of z, least and largest eigenvalue", f"{values[0]:.3g}, {values[-1]:.3g}")]


def _fitted_prior(checkpoint: Checkpoint) -> list[tuple[str, object]]:
    """Which file fit-prior made this one from."""
    source = str(checkpoint.progress.get("prior_fitted_from", ""))
    return [("prior fitted to the codes of the checkpoint with SHA-256", source[:12])] if source else []


def _stage(checkpoint: Checkpoint) -> list[tuple[str, object]]:
    """What the epochs are of, where a method begins as something else."""
    if not checkpoint.progress.get("pretraining"):
        return []
    return [("stage", f"autoencoder, of {pretraining_epochs(checkpoint.config)} epochs")]
