"""`sritool plot frontier`: what runs pay in likelihood for what their codes tell."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from sritool.cli.commands.compare import runs_of_newest_corpus
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
from sritool.cli.plots.common import DataOpt, Output, PictureOpt, ShowDataOpt, TitleOpt, only_one_source
from sritool.cli.render import Table

COLUMNS = (
    *("run", "method", "nll", "nll se", "posterior-kl", "posterior-kl se"),
    *("sentences", "draws", "estimator"),
)


def frontier(
    runs: Annotated[
        list[Path] | None,
        typer.Argument(
            metavar="RUN",
            help="Run folders or checkpoint files; without one, all runs on the newest run's corpus.",
            show_default=False,
        ),
    ] = None,
    split: SplitOpt = None,
    limit: LimitOpt = None,
    mixed: Annotated[
        bool,
        typer.Option("--mixed", help="Take runs of different corpora, whose figures do not compare."),
    ] = False,
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
    """Frontier of NLL against posterior KL, a point a run.

    sritool plot frontier --limit 512 -o frontier.png

    The figures are those of compare: measured on the same sentences with the same noise, or looked up where they
    are on record in evaluations.jsonl. A run that ignores z, and one without z, stands at the left; to the right z
    tells more about the sentence, and lower is a better likelihood.
    """
    from sritool.analysis import frontier as task
    from sritool.cli.pictures import frontier as picture
    from sritool.cli.plots.reading import read_rows
    from sritool.cli.watch import KEPT, task_progress
    from sritool.evaluation.evaluate import Request

    out = Output("frontier", output, show_data, fmt)
    only_one_source(runs, data)
    if data is not None:
        found = task.Frontier(read_rows(data, COLUMNS, task.Point), "", [])
    else:
        where = open_device(device, gpu, threads)
        request = Request(
            split=split or "test",
            limit=limit,
            seed=seed,
            batch_size=batch_size or 64,
            data_dir=data_dir,
            memory=memory,
            again=again,
        )
        paths = open_checkpoints(runs, runs_dir, "") if runs else runs_of_newest_corpus(runs_dir)
        with task_progress(quiet, KEPT) as report:
            found = task.frontier(paths, request, where, report, mixed)
    heading = found.data if title is None else title
    table = Table(heading, COLUMNS, found.points)
    out.write(lambda: picture.draw(found.points, heading), table, found.notes)
