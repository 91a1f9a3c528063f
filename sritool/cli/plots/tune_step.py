"""`sritool plot tune-step`: the step-size curve."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from sritool.cli.opening import open_model
from sritool.cli.options import (
    DataDirOpt,
    DeviceOpt,
    FormatOpt,
    GpuOpt,
    QuietOpt,
    RunsDirOpt,
    SeedOpt,
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
from sritool.cli.step_tables import exact_table


def tune_step(
    run: RunArg = None,
    sentences: Annotated[int, typer.Option(min=1, help="How many to measure on.")] = 8,
    chains: Annotated[int, typer.Option(min=2, help="Per sentence, more than z has dimensions.")] = 200,
    seed: SeedOpt = 0,
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
    """Step-size curve: both sides of the objective of tune-step.

    sritool plot tune-step runs/tiny-sri -o steps.png

    sritool tune-step --shape geometric --format json | sritool plot tune-step --data - -o steps.pdf

    Without --data the model's own schedule times some factors is measured on validation sentences, as tune-step does
    with its defaults; give other schedules there, and its table here. The picture is that of tune-step --plot.
    """
    from sritool.cli.pictures import steps as picture
    from sritool.cli.plots.step_rows import tuned_from_table
    from sritool.cli.progress import Progress
    from sritool.evaluation.evaluate import run_name
    from sritool.evaluation.sentences import choose_sentences
    from sritool.training.tuning import Tuning, sampler_of, tune

    out = Output("tune-step", output, show_data, fmt)
    only_one_source(run, data)
    heading = title or ""
    if data is not None:
        tuned = tuned_from_table(data)
    else:
        model = open_model(run, runs_dir, device, gpu, threads, "drawing")
        sampler_of(model.method)
        chosen = choose_sentences(model, "valid", None, sentences, data_dir)
        with Progress("measuring", "chains", quiet) as bar:
            tuned = tune(
                *(model.method, chosen.split, chosen.examples, Tuning(chains=chains, seed=seed)),
                lambda _, done, total: bar.update(done, total),
            )
        if title is None:
            what = (
                f"{run_name(model.path)} on {chosen.data}, {tuned.sentences} of {len(chosen.split)} sentences"
            )
            heading = f"{what}, {tuned.chains} chains each, τ {tuned.temperature:g}"
    table = exact_table(tuned, heading, "")
    out.write(lambda: picture.draw(tuned, heading), table, tuned.notes)
