"""`sritool plot ppl-draws`: whether a likelihood has had draws enough."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from sritool.cli.opening import open_checkpoints, open_device
from sritool.cli.options import (
    AgainOpt,
    BatchSizeOpt,
    DataDirOpt,
    DeviceOpt,
    FormatOpt,
    GpuOpt,
    LimitOpt,
    MemoryOpt,
    QuietOpt,
    RunsDirOpt,
    SeedOpt,
    SplitOpt,
    ThreadsOpt,
)
from sritool.cli.plots.common import (
    DataOpt,
    Output,
    PictureOpt,
    RunsArg,
    ShowDataOpt,
    TitleOpt,
    only_one_source,
)
from sritool.cli.render import Table

COLUMNS = ("run", "estimator", "metric", "draws", "value", "se", "sentences")


def ppl_draws(
    runs: RunsArg = None,
    metric: Annotated[str, typer.Option(metavar="NAME", help="ppl or nll.")] = "ppl",
    estimators: Annotated[
        str | None,
        typer.Option(
            "--estimators",
            metavar="NAMES",
            help="With commas between: adaptive, sri, ais, encoder; what is not on record is measured.",
            show_default="adaptive, and beside it those on record",
        ),
    ] = None,
    split: SplitOpt = None,
    limit: LimitOpt = None,
    seed: SeedOpt = 0,
    again: AgainOpt = False,
    batch_size: BatchSizeOpt = None,
    title: TitleOpt = None,
    output: PictureOpt = None,
    show_data: ShowDataOpt = False,
    data: DataOpt = None,
    gpu: GpuOpt = None,
    device: DeviceOpt = "auto",
    threads: ThreadsOpt = None,
    memory: MemoryOpt = 4 << 30,
    data_dir: DataDirOpt = Path("data"),
    runs_dir: RunsDirOpt = Path("runs"),
    fmt: FormatOpt = "auto",
    quiet: QuietOpt = False,
) -> None:
    """Perplexity against M, the draws it is estimated from.

    sritool plot ppl-draws runs/tiny-sri --limit 200 -o draws.png

    sritool plot ppl-draws runs/tiny-sri --estimators adaptive,sri --metric nll

    The figures from the first M/8, M/4, M/2 and all M draws, as evaluate keeps them in evaluations.jsonl; what is
    not on record is measured. A line that still falls has too few: by Jensen's inequality that makes a perplexity
    too high, not too low. The figure of a model without z is exact.
    """
    from sritool.analysis import ppl_draws as task
    from sritool.cli.commands.evaluate import split_names
    from sritool.cli.pictures import ppl_draws as picture
    from sritool.cli.plots.reading import read_rows
    from sritool.cli.watch import KEPT, task_progress
    from sritool.evaluation.evaluate import Request

    out = Output("ppl-draws", output, show_data, fmt)
    only_one_source(runs, data)
    if data is not None:
        found = task.PplDraws(read_rows(data, COLUMNS, task.Point), "", [])
    else:
        request = Request(
            metrics=(metric,),
            split=split or "test",
            limit=limit,
            seed=seed,
            batch_size=batch_size or 64,
            data_dir=data_dir,
            memory=memory,
            again=again,
        )
        where = open_device(device, gpu, threads)
        paths = open_checkpoints(runs, runs_dir, "drawing")
        with task_progress(quiet, KEPT) as report:
            found = task.ppl_draws(paths, request, split_names(estimators or ""), where, report)
    heading = found.data if title is None else title
    table = Table(heading, COLUMNS, found.points)
    out.write(lambda: picture.draw(found.points, heading), table, found.notes)
