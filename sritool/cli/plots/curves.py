"""`sritool plot curves`: how runs were trained."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from sritool.cli.options import FormatOpt, RunsDirOpt
from sritool.cli.plots.common import (
    DataOpt,
    Output,
    PictureOpt,
    RunsArg,
    ShowDataOpt,
    TitleOpt,
    only_one_source,
)
from sritool.cli.render import Table, say
from sritool.errors import UsageError

COLUMNS = ("run", "metric", "epoch", "step", "value", "se")


def curves(
    runs: RunsArg = None,
    metrics: Annotated[
        str | None,
        typer.Option(
            "--metrics",
            metavar="NAMES",
            help="Only these panels, with commas between: nll, posterior-kl, recon, au, permuted, train recon.",
            show_default="all",
        ),
    ] = None,
    title: TitleOpt = None,
    output: PictureOpt = None,
    show_data: ShowDataOpt = False,
    data: DataOpt = None,
    runs_dir: RunsDirOpt = Path("runs"),
    fmt: FormatOpt = "auto",
) -> None:
    """Training curves of runs: validations and training loss.

    sritool plot curves runs/tiny-sri runs/tiny-vae-anneal -o curves.svg

    sritool plot curves runs/tiny-sri --show-data | grep nll

    From metrics.jsonl, also while a run goes on. Bands: ± 1 standard error over the validation
    sentences. Pale: the training loss on record, the mean of the epoch so far; strong: smoothed.
    Epochs of the autoencoder that some methods begin with come before 0.
    """
    from sritool.analysis.training_curves import METRIC_NAMES, Curves, Point, metrics_file, read_curves
    from sritool.cli.pictures import curves as picture
    from sritool.cli.plots.reading import read_rows

    out = Output("curves", output, show_data, fmt)
    only_one_source(runs, data)
    wanted = [name.strip() for name in metrics.split(",")] if metrics else list(METRIC_NAMES)
    for name in wanted:
        if name not in METRIC_NAMES:
            raise UsageError(f"no curve {name!r}; there are: {', '.join(METRIC_NAMES)}")
    if data is not None:
        found = Curves(read_rows(data, COLUMNS, Point), [])
    else:
        if not runs:
            say(f"drawing {metrics_file(None, runs_dir).parent}")
        found = read_curves(runs or [], runs_dir)
    points = [point for point in found.points if point.metric in wanted]
    if not points:
        raise UsageError(f"nothing on record for {', '.join(wanted)}; leave --metrics out")
    heading = "Training curves" if title is None else title
    table = Table(heading, COLUMNS, points)
    out.write(lambda: picture.draw(points, heading), table, found.notes)
