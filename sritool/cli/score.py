"""`sritool score`: log p(x) of each line."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated

import typer

from sritool.cli.opening import open_model
from sritool.cli.options import (
    BatchSizeOpt,
    CheckpointArg,
    DeviceOpt,
    FormatOpt,
    GpuOpt,
    QuietOpt,
    RunsDirOpt,
    SeedOpt,
    TextOpt,
    ThreadsOpt,
)
from sritool.cli.render import Table, emit, resolve_format, say


def score(
    checkpoint: CheckpointArg = None,
    text: TextOpt = "-",
    samples: Annotated[
        int, typer.Option(min=2, help="Draws of z per sentence that p(x) is estimated from.")
    ] = 100,
    seed: SeedOpt = 0,
    batch_size: BatchSizeOpt = None,
    gpu: GpuOpt = None,
    device: DeviceOpt = "auto",
    threads: ThreadsOpt = None,
    runs_dir: RunsDirOpt = Path("runs"),
    fmt: FormatOpt = "auto",
    quiet: QuietOpt = False,
) -> None:
    """Score sentences, one a line on stdin or in a file: log p(x) in nats.

    sritool score runs/tiny-sri --format plain < lines.txt | cut -f 1

    A row for every line, in the order of the lines: log_p, the tokens predicted (the end of the sentence is one),
    how many of them the vocabulary lacks, and the line. An empty line is an empty sentence.
    """
    from sritool.cli.watch import task_progress
    from sritool.core.config import LikelihoodConfig
    from sritool.tasks.score import score as score_lines

    resolve_format(fmt)
    model = open_model(checkpoint, runs_dir, device, gpu, threads, "scoring with")
    source = text or "-"
    if source == "-" and sys.stdin.isatty():
        say("type sentences, one a line; end with Ctrl-D")
    with task_progress(quiet) as report:
        likelihood = LikelihoodConfig(samples=samples)
        found = score_lines(model, Path(source), seed, likelihood, batch_size or 64, report)
    rows = [(s.log_p, s.predictions, s.unknown, s.sentence) for s in found]
    emit(Table("log p(x), nats", ("log_p", "predictions", "unknown", "sentence"), rows), fmt)
