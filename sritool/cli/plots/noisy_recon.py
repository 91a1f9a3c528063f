"""`sritool plot noisy-recon`: how well z keeps a sentence when its words are changed."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING, Annotated, Any, NamedTuple

import typer

from sritool.cli.formats import Table
from sritool.cli.options import values
from sritool.cli.options.measurement import NoiseKind, SentencesOptions, SplitOpt
from sritool.cli.options.models import CheckpointsOptions, DeviceOptions
from sritool.cli.plots.picture import ReadablePictureOptions
from sritool.cli.plots.style import legend_below, look, new_canvas, plain, series
from sritool.cli.progress import KEPT, task_progress
from sritool.cli.tables.noisy_recon import CHANGES, long_table, measured_on
from sritool.cli.tables.reading import read_rows

if TYPE_CHECKING:
    from matplotlib.figure import Figure as Canvas


class Cells(NamedTuple):
    """The cells of a row of noisy-recon's table that are drawn."""

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
    ctx: typer.Context,
    *,
    device: DeviceOptions,
    models: CheckpointsOptions,
    counts: Annotated[str | None, typer.Option("--k", metavar="LIST")] = None,
    noise: Annotated[NoiseKind, typer.Option(metavar="KIND")] = "swap",
    split: SplitOpt = "test",
    chains: Annotated[int, typer.Option(min=1)] = 2,
    sentences: SentencesOptions,
    picture: ReadablePictureOptions,
) -> None:
    """Loss of clean sentences when z is inferred from noisy ones.

    sritool plot noisy-recon runs/tiny-sri runs/tiny-vae-fb --limit 500 -o noisy.png

    sritool noisy-recon --noise drop -f tsv | sritool plot noisy-recon --data - -o drop.pdf

    It shows recon against k, the number of changes, and the increase over k = 0. The numbers are those of
    noisy-recon, measured now or, with --data, read from its table.

    Args:
        counts: Numbers of changes, as in noisy-recon; 0 is always included. [default: 0-4]
        noise: swap, drop or replace, as in noisy-recon.
        chains: Codes inferred per sentence, as in noisy-recon.
    """
    from sritool.analysis import noisy_recon as task

    out = picture.open_for(ctx)
    notes = list[str]()
    if picture.data is not None:
        rows = read_rows(picture.data, COLUMNS, Cells)
        heading = picture.heading(heading_of(rows))
        table = Table(heading, COLUMNS, rows)
    else:
        request = task.Request(
            kind=noise,
            counts=values.counts(counts, "--k") if counts is not None else None,
            split=split,
            chains=chains,
            **vars(sentences),
        )
        where = device.open_device()
        paths = models.find("reconstructing with")
        with task_progress(picture.quiet, KEPT) as report:
            found = task.noisy_recon(paths, request, where, report)
        heading = picture.heading(measured_on(found.runs[0]))
        table = long_table(*found)._replace(title=heading)
        records = (dict(zip(table.columns, row, strict=True)) for row in table.rows)
        rows = [Cells(*(record[column] for column in COLUMNS)) for record in records]  # type: ignore[arg-type]
        # A printed table has the notes below it.
        notes = [] if picture.show_data else table.note.splitlines()
    out.write(lambda: draw(rows, heading), table, notes)


def heading_of(rows: Sequence[Cells]) -> str:
    """Return what a table was measured on; "" if it does not say, or not the same in all rows."""
    headings = {f"{row.data}, {row.sentences} of {row.of} sentences" if row.data else "" for row in rows}
    return headings.pop() if len(headings) == 1 else ""


def draw(rows: Sequence[Cells], title: str) -> Canvas:
    """Draw a line per run, with bars of ± 1 standard error; dotted at the right: the cost of another sentence's z."""
    runs = list(dict.fromkeys(row.run for row in rows))
    noise = rows[0].noise
    with look():
        canvas, (left, right) = new_canvas((11.5, 5.8), 1, 2, sharex=True)
        handles, names = [], []
        for number, run in enumerate(runs):
            line = sorted((row for row in rows if row.run == run), key=lambda row: row.k)
            style = series(number)
            ks = [row.k for row in line]
            bars = {"capsize": 4, "elinewidth": 1.2}
            drawn = left.errorbar(ks, [r.recon for r in line], [r.recon_se for r in line], **bars, **style)
            right.errorbar(ks, [r.increase for r in line], [r.increase_se for r in line], **bars, **style)
            if line[0].permuted is not None:
                dotted = {**style, "linestyle": ":", "linewidth": 1.2, "markerfacecolor": "none"}
                draw_permuted(right, line, dotted)
            handles.append(drawn.lines[0])
            names.append(plain(run) + (" (ignores z)" if ignores_z(line[0]) else ""))
        for axes in (left, right):
            name_counts(axes, sorted({row.k for row in rows}))
            axes.set_xlabel(f"k, {CHANGES.get(noise, 'changes')} per sentence")
        widen(right, [error for row in rows for error in (row.recon_se, row.increase_se, row.permuted_se)])
        left.set_ylabel("recon, −log p(x|z) (nats/sentence)")
        right.set_ylabel("increase over k = 0 (nats/sentence)")
        if title:
            canvas.suptitle(plain(title))
        meaning = "bars, bands: ± 1 standard error; dotted: the z of another sentence"
        legend_below(canvas, handles, names, 3, meaning)
    return canvas


def draw_permuted(axes: Any, line: Sequence[Cells], style: dict[str, Any]) -> None:
    """Draw the cost of another sentence's z, the same at every k, with its error as a band."""
    cost, error = line[0].permuted, line[0].permuted_se
    assert cost is not None
    ends = [line[0].k, line[-1].k]
    axes.plot(ends, [cost] * 2, **style)
    if error is not None and math.isfinite(error):
        low, high = [cost - error] * 2, [cost + error] * 2
        axes.fill_between(ends, low, high, color=style["color"], alpha=0.15, linewidth=0)


def ignores_z(row: Cells) -> bool:
    """Whether another sentence's z costs nothing, by the criterion of `evaluate`."""
    from sritool.evaluation.collapse import costs_nothing

    return row.permuted is not None and costs_nothing(row.permuted, row.permuted_se or 0.0)


def widen(axes: Any, errors: Sequence[float | None]) -> None:
    """Make the y axis span at least two of the largest standard errors, so that noise looks like noise."""
    low, high = axes.get_ylim()
    most = max((error for error in errors if error is not None and math.isfinite(error)), default=0.0)
    if high - low < 2 * most:
        middle = (low + high) / 2
        axes.set_ylim(middle - most, middle + most)


def name_counts(axes: Any, counts: Sequence[int]) -> None:
    """Label all numbers of changes if they have room."""
    from matplotlib.ticker import MaxNLocator

    if len(counts) <= 9 and counts[-1] - counts[0] <= 12:
        axes.set_xticks(counts)
    else:
        axes.xaxis.set_major_locator(MaxNLocator(integer=True))
