"""`sritool plot latent`: the aggregate posterior against the prior."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from sritool.cli.opening import open_model
from sritool.cli.options import (
    BatchSizeOpt,
    DataDirOpt,
    DeviceOpt,
    FormatOpt,
    GpuOpt,
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
    RunArg,
    ShowDataOpt,
    TitleOpt,
    only_one_source,
)
from sritool.cli.render import Table

COLUMNS = ("part", "name", "x", "y")


def latent(
    run: RunArg = None,
    split: SplitOpt = None,
    limit: Annotated[int, typer.Option(min=1, help="How many sentences, one code each; 20 or more.")] = 1000,
    seed: SeedOpt = 0,
    batch_size: BatchSizeOpt = None,
    title: TitleOpt = None,
    output: PictureOpt = None,
    show_data: ShowDataOpt = False,
    data: DataOpt = None,
    gpu: GpuOpt = None,
    device: DeviceOpt = "auto",
    threads: ThreadsOpt = None,
    data_dir: DataDirOpt = Path("data"),
    runs_dir: RunsDirOpt = Path("runs"),
    fmt: FormatOpt = "auto",
    quiet: QuietOpt = False,
) -> None:
    """Aggregate posterior against the prior: t-SNE and densities.

    sritool plot latent runs/tiny-sri -o latent.png

    One draw of q(z|x) for each sentence, coloured by the sentence's label or its length, beside as many draws of
    the prior. t-SNE shows clumps in anything: what the codes' map has and that of the prior has not is the model's.
    In --show-data, part is posterior or control for places on the maps, density for each dimension, and prior.
    """
    from sritool.analysis.latent_map import Point, aggregate
    from sritool.cli.pictures import aggregate as picture
    from sritool.cli.plots.reading import read_rows
    from sritool.cli.watch import KEPT, task_progress
    from sritool.evaluation.evaluate import run_name
    from sritool.evaluation.sentences import choose_sentences, prepared_corpus

    out = Output("latent", output, show_data, fmt)
    only_one_source(run, data)
    heading, notes = title or "", list[str]()
    if data is not None:
        points = read_rows(data, COLUMNS, Point)
    else:
        model = open_model(run, runs_dir, device, gpu, threads, "drawing")
        model.require_latent("draw the aggregate posterior")
        chosen = choose_sentences(model, split or "test", None, limit, data_dir)
        labels = prepared_corpus(model, data_dir).info.labels
        with task_progress(quiet, KEPT) as report:
            found = aggregate(model, chosen.split, chosen.examples, seed, report, labels, batch_size or 64)
        points, notes = found.rows(), found.notes
        if title is None:
            count = f"{len(chosen.examples)} of {len(chosen.split)} sentences"
            heading = f"{run_name(model.path)} on {chosen.data}, {count}"
    out.write(lambda: picture.draw(points, heading), Table(heading, COLUMNS, points), notes)
