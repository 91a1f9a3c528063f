"""`sritool plot noisy-recon`: how much of a sentence z keeps when its words are changed."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, NamedTuple

import typer

from sritool.cli.noisy_tables import long_table, measured_on
from sritool.cli.opening import open_checkpoints, open_device
from sritool.cli.options import (
    BatchSizeOpt,
    DataDirOpt,
    DeviceOpt,
    FormatOpt,
    GpuOpt,
    LimitOpt,
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


class Cells(NamedTuple):
    """What is drawn of a row of the table of noisy-recon."""

    run: str
    noise: str
    k: int
    recon: float
    recon_se: float
    increase: float
    increase_se: float
    permuted: float | None
    permuted_se: float | None = None
    sentences: int = 0
    of: int = 0
    data: str = ""


COLUMNS = tuple(name.replace("_", " ") for name in Cells._fields)


def noisy_recon(
    runs: RunsArg = None,
    counts: Annotated[
        str | None,
        typer.Option(
            "--k",
            metavar="LIST",
            help="How many changes, as noisy-recon has it; 0 is always among them.",
            show_default="0-4",
        ),
    ] = None,
    noise: Annotated[
        str, typer.Option("--noise", metavar="KIND", help="swap, drop or replace, as noisy-recon has it.")
    ] = "swap",
    split: SplitOpt = None,
    limit: LimitOpt = None,
    chains: Annotated[
        int, typer.Option(min=1, help="Codes inferred per sentence, as noisy-recon has it.")
    ] = 2,
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
    """Loss of clean sentences when z is of noisy ones.

    sritool plot noisy-recon runs/tiny-sri runs/tiny-vae-fb --limit 500 -o noisy.png

    sritool noisy-recon --noise drop -f tsv | sritool plot noisy-recon --data - -o drop.pdf

    recon against k, the number of changes, and its increase over k = 0. The numbers are those of noisy-recon,
    measured now or, with --data, taken from its table.
    """
    from sritool.analysis import noisy_recon as task
    from sritool.cli.commands.noisy_recon import parse_counts
    from sritool.cli.pictures import noisy_recon as picture
    from sritool.cli.plots.reading import read_rows
    from sritool.cli.watch import KEPT, task_progress

    out = Output("noisy-recon", output, show_data, fmt)
    only_one_source(runs, data)
    heading, notes = title or "", list[str]()
    if data is not None:
        rows = read_rows(data, COLUMNS, Cells)
        heading = heading_of(rows) if title is None else title
        table = Table(heading, COLUMNS, rows)
    else:
        request = task.Request(
            kind=noise,
            counts=parse_counts(counts) if counts is not None else None,
            split=split or "test",
            limit=limit,
            chains=chains,
            seed=seed,
            batch_size=batch_size or 64,
            data_dir=data_dir,
        )
        where = open_device(device, gpu, threads)
        paths = open_checkpoints(runs, runs_dir, "reconstructing with")
        with task_progress(quiet, KEPT) as report:
            found = task.noisy_recon(paths, request, where, report)
        heading = measured_on(found.runs[0]) if title is None else title
        table = long_table(*found)._replace(title=heading)
        rows = [cells_of(dict(zip(table.columns, row, strict=True))) for row in table.rows]
        notes = [] if show_data else table.note.splitlines()  # a table that is printed has them below it
    out.write(lambda: picture.draw(rows, heading), table, notes)


def heading_of(rows: Sequence[Cells]) -> str:
    """What a table was measured on, where it says so and has one answer."""
    told = {f"{row.data}, {row.sentences} of {row.of} sentences" if row.data else "" for row in rows}
    return told.pop() if len(told) == 1 else ""


def cells_of(row: dict[str, object]) -> Cells:
    return Cells(*(row[column] for column in COLUMNS))  # type: ignore[arg-type]
