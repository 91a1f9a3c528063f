"""`sritool plot ppl-draws`: whether a likelihood was estimated from enough draws."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from sritool.cli.options.measurement import MeasurementOptions, SplitOpt
from sritool.cli.options.models import CheckpointsOptions, DeviceOptions
from sritool.cli.options.values import names
from sritool.cli.plots.picture import ReadablePictureOptions
from sritool.cli.plots.style import legend_below, look, new_canvas, plain, series

if TYPE_CHECKING:
    from matplotlib.figure import Figure as Canvas

    from sritool.analysis.ppl_draws import Point
    from sritool.runs.model import Report


def ppl_draws(
    ctx: typer.Context,
    *,
    device: DeviceOptions,
    models: CheckpointsOptions,
    metric: Literal["ppl", "nll"] = "ppl",
    estimators: Annotated[str | None, typer.Option(metavar="NAMES")] = None,
    split: SplitOpt = "test",
    measurement: MeasurementOptions,
    picture: ReadablePictureOptions,
) -> None:
    """Perplexity against M, the number of draws it is estimated from.

    sritool plot ppl-draws runs/tiny-sri --limit 200 -o draws.png

    sritool plot ppl-draws runs/tiny-sri --estimators adaptive,sri --metric nll

    It shows the figures from the first M/8, M/4, M/2 and all M draws, as evaluate keeps them in evaluations.jsonl;
    figures that are not on record are measured. A line that still falls at M has too few draws: its perplexity is too
    high (by Jensen's inequality). The figure of a model without z is exact.

    Args:
        metric: The figure to draw.
        estimators: Some of adaptive, sri, ais, encoder, comma-separated. [default: adaptive, and those on record]
    """
    from sritool.analysis import ppl_draws as task
    from sritool.evaluation.settings import EvaluationSettings

    def measure(report: Report) -> task.PplDraws:
        request = EvaluationSettings(metrics=(metric,), split=split, **vars(measurement))
        where = device.open_device()
        return task.ppl_draws(models.find("drawing"), request, names(estimators or ""), where, report)

    picture.draw_points(ctx, task.Point, measure, draw)


LABELS = {"ppl": "perplexity per token", "nll": "NLL (nats/sentence)"}
ASIDE = 1.015  # factor by which the bars of each line are shifted right of those of the line before


def draw(points: Sequence[Point], title: str) -> Canvas:
    """Draw a line for each run and estimator, with the error at the largest M; an exact figure is a level line."""
    lines: dict[tuple[str, str], list[Point]] = {}
    for point in points:
        lines.setdefault((point.run, point.estimator), []).append(point)
    with look():
        canvas, axes = new_canvas((8.0, 5.6))
        for number, ((run, estimator), line) in enumerate(lines.items()):
            draw_line(axes, line, plain(f"{run}, {estimator}"), series(number), ASIDE**number)
        name_draws(axes, sorted({point.draws for point in points if point.draws}))
        axes.set_xlabel("draws of z per sentence, M")
        axes.set_ylabel(LABELS[points[0].metric])
        axes.set_title(plain(title))
        meaning = "run, estimator; bar at the largest M: ± 1 standard error over sentences"
        handles, names = axes.get_legend_handles_labels()
        legend_below(canvas, handles, names, 2, meaning)
    return canvas


def draw_line(axes: Any, line: Sequence[Point], label: str, style: dict[str, Any], aside: float) -> None:
    """Draw one run by one estimator; `aside` is the factor that shifts its bars to the right."""
    last = line[-1]
    if last.draws == 0:
        axes.axhline(last.value, color=style["color"], linestyle=style["linestyle"], label=label)
        if last.se and math.isfinite(last.se):
            axes.axhspan(last.value - last.se, last.value + last.se, color=style["color"], alpha=0.1, lw=0)
        return
    axes.plot([point.draws for point in line], [point.value for point in line], label=label, **style)
    barred = [point for point in line if point.se]
    axes.errorbar(
        [point.draws * aside for point in barred],
        [point.value for point in barred],
        [point.se for point in barred],
        color=style["color"],
        linestyle="none",
        elinewidth=1.2,
        capsize=4,
    )


def name_draws(axes: Any, draws: Sequence[int]) -> None:
    """Make the axis logarithmic, with the numbers of draws as ticks where they have room."""
    if not draws:  # all exact
        axes.set_xticks([])
        return
    axes.set_xscale("log")
    ticks: list[int] = []
    for count in reversed(draws):
        if not ticks or ticks[-1] / count > 1.15:
            ticks.append(count)
    axes.set_xticks(ticks, [str(count) for count in ticks])
    axes.minorticks_off()
    axes.set_xlim(draws[0] / 1.2, draws[-1] * 1.2)
