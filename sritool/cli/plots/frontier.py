"""`sritool plot frontier`: likelihood against the information that codes have about their sentences."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any

import typer

from sritool.cli.options.measurement import MeasurementOptions, SplitOpt
from sritool.cli.options.models import ComparedOptions, DeviceOptions
from sritool.cli.plots.labels import place_labels
from sritool.cli.plots.picture import ReadablePictureOptions
from sritool.cli.plots.style import COLOURS, MARKS, legend_below, look, new_canvas, plain

if TYPE_CHECKING:
    from matplotlib.figure import Figure as Canvas

    from sritool.analysis.frontier import Point
    from sritool.runs.model import Report


def frontier(
    ctx: typer.Context,
    *,
    device: DeviceOptions,
    models: ComparedOptions,
    split: SplitOpt = "test",
    measurement: MeasurementOptions,
    picture: ReadablePictureOptions,
) -> None:
    """Frontier of NLL against posterior KL, one point per run.

    sritool plot frontier --limit 512 -o frontier.png

    The figures are those of compare: measured on the same sentences with the same noise, or looked up if they are on
    record in evaluations.jsonl. Runs at the left ignore z or have none. Further right, z tells more about the
    sentence; lower down, the likelihood is better. The bars are standard errors of the paired differences to
    --against, sentence by sentence; those of each figure alone are far larger.
    """
    from sritool.analysis import frontier as task
    from sritool.evaluation.settings import EvaluationSettings

    def measure(report: Report) -> task.Frontier:
        where = device.open_device()
        request = EvaluationSettings(split=split, **vars(measurement))
        paths, against = models.find_with_reference()
        return task.frontier(paths, request, where, report, models.mixed, against)

    picture.draw_points(ctx, task.Point, measure, draw)


METHODS = ("sri", "vae-fb", "lm", "vae-anneal", "ae", "vae-cyclical", "vae-fbp", "vae-lagging", "sa-vae")
"""The order of their colours and marks, so that a method looks the same in every frontier."""

FULL = {"markersize": 11, "markeredgecolor": "white"}
DARK = "#888888"


def draw(points: Sequence[Point], title: str) -> Canvas:
    """Draw one point per run, named, with bars of ± 1 error and the look of its method; a line marks runs without z.

    Runs with figures that are not finite are left out.
    """
    points = [point for point in points if math.isfinite(point.nll) and math.isfinite(point.posterior_kl)]
    present = {point.method for point in points}
    order = [*METHODS, *sorted(present - {*METHODS})]
    methods = [name for name in order if name in present]
    with look():
        canvas, axes = new_canvas((9.0, 6.0))
        handles = []
        for method in methods:
            group = [point for point in points if point.method == method]
            handles.append(draw_method(axes, group, order.index(method)))
        names = [plain(method) for method in methods]
        heights = sorted({point.nll for point in points if point.draws == 0})
        for height in heights:
            line = axes.axhline(height, color=DARK, linestyle="--", linewidth=1.5, zorder=0)
        if heights:
            handles.append(line)
            names.append("NLL without z")
        axes.margins(0.14, 0.12)
        axes.set_xlabel("posterior KL (nats/sentence)")
        axes.set_ylabel("NLL (nats/sentence); lower is better")
        axes.set_title(plain(title))
        legend_below(canvas, handles, names, 4, legend_title(points))
        left, right = axes.get_xlim()
        obstacles = [*bars_of(points), *((left, height, right, height) for height in heights)]
        places = [(point.posterior_kl, point.nll) for point in points]
        place_labels(axes, places, [plain(point.run) for point in points], obstacles)
    return canvas


def legend_title(points: Sequence[Point]) -> str:
    """Return the legend's title, which explains the bars."""
    paired = sorted({point.against for point in points if point.nll_diff_se is not None})
    of = f" of the difference to {plain(paired[0])}" if paired else ""
    return f"method; bars: ± 1 standard error{of}"


def bars_of(points: Sequence[Point]) -> Iterator[tuple[float, float, float, float]]:
    """Yield the error bars as lines (x0, y0, x1, y1)."""
    for point in points:
        x, y = point.posterior_kl, point.nll
        upright, level = point.errors
        yield x, y - upright, x, y + upright
        yield x - level, y, x + level, y


def draw_method(axes: Any, points: Sequence[Point], number: int) -> Any:
    """Draw the points of one method, and return its legend handle.

    Runs without z are hollow, larger and on top, so that a run that ignores z, at nearly the same place, is visible.
    """
    exact = all(point.draws == 0 for point in points)
    colour = COLOURS[number % len(COLOURS)]
    hollow = {"markerfacecolor": "none", "markeredgecolor": colour, "markeredgewidth": 2.0, "zorder": 3}
    own: dict[str, Any] = {"markersize": 16, **hollow} if exact else FULL
    drawn = axes.errorbar(
        [point.posterior_kl for point in points],
        [point.nll for point in points],
        xerr=[point.errors[1] for point in points],
        yerr=[point.errors[0] for point in points],
        linestyle="none",
        marker=MARKS[number % len(MARKS)],
        color=colour,
        elinewidth=1.2,
        capsize=3,
        **own,
    )
    return drawn.lines[0]
