"""`sritool info`: what is in a checkpoint."""

from __future__ import annotations

from sritool.cli.formats import Table
from sritool.cli.options.files import FormatOpt
from sritool.cli.options.models import CheckpointOptions
from sritool.cli.render import emit


def info(*, model: CheckpointOptions, fmt: FormatOpt = "auto") -> None:
    """Show what is in a checkpoint: method, corpus, sizes, settings, progress, best validation.

    sritool info runs/tiny-sri --format json
    """
    from sritool.analysis.info import describe_checkpoint

    emit(Table("", ("field", "value"), describe_checkpoint(model.find("newest run:"))), fmt)
