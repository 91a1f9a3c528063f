"""`sritool score`: log p(x) of each line."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from sritool.cli.formats import FOR_PEOPLE, Table
from sritool.cli.options.files import OutputOptions, TextOpt
from sritool.cli.options.measurement import BATCH_SIZE, BatchSizeOpt, SeedOpt
from sritool.cli.options.models import ModelOptions, report_reading
from sritool.cli.render import emit, emit_parts
from sritool.cli.streams import announce_stdin

TITLE = "log p(x), nats"
COLUMNS = ("log_p", "predictions", "unknown", "sentence")


def score(
    *,
    model: ModelOptions,
    text: TextOpt = "-",
    samples: Annotated[int, typer.Option(min=2)] = 100,
    seed: SeedOpt = 0,
    batch_size: BatchSizeOpt = BATCH_SIZE,
    output: OutputOptions,
) -> None:
    """Score sentences, one per line on stdin or in a file: log p(x) in nats.

    sritool score runs/tiny-sri --format plain < lines.txt | cut -f 1

    There is one row per line, in order: log_p, the number of predicted tokens (including the end of the sentence),
    how many of them the vocabulary lacks, and the line. log_p is an estimate from draws of z; its noise depends on
    --seed and on the number of the line, and `sritool evaluate` gives standard errors. An empty line is an empty
    sentence. The rows of a long text are printed as soon as they are known, except as a table, markdown or latex.

    Args:
        samples: Draws of z per sentence for the estimate of p(x).
    """
    from sritool.analysis.score import score as score_lines
    from sritool.config.settings import LikelihoodConfig
    from sritool.evaluation.sentences import read_text

    form = output.format()
    opened = model.load("scoring with")
    source = "-" if text is None else text
    announce_stdin(source)
    sentences = read_text(Path(source)).lines
    report_reading(opened, sentences)
    with output.progress() as report:
        likelihood = LikelihoodConfig(samples=samples)
        parts = score_lines(opened, sentences, seed, likelihood, batch_size, report)
        if form not in FOR_PEOPLE:
            emit_parts((Table(TITLE, COLUMNS, part) for part in parts), form)
            return
        rows = [row for part in parts for row in part]
    emit(Table(TITLE, COLUMNS, rows), form)
