"""`sritool info`: what is in a checkpoint."""

from __future__ import annotations

from pathlib import Path

from sritool.cli.options import CheckpointArg, FormatOpt, RunsDirOpt
from sritool.cli.render import Table, emit, resolve_format, say


def info(
    checkpoint: CheckpointArg = None, runs_dir: RunsDirOpt = Path("runs"), fmt: FormatOpt = "auto"
) -> None:
    """Show what is in a checkpoint: method, corpus, sizes, settings, progress, best validation.

    sritool info runs/tiny-sri --format json
    """
    from sritool.analysis.info import describe_checkpoint
    from sritool.runs.folder import find_checkpoint

    resolve_format(fmt)
    path = find_checkpoint(checkpoint, runs_dir)
    if checkpoint is None:
        say(f"newest run: {path}")
    emit(Table("", ("field", "value"), describe_checkpoint(path)), fmt)
