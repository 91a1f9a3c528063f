"""What is in a checkpoint."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from sritool.core.checkpoint import load_checkpoint
from sritool.core.config import plain
from sritool.methods.registry import build_method


def describe_checkpoint(path: Path) -> list[tuple[str, object]]:
    """(field, value) rows: method, corpus, sizes, every setting, progress and the best validation."""
    checkpoint = load_checkpoint(path)
    method = build_method(checkpoint.config, len(checkpoint.tokenizer))
    corpus, progress = checkpoint.corpus, checkpoint.progress
    rows: list[tuple[str, object]] = [
        ("file", str(path)),
        ("megabytes", path.stat().st_size / 1e6),
        ("can be resumed", checkpoint.trainer is not None),
        ("method", checkpoint.config.method),
        ("corpus", corpus["name"]),
        ("corpus hash", str(corpus["content_hash"])[:12]),
        ("tokenizer", checkpoint.tokenizer.kind),
        ("vocabulary", len(checkpoint.tokenizer)),
        ("parameters", sum(p.numel() for p in method.modules.parameters())),
        ("epochs done", progress["epoch"]),
        ("steps done", progress["step"]),
        ("seconds of training", round(float(progress["seconds"]), 1)),
    ]
    if checkpoint.metrics:
        best = min(checkpoint.metrics, key=lambda record: float(record["nll"]))
        rows += [
            (f"best validation {name}", best[name])
            for name in ("epoch", "nll", "posterior-kl", "recon", "au", "permuted")
            if name in best
        ]
    settings = _flat(plain(checkpoint.config))
    return rows + [row for row in settings if method.latent or not row[0].startswith("sampler.")]


def _flat(values: dict[str, Any], prefix: str = "") -> list[tuple[str, object]]:
    """Settings as (section.key, value); a schedule that never moves as the one value that it has."""
    rows: list[tuple[str, object]] = []
    for key, value in values.items():
        if isinstance(value, dict) and "start" in value and value["start"] == value["end"]:
            rows.append((f"{prefix}{key}", value["start"]))
        elif isinstance(value, dict):
            rows += _flat(value, f"{prefix}{key}.")
        elif prefix:
            rounded = [float(f"{item:.9g}") for item in value] if isinstance(value, list) else value
            rows.append((f"{prefix}{key}", rounded))
    return rows
